package bypass

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/grewire/grewire/track"
)

// The causes of a bypass.
const (
	CauseForced      = "forced"       // somebody wants it: grewire bypass on
	CauseNoHeartbeat = "no-heartbeat" // the worker does not move: crashed, stopped, or hung
	CauseStopped     = "stopped"      // the box was stopped in good order
)

// Status says what the programs do.
type Status struct {
	Fail   string                `json:"fail"` // "open" or "closed"
	Forced bool                  `json:"forced"`
	Sides  map[string]SideStatus `json:"sides"` // by where frames come in
}

// SideStatus is about the frames that come in by a side.
type SideStatus struct {
	NIC       string     `json:"nic"`
	Attached  bool       `json:"attached"`
	Bypassing bool       `json:"bypassing"`       // frames go past the box
	Cause     string     `json:"cause,omitempty"` // of bypassing
	Since     *time.Time `json:"since,omitempty"` // of bypassing
	// Redirected went past the box; Dropped are the host's copies of what did
	// not. Super-frames count once, octets from the MAC header on.
	Redirected Count `json:"redirected"`
	Dropped    Count `json:"dropped"`
}

// Count counts frames and their octets since the state was made.
type Count struct {
	Frames uint64 `json:"frames"`
	Octets uint64 `json:"octets"`
}

// Bypassing reports whether frames of any side go past the box.
func (s *Status) Bypassing() bool {
	for _, side := range s.Sides {
		if side.Bypassing {
			return true
		}
	}
	return false
}

// Status returns what the programs do now.
func (b *Bypass) Status() (Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{Fail: "closed", Forced: atomic.LoadUint64(&b.page.Forced) != 0, Sides: make(map[string]SideStatus)}
	if atomic.LoadUint32(&b.page.Open) != 0 {
		s.Fail = "open"
	}
	for _, side := range [...]track.Side{track.LAN, track.WAN} {
		row := SideStatus{NIC: b.nics[side], Attached: b.isAttached(side)}
		if cause, since := b.bypassing(side); row.Attached && cause != "" {
			at := time.Now().Add(-time.Duration(b.clock.now() - since)).Round(time.Millisecond)
			row.Bypassing, row.Cause, row.Since = true, cause, &at
		}
		if err := b.count(side, &row); err != nil {
			return s, err
		}
		s.Sides[side.String()] = row
	}
	return s, nil
}

// isAttached: a NIC of the same name that was made anew has no program.
func (b *Bypass) isAttached(side track.Side) bool {
	nic, err := b.nic(side)
	return err == nil && uint32(nic.Attrs().Index) == atomic.LoadUint32(&b.page.Sides[side].Nic)
}

// bypassing decides as the program does. It returns why frames go past the box
// and since when, "" if they do not.
func (b *Bypass) bypassing(side track.Side) (cause string, since uint64) {
	s := &b.page.Sides[side]
	forced, beat := atomic.LoadUint64(&b.page.Forced), atomic.LoadUint64(&s.Beat)
	missing := int64(b.clock.now()-beat) > int64(StaleAfter)
	switch {
	case !missing || !b.mayRedirect() || atomic.LoadUint32(&s.Peer) == 0:
		return "", 0
	case beat == 0:
		cause, since = CauseStopped, atomic.LoadUint64(&s.Released)
	default:
		cause, since = CauseNoHeartbeat, beat+uint64(StaleAfter)
	}
	if forced != 0 {
		return CauseForced, max(forced, since)
	}
	return cause, since
}

// count sums the counters of all CPUs.
func (b *Bypass) count(side track.Side, row *SideStatus) error {
	var all []kernelCount
	if err := b.maps.GrewireCounts.Lookup(uint32(side), &all); err != nil {
		return err
	}
	for _, c := range all {
		row.Redirected.Frames += c.Redirected
		row.Redirected.Octets += c.RedirectedOctets
		row.Dropped.Frames += c.Dropped
		row.Dropped.Octets += c.DroppedOctets
	}
	return nil
}

// watchInterval is how soon a change is noticed.
const watchInterval = 50 * time.Millisecond

// Watch calls onChange when frames of a side begin to go past the box, and
// when they cease to, until ctx is done. It knows of a time during which this
// process was stopped, too, but afterwards. What goes on when it is called is
// no change.
func (b *Bypass) Watch(ctx context.Context, onChange func(side track.Side, on bool, cause string)) {
	var seen [2]observation
	for side := range seen {
		seen[side] = b.observe(track.Side(side))
	}
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for side := range seen {
			now := b.observe(track.Side(side))
			now.changes(seen[side], func(on bool, cause string) { onChange(track.Side(side), on, cause) })
			seen[side] = now
		}
	}
}

// observation is how a side is found at a time.
type observation struct {
	cause    string // of a bypass, "" if there is none
	returned uint64 // how often the worker has come back
}

func (b *Bypass) observe(side track.Side) observation {
	returned := b.guards[side][0].returned.Load()
	cause, _ := b.bypassing(side)
	return observation{cause, returned}
}

// changes says what must have happened between two observations.
func (now observation) changes(before observation, report func(on bool, cause string)) {
	was := before.cause
	if was == "" && now.returned != before.returned {
		was = CauseNoHeartbeat // between the two, and over
		report(true, was)
	}
	if was != "" && (now.cause == "" || now.returned != before.returned) {
		report(false, was)
		was = ""
	}
	if was == "" && now.cause != "" {
		report(true, now.cause)
	}
}
