package bypass_test

import (
	"context"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/track"
)

// pace is the interval of the streams' datagrams.
const pace = 500 * time.Microsecond

// streams are a stream each way, by the side that they come in by.
type streams struct {
	*lab
	all    [2]*bridgetest.Stream
	stalls *bridgetest.Stalls
}

func (l *lab) stream() *streams {
	l.t.Helper()
	s := &streams{lab: l, stalls: bridgetest.WatchStalls()}
	l.t.Cleanup(s.stalls.Stop)
	var err error
	if s.all[track.LAN], err = bridgetest.StartStream(l.top.Client, l.top.Server, bridgetest.ServerAddr, 4000, pace); err == nil {
		s.all[track.WAN], err = bridgetest.StartStream(l.top.Server, l.top.Client, bridgetest.ClientAddr(0), 4000, pace)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	s.flow(200)
	return s
}

// flow waits until n more datagrams have arrived at both ends.
func (s *streams) flow(n int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for _, one := range s.all {
		if _, err := one.Wait(ctx, n); err != nil {
			s.t.Fatal(err)
		}
	}
}

// finish ends the streams and checks that nothing came twice or late.
func (s *streams) finish() (results [2]bridgetest.StreamResult) {
	s.t.Helper()
	for side, one := range s.all {
		r, err := one.Stop()
		if err != nil {
			s.t.Error(err)
		}
		s.t.Logf("from %s: %d sent, %d lost, %d twice, %d late", track.Side(side), r.Sent, r.Lost(), r.Duplicates, r.Late)
		if r.Duplicates != 0 || r.Late != 0 {
			s.t.Errorf("from %s: %d datagrams came twice and %d late; the longest stall of the machine was %v",
				track.Side(side), r.Duplicates, r.Late, s.stalls.Longest())
		}
		results[side] = r
	}
	return results
}

// The longest times without traffic that the box promises.
const (
	mostAtLoss     = 150 * time.Millisecond
	mostAtHandBack = 20 * time.Millisecond
)

// gap checks the longest time without an arrival after a moment. What threads
// had to wait for their turn meanwhile is not the box's.
func (s *streams) gap(r *bridgetest.StreamResult, side track.Side, what string, at time.Time, most time.Duration) {
	s.t.Helper()
	from, to := at.Add(-10*time.Millisecond), at.Add(250*time.Millisecond)
	gap, began := r.Gap(from, to)
	stalls := s.stalls.Between(began, began.Add(gap))
	s.t.Logf("%s: %v without traffic from %s, %v later; stalls of the machine meanwhile: %v", what,
		gap.Round(100*time.Microsecond), side, began.Sub(at).Round(time.Millisecond), stalls.Round(100*time.Microsecond))
	if gap > most+stalls {
		s.t.Errorf("%s: %v without traffic from %s, want at most %v and %v of stalls", what, gap, side, most, stalls)
	}
}

// TestHungWorker hangs one worker after the other. The other direction does
// not notice.
func TestHungWorker(t *testing.T) { testHungWorker(t, 1) }

// TestHungWorkerOfSeveral: of several workers each is missed, the one that has
// the stream and the one that has nothing.
func TestHungWorkerOfSeveral(t *testing.T) { testHungWorker(t, 2) }

func testHungWorker(t *testing.T, workers int) {
	l := newLab(t)
	l.options.Workers = workers
	l.attach(true)
	l.run()
	s := l.stream()
	var hung, back [2][]time.Time
	for _, side := range []track.Side{track.LAN, track.WAN} {
		for _, hang := range l.hang[side] {
			release := make(chan struct{})
			hung[side] = append(hung[side], time.Now())
			hang <- release
			l.until("bypassing", func(s *bypass.Status) bool {
				of := s.Sides[side.String()]
				return of.Bypassing && of.Cause == bypass.CauseNoHeartbeat && !s.Sides[side.Other().String()].Bypassing
			})
			s.flow(400)
			back[side] = append(back[side], time.Now())
			close(release)
			l.until("carrying again", func(s *bypass.Status) bool { return !s.Bypassing() })
			s.flow(800)
		}
	}
	results := s.finish()
	for side := range results {
		for i := range hung[side] {
			s.gap(&results[side], track.Side(side), "hung", hung[side][i], mostAtLoss)
			s.gap(&results[side], track.Side(side), "back", back[side][i], mostAtHandBack)
		}
		if n := l.status().Sides[track.Side(side).String()].Redirected.Frames; n < 400*uint64(workers) {
			t.Errorf("%d frames from %s redirected, want %d at least", n, track.Side(side), 400*workers)
		}
	}
	l.stop()
}

// TestForcedAndBack goes to the bypass and back while the box runs: nearly
// nothing is lost at either switch.
func TestForcedAndBack(t *testing.T) { testForcedAndBack(t, 1) }

func TestForcedAndBackOfSeveral(t *testing.T) { testForcedAndBack(t, 3) }

func testForcedAndBack(t *testing.T, workers int) {
	l := newLab(t)
	l.options.Workers = workers
	l.attach(false)
	l.run()
	s := l.stream()
	var on, off time.Time
	for range 3 {
		on = time.Now()
		l.inBox(func() error { return l.bypass.Force(true) })
		l.until("forced", func(s *bypass.Status) bool {
			return s.Forced && s.Sides["lan"].Cause == bypass.CauseForced && s.Sides["wan"].Cause == bypass.CauseForced
		})
		s.flow(400)
		off = time.Now()
		l.inBox(func() error { return l.bypass.Force(false) })
		l.until("carrying again", func(s *bypass.Status) bool { return !s.Bypassing() })
		s.flow(800)
	}
	results := s.finish()
	for side := range results {
		s.gap(&results[side], track.Side(side), "on", on, mostAtHandBack)
		s.gap(&results[side], track.Side(side), "off", off, mostAtHandBack)
	}
}

// TestStopAndStart stops a box in good order, with open: frames go past it,
// also when it starts again, until it carries.
func TestStopAndStart(t *testing.T) { testStopAndStart(t, 1) }

func TestStopAndStartOfSeveral(t *testing.T) { testStopAndStart(t, 2) }

func testStopAndStart(t *testing.T, workers int) {
	l := newLab(t)
	l.options.Workers = workers
	l.attach(true)
	l.run()
	s := l.stream()
	stopped := time.Now()
	l.stop()
	l.inBox(l.bypass.Stop)
	if of := l.status().Sides["lan"]; !of.Bypassing || of.Cause != bypass.CauseStopped {
		t.Errorf("a stopped box: %+v", of)
	}
	s.flow(400)
	started := time.Now()
	old := l.status()
	l.attach(true) // as another process would
	if now := l.status(); now.Sides["lan"].Redirected.Frames < old.Sides["lan"].Redirected.Frames {
		t.Errorf("the new box did not take over the state: %+v, was %+v", now, old)
	}
	s.flow(100)
	l.run()
	l.until("carrying again", func(s *bypass.Status) bool { return !s.Bypassing() })
	s.flow(800)
	results := s.finish()
	for side := range results {
		s.gap(&results[side], track.Side(side), "stop", stopped, mostAtHandBack)
		s.gap(&results[side], track.Side(side), "start", started, mostAtHandBack)
	}
	l.stop()
	l.inBox(l.bypass.Detach)
	if gone, err := l.find(); gone || err != nil {
		t.Errorf("something is left after Detach: %v, %v", gone, err)
	}
}

func (l *lab) find() (found bool, err error) {
	l.inBox(func() error {
		var b *bypass.Bypass
		if b, err = bypass.Find(here); b != nil {
			found = true
			return b.Close()
		}
		return nil
	})
	return found, err
}

// TestAttachAgain makes a NIC anew: its program is gone with the old one, and
// Attach puts it back, with the way from the other side.
func TestAttachAgain(t *testing.T) {
	l := newLab(t)
	l.attach(false)
	l.inBox(func() error { return l.bypass.Force(true) })
	if !l.reaches(bridgetest.ServerAddr) {
		t.Fatal("nothing passes in a forced bypass")
	}
	if err := l.top.Box.Delete(bridgetest.LANNIC); err != nil {
		t.Fatal(err)
	}
	if of := l.status().Sides["lan"]; of.Attached || of.Bypassing {
		t.Errorf("status of a NIC that is gone: %+v", of)
	}
	if err := l.top.Lab.Veth(l.top.Client, bridgetest.HostNIC, l.top.Box, bridgetest.LANNIC); err != nil {
		t.Fatal(err)
	}
	if err := l.top.Client.Address(bridgetest.HostNIC, bridgetest.ClientAddr(0)+"/24"); err != nil {
		t.Fatal(err)
	}
	if of := l.status().Sides["lan"]; of.Attached {
		t.Errorf("status of a new NIC: %+v", of)
	}
	l.inBox(func() error { return l.bypass.Attach(track.LAN) })
	if of := l.status().Sides["lan"]; !of.Attached || !of.Bypassing {
		t.Errorf("status after Attach: %+v", of)
	}
	if !l.reaches(bridgetest.ServerAddr) {
		t.Error("nothing passes after Attach")
	}
}
