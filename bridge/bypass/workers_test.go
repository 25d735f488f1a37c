package bypass

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// crew are the workers of a direction under the test's clock.
type crew struct {
	state  kernelState
	now    uint64
	guards []*guard
}

func newCrew(workers int) *crew {
	c := &crew{now: uint64(time.Hour)}
	c.state.Open = 1
	c.guards = newGuards(&c.state, &c.state.Sides[0], func() uint64 { return c.now }, workers)
	for range 2 {
		for _, g := range c.guards {
			g.Beat()
		}
	}
	return c
}

func (c *crew) sleep(d time.Duration) { c.now += uint64(d) }

// redirects decides as the program does.
func (c *crew) redirects() bool {
	return int64(c.now-c.state.Sides[0].Beat) > int64(StaleAfter) && (c.state.Open != 0 || c.state.Forced != 0)
}

// TestBeatOfSeveral: one of three workers hangs, and comes back; the others
// notice both, and nobody sends what went past.
func TestBeatOfSeveral(t *testing.T) {
	c := newCrew(3)
	before := c.guards[0].returned.Load()
	beat := func(worker int, want bool) {
		t.Helper()
		if got := c.guards[worker].Beat(); got != want {
			t.Errorf("at %v worker %d: Beat %v, want %v", time.Duration(c.now)-time.Hour, worker, got, want)
		}
	}
	for range 9 { // worker 2 hangs
		c.sleep(10 * time.Millisecond)
		beat(0, true)
		beat(1, true)
	}
	if c.redirects() {
		t.Error("frames go past after 90 ms")
	}
	c.sleep(11 * time.Millisecond)
	if !c.redirects() {
		t.Error("frames do not go past without one of the workers")
	}
	beat(0, false)
	beat(0, false)
	beat(2, false) // it is back
	if c.redirects() {
		t.Error("frames go past workers that are all there")
	}
	beat(2, true)
	beat(1, false)
	beat(0, false)
	beat(0, true)
	beat(1, true)
	if n := c.guards[0].returned.Load() - before; n != 1 {
		t.Errorf("it has returned %d times, want once", n)
	}
}

// TestReleaseOfSeveral: frames go past when the last worker has let go, and do
// until the last one is back.
func TestReleaseOfSeveral(t *testing.T) {
	c := newCrew(2)
	c.state.Open, c.state.Forced = 0, c.now
	c.guards[0].Release()
	if c.redirects() {
		t.Error("frames go past a worker that has not let go")
	}
	c.guards[1].Release()
	if !c.redirects() || c.state.Sides[0].Beat != 0 || c.state.Sides[0].Released != c.now {
		t.Errorf("all have let go: %+v", c.state.Sides[0])
	}
	if c.guards[0].Beat() {
		t.Error("the first one back does not know that frames go past")
	}
	if !c.redirects() {
		t.Error("frames do not go past a worker that is not back")
	}
	c.guards[1].Beat()
	if c.redirects() {
		t.Error("frames go past workers that are back")
	}
	if c.guards[0].Beat() || !c.guards[0].Beat() || !c.guards[1].Beat() {
		t.Error("they do not find their way back")
	}
}

// TestBeatTellsTheTruth moves workers at random: whatever is done, a worker that
// gets true has had no frame go past since its last beat.
func TestBeatTellsTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCrew(rapid.IntRange(1, 4).Draw(t, "workers"))
		dirty := make([]bool, len(c.guards)) // frames went past since the worker's last beat
		note := func() {
			if c.redirects() {
				for i := range dirty {
					dirty[i] = true
				}
			}
		}
		worker := rapid.IntRange(0, len(c.guards)-1)
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { note() },
			"sleep": func(t *rapid.T) {
				for range rapid.IntRange(1, 12).Draw(t, "times 10 ms") {
					c.sleep(10 * time.Millisecond)
					note()
				}
			},
			"beat": func(t *rapid.T) {
				i := worker.Draw(t, "worker")
				if c.guards[i].Beat() && dirty[i] {
					t.Fatalf("worker %d is told that nothing went past", i)
				}
				dirty[i] = false
			},
			"release": func(t *rapid.T) { c.guards[worker.Draw(t, "worker")].Release() },
			"force": func(t *rapid.T) {
				if c.state.Forced == 0 {
					c.state.Forced = c.now
				} else {
					c.state.Forced, c.state.Ended = 0, c.now
				}
			},
			"fail": func(t *rapid.T) {
				if c.state.Open = 1 - c.state.Open; c.state.Open == 0 {
					c.state.Ended = c.now // see Open
				}
			},
		})
	})
}
