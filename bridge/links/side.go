package links

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/track"
)

// side is one side of the box: its ports, and what is known of its NIC.
type side struct {
	keeper *Keeper
	side   track.Side
	name   string
	ports  attachments

	told    nic.State             // as link messages have it; Index 0: there is none
	link    bool                  // link-up was the last link event, or none was
	failure atomic.Pointer[error] // what the socket failed with, to be said
	release func() error
	opened  time.Time // when it was last tried
	lro     int       // index of the NIC whose LRO was turned off, 0: of none
	said    string    // the last complaint, said once
}

func newSide(k *Keeper, which track.Side, name string) *side {
	s := &side{keeper: k, side: which, name: name, link: true}
	for range k.options.Workers {
		s.ports = append(s.ports, NewAttachment(name, func(err error) {
			s.failure.Store(&err)
			select {
			case k.failed <- struct{}{}:
			default:
			}
		}))
	}
	return s
}

// begin opens the NIC for the first time.
func (s *side) begin() (err error) {
	if err := s.find(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.opened = time.Now()
	ports, err := s.take()
	if err != nil {
		return err
	}
	s.ports.setLink(s.told.Running)
	s.ports.attach(ports)
	if err := s.keeper.options.OnOpen(s.side, s.told.Index); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// find looks for the NIC and brings it up if an earlier run left it down.
func (s *side) find() (err error) {
	s.told, err = s.keeper.system.ByName(s.name)
	if err != nil || !s.told.LeftDown {
		return err
	}
	s.keeper.log.Info("an earlier run left it down; it is brought up", "nic", s.name)
	if err := s.keeper.system.BringUp(s.told.Index); err != nil {
		return err
	}
	s.told, err = s.keeper.system.ByName(s.name)
	return err
}

// claim keeps the NIC from other boxes.
func (s *side) claim() (err error) {
	if s.release == nil {
		s.release, err = s.keeper.system.Claim(s.name)
	}
	return err
}

// take claims and opens the NIC.
func (s *side) take() ([]Port, error) {
	if err := s.claim(); err != nil {
		return nil, err
	}
	ports, err := s.keeper.options.Open(s.name)
	if err == nil {
		s.turnOffLRO()
	}
	return ports, err
}

func (s *side) turnOffLRO() {
	changed, err := nic.TurnOffLRO(s.keeper.system.Features(), s.name)
	if err != nil {
		s.keeper.log.Warn("large-receive-offload is on: merged frames will be lost", "nic", s.name, "error", err)
	}
	if changed {
		s.lro = s.told.Index
		s.keeper.log.Info("large-receive-offload is turned off while the box runs", "nic", s.name)
	}
}

// announce says that the link is down, if it is at the start.
func (s *side) announce() { s.report(s.told) }

// event publishes an event about the NIC.
func (s *side) event(kind track.EventKind, mtu int) {
	s.keeper.options.OnEvent(track.Event{Kind: kind, Cause: s.name, MTU: mtu})
}

// follow takes in a link message and reports whether it was about the side's
// NIC. Each message is how the NIC was at its moment, so that no flap is too
// short for its events.
func (s *side) follow(c nic.Change) bool {
	switch {
	case s.told.Index == 0 && !c.Deleted && c.Name == s.name:
		s.told = nic.State{Index: c.Index, Name: c.Name, MTU: c.MTU}
		s.event(track.EventNICBack, 0)
		s.report(c.State)
	case s.told.Index == 0 || c.Index != s.told.Index:
		return false
	case c.Deleted:
		s.gone()
	default:
		s.report(c.State)
	}
	return true
}

// report publishes what has changed.
func (s *side) report(n nic.State) {
	if n.MTU != s.told.MTU {
		s.event(track.EventMTUChanged, n.MTU)
		s.ports.refreshMTU()
	}
	if n.Running != s.link {
		s.link = n.Running
		kind := track.EventLinkDown
		if n.Running {
			kind = track.EventLinkUp
		}
		s.event(kind, 0)
	}
	changed := n.MTU != s.told.MTU
	s.told = n
	if changed {
		s.keeper.compareMTU()
	}
}

// compareMTU says if the sides differ.
func (k *Keeper) compareMTU() {
	var nics [2]nic.NIC
	for i, s := range k.sides {
		nics[i] = nic.NIC{Name: s.name, Exists: s.told.Index != 0, MTU: s.told.MTU}
	}
	for _, p := range nic.VerifyMTU(nics[track.LAN], nics[track.WAN]) {
		k.log.Warn(p.Message, "nic", p.NIC, "advice", p.Advice)
	}
}

// gone lets go of a NIC that was removed.
func (s *side) gone() {
	if s.link {
		s.link = false
		s.event(track.EventLinkDown, 0)
	}
	s.told, s.lro, s.opened = nic.State{}, 0, time.Time{}
	s.letGo()
	s.failure.Store(nil) // what a socket says whose NIC is removed
	s.event(track.EventNICGone, 0)
}

// letGo gives up the ports and the claim.
func (s *side) letGo() {
	s.ports.setLink(false)
	s.ports.detach()
	if s.release != nil {
		_ = s.release() // the NIC is not there any more
		s.release = nil
	}
}

// catchUp looks at what may have been missed.
func (s *side) catchUp() {
	if s.told.Index != 0 {
		if n, err := s.keeper.system.ByIndex(s.told.Index); err == nil && n.Index == 0 {
			s.gone()
		} else if err == nil {
			s.report(n)
		}
	}
	if s.told.Index == 0 {
		if n, err := s.keeper.system.ByName(s.name); err == nil && n.Index != 0 {
			s.follow(nic.Change{State: n})
		}
	}
}

// look returns how the NIC is now, which may be ahead of what was told.
func (s *side) look() nic.State {
	if s.told.Index == 0 {
		return nic.State{}
	}
	n, err := s.keeper.system.ByIndex(s.told.Index)
	if err != nil {
		s.complain("cannot be looked at", err)
		return s.told
	}
	return n
}

// keepOpen opens the NIC if it is there and not open, at most once in
// retryInterval, and returns when to try again. Ports go together: without one
// of them frames would go by other ways through the rest.
func (s *side) keepOpen(now time.Time, n nic.State) (again time.Time) {
	if n.Index == 0 || s.ports.attached() {
		return again
	}
	s.ports.detach()
	if next := s.opened.Add(retryInterval); now.Before(next) {
		return next
	}
	if err := s.failure.Swap(nil); err != nil {
		s.keeper.log.Warn("its socket failed", "nic", s.name, "error", *err)
	}
	s.opened = now
	ports, err := s.reopen()
	if err != nil {
		s.complain("cannot be opened; it is tried again", err)
		return now.Add(retryInterval)
	}
	s.said = ""
	// Attached first: who takes over after frames went past by what OnOpen sets
	// up has to find their copies in the port.
	s.ports.attach(ports)
	if err := s.keeper.options.OnOpen(s.side, s.told.Index); err != nil {
		s.complain("opened, but not all is set up", err)
	}
	s.keeper.log.Info("opened again", "nic", s.name)
	return again
}

// reopen checks a NIC as at the start and takes it.
func (s *side) reopen() ([]Port, error) {
	found, err := s.keeper.system.Inspect(s.name)
	if err != nil {
		return nil, err
	}
	if !found.Exists || found.Index != s.told.Index {
		return nil, errors.New("it is being renamed or replaced")
	}
	var faults []string
	for _, p := range nic.VerifyOne(found) {
		if p.Severity == nic.Fatal {
			faults = append(faults, p.Message+"; "+p.Advice)
		} else {
			s.keeper.log.Warn(p.Message, "nic", p.NIC, "advice", p.Advice)
		}
	}
	if len(faults) > 0 {
		return nil, errors.New(strings.Join(faults, "; "))
	}
	s.keeper.compareMTU()
	return s.take()
}

// complain logs an error, once as long as it is the same.
func (s *side) complain(what string, err error) {
	if text := what + ": " + err.Error(); s.said != text {
		s.said = text
		s.keeper.log.Warn(what, "nic", s.name, "error", err)
	}
}

// close leaves the NIC as it was found.
func (s *side) close() error {
	s.ports.close()
	var errs []error
	if s.lro != 0 {
		if n, err := s.keeper.system.ByIndex(s.lro); err == nil && n.Index != 0 {
			errs = append(errs, nic.RestoreLRO(s.keeper.system.Features(), n.Name))
		}
	}
	if s.release != nil {
		errs = append(errs, s.release())
	}
	return errors.Join(errs...)
}
