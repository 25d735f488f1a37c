package receive

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

var (
	frames = flag.Int("frames", 20000, "how many random frames to send, at least")
	seed   = flag.Uint64("seed", 0, "seed of the random frames; 0: of the time")
)

// hosts are the two Linux hosts of the comparison: all frames go to the first,
// and what the box lets pass to the second.
func hosts(t *testing.T) (all, filtered *Linux) {
	t.Helper()
	oneCPU(t)
	lab := bridgetest.New(t)
	var opened [2]*Linux
	for i, name := range []string{"all", "filtered"} {
		l, err := Open(lab, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		opened[i] = l
	}
	return opened[0], opened[1]
}

// oneCPU keeps the test's thread, which ends with the test, on one CPU.
func oneCPU(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if allowed.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
}

const (
	batch = 200 // cases
	shown = 5   // differences
)

// TestLinuxReceivesNothingUnseen sends random frames to Linux and through the
// box.
func TestLinuxReceivesNothingUnseen(t *testing.T) {
	all, filtered := hosts(t)
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	r := run{seed: s, all: all, filtered: filtered, open: NewEngine(func(*track.Policy) {}),
		closed: NewEngine(func(p *track.Policy) { p.DenyPPTP = true })}
	for r.frames < count() {
		if err := r.batch(t); err != nil {
			t.Fatalf("seed %d: %v", s, err)
		}
	}
	t.Logf("seed %d: %s", s, &r)
	if r.differences > 0 {
		t.Errorf("seed %d: %d differences", s, r.differences)
	}
	if least := r.cases / 50; r.delivered.gre < least || r.delivered.tcp < least || r.delivered.answered < least || r.delivered.fragmented < least/4 {
		t.Errorf("seed %d: too little was delivered to tell anything", s)
	}
}

func count() int {
	if testing.Short() {
		return min(*frames, 5000)
	}
	return *frames
}

// run is a comparison.
type run struct {
	seed          uint64
	all, filtered *Linux
	open, closed  *Engine

	cases, frames, differences int
	delivered                  struct{ gre, tcp, answered, fragmented int }
}

func (r *run) String() string {
	d := r.delivered
	return fmt.Sprintf("%d cases of %d frames: %d delivered as GRE, %d as TCP to port %d, %d answered; %d of these in fragments; %d differences",
		r.cases, r.frames, d.gre, d.tcp, port, d.answered, d.fragmented, r.differences)
}

// batch compares some cases.
func (r *run) batch(t *testing.T) error {
	cases, rest := make([]Case, batch), []Case(nil)
	for i := range cases {
		r.cases++
		cases[i] = Random(r.seed, uint32(r.cases), r.all.mac)
		r.frames += len(cases[i].Frames)
		if j := r.closed.Judge(&cases[i]); len(j.Passed) > 0 {
			rest = append(rest, r.filtered.readdressed(Case{cases[i].Number, j.Passed}))
		}
	}
	found, err := r.all.Deliver(cases)
	if err != nil {
		return err
	}
	for i := range cases {
		r.compare(t, &cases[i], found[cases[i].Number])
	}
	found, err = r.filtered.Deliver(rest)
	if err != nil {
		return err
	}
	for i := range rest {
		if d := found[rest[i].Number]; d.Denied() {
			r.differ(t, &rest[i], "%+v, though the box with pptp = \"deny\" stands between", d)
		}
	}
	return nil
}

// compare holds what the box says of a case against what Linux delivered.
func (r *run) compare(t *testing.T, c *Case, d Delivered) {
	j := r.open.Judge(c)
	add(&r.delivered.gre, d.GRE)
	add(&r.delivered.tcp, d.TCP)
	add(&r.delivered.answered, d.Answered)
	add(&r.delivered.fragmented, (d.GRE || d.TCP) && len(c.Frames) > 1)
	switch {
	case d.GRE && !j.GRE, (d.TCP || d.Answered) && !j.TCP:
		r.differ(t, c, "%+v; the box says %v", d, j.Reasons)
	case d.Answered && !d.TCP:
		r.differ(t, c, "answered, but not at the raw socket")
	}
}

func add(n *int, is bool) {
	if is {
		*n++
	}
}

func (r *run) differ(t *testing.T, c *Case, format string, args ...any) {
	t.Helper()
	if r.differences++; r.differences > shown {
		return
	}
	var b strings.Builder
	for i, f := range c.Frames {
		fmt.Fprintf(&b, "\n  frame %d, %d octets: %x", i+1, len(f.Data), f.Data[:min(len(f.Data), 200)])
		if f.Offload != nil {
			fmt.Fprintf(&b, " virtio_net_hdr %x", f.Offload)
		}
	}
	t.Errorf("case %d of seed %d: Linux delivered %s%s", c.Number, r.seed, fmt.Sprintf(format, args...), &b)
}

func TestRandomRepeatsItself(t *testing.T) {
	same := func(a, b Case) bool { return fmt.Sprint(a) == fmt.Sprint(b) }
	if !same(Random(7, 3, [6]byte{2}), Random(7, 3, [6]byte{2})) {
		t.Error("the same seed gives other frames")
	}
	if same(Random(7, 3, [6]byte{2}), Random(8, 3, [6]byte{2})) {
		t.Error("frames are all the same")
	}
}
