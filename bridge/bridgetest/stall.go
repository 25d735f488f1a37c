package bridgetest

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Stalls watches how long a thread on each CPU waits for its turn: a test that
// measures a gap on a busy or virtual machine cannot tell otherwise whose it is.
type Stalls struct {
	stop context.CancelFunc
	done sync.WaitGroup
	mu   sync.Mutex
	all  []stall
}

type stall struct {
	from, to time.Time
	lasted   time.Duration
}

const (
	stallTick = time.Millisecond
	// stallLeast is how late a thread may wake on a machine at rest.
	stallLeast = 2 * time.Millisecond
)

// WatchStalls starts to watch, until Stop.
func WatchStalls() *Stalls {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Stalls{stop: cancel}
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return s
	}
	for cpu, left := 0, allowed.Count(); left > 0; cpu++ {
		if allowed.IsSet(cpu) {
			left--
			s.done.Go(func() { s.watch(ctx, cpu) })
		}
	}
	return s
}

// watch sleeps on one CPU and notes when it wakes late.
func (s *Stalls) watch(ctx context.Context, cpu int) {
	runtime.LockOSThread() // the thread ends with the goroutine
	var one unix.CPUSet
	one.Set(cpu)
	if unix.SchedSetaffinity(0, &one) != nil {
		return
	}
	tick := unix.NsecToTimespec(stallTick.Nanoseconds())
	for last := time.Now(); ctx.Err() == nil; {
		_ = unix.Nanosleep(&tick, nil) // not the runtime's timers, which other threads serve
		now := time.Now()
		if late := now.Sub(last) - stallTick; late > stallLeast {
			s.mu.Lock()
			s.all = append(s.all, stall{last, now, late})
			s.mu.Unlock()
		}
		last = now
	}
}

// Stop ends the watch.
func (s *Stalls) Stop() {
	s.stop()
	s.done.Wait()
}

// Between returns how long threads had to wait between two moments, on all CPUs
// together.
func (s *Stalls) Between(from, to time.Time) (sum time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if one.from.Before(to) && one.to.After(from) {
			sum += one.lasted
		}
	}
	return sum
}

// Longest returns how long a thread had to wait at most.
func (s *Stalls) Longest() (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		longest = max(longest, one.lasted)
	}
	return longest
}
