package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

// openBypass prepares the kernel programs that keep the host out and lead
// frames past a box that does not move, once the NICs are this box's: those of
// another one are none of its business. attachBypass puts them in place. Without
// them a box runs that fails closed, and says so; one that is to fail open does
// not.
func (b *runningBox) openBypass() (err error) {
	options := bypassOptions(b.conf, b.log)
	options.Workers, options.Kept = b.conf.Bridge.Workers, keptFiles()
	b.bypass, err = bypass.Open(options, b.conf.Bridge.Fail == config.FailOpen)
	for _, file := range options.Kept {
		_ = file.Close() // not written to
	}
	if err != nil {
		return b.withoutBypass(err)
	}
	b.keepBypass()
	b.tellBypass()
	return nil
}

// attachBypass puts the programs of a side on its NIC, which was just opened. It
// is called at the start and whenever the NIC was made anew: then an error is
// logged, and nothing goes past the box that comes in there.
func (b *runningBox) attachBypass(side track.Side, _ int) error {
	if b.bypass == nil {
		return nil
	}
	err := b.bypass.Attach(side)
	if err == nil || b.links != nil {
		return err
	}
	return b.withoutBypass(errors.Join(err, b.bypass.Detach(), b.bypass.Close()))
}

// withoutBypass gives the bypass up at the start, if the box can do without.
func (b *runningBox) withoutBypass(err error) error {
	b.bypass = nil
	if b.conf.Bridge.Fail == config.FailOpen {
		return fmt.Errorf(`bridge.fail = "open" cannot be had here: %w`, err)
	}
	b.log.Warn("the host sees what crosses the box, and may answer: keep addresses off the NICs", "error", err)
	return nil
}

// tellBypass says what happened before the box was there.
func (b *runningBox) tellBypass() {
	s, err := b.bypass.Status()
	for _, name := range sideNames {
		if side := s.Sides[name]; err == nil && side.Bypassing {
			b.log.Warn("frames went past the box", "from", name, "nic", side.NIC, "cause", side.Cause, "since", side.Since, "redirected", side.Redirected.Frames)
		}
	}
}

// guards are those of the workers.
func (b *runningBox) guards() (guards [2][]bridge.Guard) {
	if b.bypass != nil {
		guards = [2][]bridge.Guard{b.bypass.Guards(track.LAN), b.bypass.Guards(track.WAN)}
	}
	return guards
}

// watchBypass makes events of frames beginning and ceasing to go past the box.
func (b *runningBox) watchBypass(ctx context.Context) error {
	if b.bypass == nil {
		return nil
	}
	nics := bypassNICs(b.conf)
	b.bypass.Watch(ctx, func(side track.Side, on bool, cause string) {
		e := track.Event{Time: b.clock(), Kind: track.EventBypassOff, Cause: cause, NIC: nics[side]}
		if on {
			e.Kind = track.EventBypassOn
		}
		b.hub.Publish(e)
	})
	return nil
}

// closeBypass leaves the wire as the configuration has it. Programs that cannot
// be taken away keep the host out, and let nothing pass if it is to be closed.
func (b *runningBox) closeBypass() {
	if b.bypass == nil {
		return
	}
	s, err := b.bypass.Status()
	if err = errors.Join(err, b.bypass.Stop(), b.bypass.Close()); err != nil {
		b.log.Warn("the kernel programs stay on the NICs; `grewire bypass off` as root takes them away", "error", err)
	} else if s.Fail == "open" || s.Forced {
		b.log.Info("frames go past the box from now on; `grewire bypass off` ends that", "fail", s.Fail, "forced", s.Forced)
	}
}

// bypassOffPath is for `grewire bypass off` while the NICs are gone, and with
// them the programs by which the command reaches the box's state.
const bypassOffPath = "/bypass/off"

// bypassAnswer is empty if all is well.
type bypassAnswer struct {
	Error string `json:"error,omitempty"`
}

// endBypass is the action of bypassOffPath. There is none for the other way:
// whoever may use the control socket may not open the box by that.
func (b *runningBox) endBypass(context.Context) (any, bool) {
	if b.bypass == nil {
		return bypassAnswer{}, true
	}
	if err := b.bypass.Force(false); err != nil {
		return bypassAnswer{err.Error()}, false
	}
	return bypassAnswer{}, true
}

// bypassStatus is for the statistics; nil if there is no bypass.
func (b *runningBox) bypassStatus() *bypass.Status {
	if b.bypass == nil {
		return nil
	}
	s, err := b.bypass.Status()
	if err != nil {
		return nil
	}
	return &s
}

// bypassProblem says what keeps this machine from a bypass. That this user may
// not look is a warning only: another one may.
func bypassProblem(conf *config.Config) []problemJSON {
	err := bypass.Probe()
	if err == nil {
		return nil
	}
	severity := nic.Warning
	if conf.Bridge.Fail == config.FailOpen && !errors.Is(err, unix.EPERM) {
		severity = nic.Fatal
	}
	return []problemJSON{{Severity: severity.String(), Message: err.Error(),
		Advice: `the host sees what crosses the box, and fail = "open" is refused`}}
}
