package links

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/track"
)

const settle = 10 * time.Second

// wires is a model of two NICs: what is plugged in, and who set what down.
type wires struct {
	now     time.Time
	nics    [2]nic.State
	cable   [2]bool          // plugged in, and the other end is up
	takes   [2]time.Duration // to find the link
	finds   [2]time.Time     // when the link is found; zero if it is not looked for
	indexes int
	p       *propagation
	orders  int
}

func newWires() *wires {
	w := &wires{now: time.Unix(1000, 0), cable: [2]bool{true, true}, indexes: 2}
	for i := range w.nics {
		w.nics[i] = nic.State{Index: i + 1, Up: true}
	}
	w.p = newPropagation(w.now, settle)
	return w
}

// plug brings link states about.
func (w *wires) plug() {
	for i := range w.nics {
		n := &w.nics[i]
		switch looking := n.Index != 0 && n.Up && w.cable[i]; {
		case !looking:
			w.finds[i], n.Running = time.Time{}, false
		case w.finds[i].IsZero():
			w.finds[i] = w.now.Add(w.takes[i])
			fallthrough
		default:
			n.Running = !w.now.Before(w.finds[i])
		}
	}
}

// settleDown carries out orders until there are none at this moment.
func (w *wires) settleDown() (log []string) {
	for round := 0; ; round++ {
		w.plug()
		orders := w.p.decide(w.now, w.nics)
		if len(orders) == 0 {
			return log
		}
		if round > 10 {
			panic(fmt.Sprintf("no end of orders: %v", orders))
		}
		for _, o := range orders {
			w.nics[o.side].Up = o.up
			w.p.done(w.now, o, w.nics[o.side].Index)
			w.orders++
			log = append(log, fmt.Sprintf("%v %v", o.side, o.up))
		}
	}
}

func (w *wires) remove(side track.Side) { w.nics[side] = nic.State{} }

func (w *wires) add(side track.Side, up bool) {
	w.indexes++
	w.nics[side] = nic.State{Index: w.indexes, Up: up}
}

// pass lets time pass, stopping where the propagation or a link wants it.
func (w *wires) pass(d time.Duration) (log []string) {
	for end := w.now.Add(d); ; {
		log = append(log, w.settleDown()...)
		next := end
		for _, at := range append(w.finds[:], w.p.next(w.now)) {
			if at.After(w.now) && at.Before(next) {
				next = at
			}
		}
		if !next.After(w.now) {
			return log
		}
		w.now = next
	}
}

func (w *wires) taken() string {
	return fmt.Sprintf("lan %v, wan %v", w.p.takenDown(track.LAN) != 0, w.p.takenDown(track.WAN) != 0)
}

func TestPropagation(t *testing.T) {
	const none, lan, wan = "lan false, wan false", "lan true, wan false", "lan false, wan true"
	type step struct {
		do   func(w *wires)
		want string // who is taken down then
	}
	pull := func(side track.Side) func(*wires) { return func(w *wires) { w.cable[side] = false } }
	plug := func(side track.Side) func(*wires) { return func(w *wires) { w.cable[side] = true } }
	set := func(side track.Side, up bool) func(*wires) { return func(w *wires) { w.nics[side].Up = up } }
	later := func(w *wires) { w.pass(settle) }
	tests := []struct {
		name  string
		steps []step
	}{
		{"cable", []step{{pull(track.WAN), lan}, {plug(track.WAN), none}, {pull(track.LAN), wan}, {plug(track.LAN), none}}},
		{"set down", []step{{set(track.WAN, false), lan}, {set(track.WAN, true), none}}},
		{"removed and made anew", []step{{func(w *wires) { w.remove(track.WAN) }, lan}, {func(w *wires) { w.add(track.WAN, false) }, lan}, {set(track.WAN, true), none}}},
		{"the one that is taken down is removed", []step{
			{pull(track.LAN), wan}, {func(w *wires) { w.remove(track.WAN) }, none}, {later, none},
			{plug(track.LAN), lan}, {func(w *wires) { w.add(track.WAN, true) }, none},
		}},
		{"both pulled, first back first", []step{
			{pull(track.LAN), wan}, {pull(track.WAN), wan}, {plug(track.LAN), none}, {later, lan}, {plug(track.WAN), none},
		}},
		{"both pulled, second back first", []step{
			{pull(track.LAN), wan}, {pull(track.WAN), wan}, {plug(track.WAN), wan}, {plug(track.LAN), none},
		}},
		{"somebody sets up what is taken down", []step{{pull(track.LAN), wan}, {set(track.WAN, true), wan}, {plug(track.LAN), none}}},
		{"what is taken down is set down", []step{{pull(track.LAN), wan}, {set(track.WAN, false), wan}, {plug(track.LAN), none}}},
		{"lost again while the other settles", []step{
			{pull(track.LAN), wan}, {func(w *wires) { w.takes[track.WAN] = 3 * time.Second; w.cable[track.LAN] = true }, none},
			{pull(track.LAN), wan}, {plug(track.LAN), none}, {later, none},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWires()
			w.settleDown()
			for i, s := range tt.steps {
				s.do(w)
				w.settleDown()
				if got := w.taken(); got != s.want {
					t.Fatalf("step %d: %s, want %s", i, got, s.want)
				}
			}
		})
	}
}

// TestPropagationAtStart: NICs that are still looking for their link at the
// start are given time.
func TestPropagationAtStart(t *testing.T) {
	w := newWires()
	w.takes[track.LAN] = 4 * time.Second
	if log := w.pass(time.Hour); len(log) != 0 {
		t.Errorf("orders %v", log)
	}
	w = newWires()
	w.cable[track.WAN] = false
	if log := w.pass(settle - 1); len(log) != 0 {
		t.Errorf("orders %v before it settled", log)
	}
	if log := fmt.Sprint(w.pass(2)); log != "[lan false]" {
		t.Errorf("orders %v, want that lan is taken down", log)
	}
}

// TestPropagationSlowLinks: links that take longer than a side may settle do
// not swing for ever.
func TestPropagationSlowLinks(t *testing.T) {
	w := newWires()
	w.settleDown()
	for i := range w.takes {
		w.takes[i] = 3 * settle
	}
	for i := range w.cable {
		w.cable[i] = false
		w.settleDown()
	}
	w.cable = [2]bool{true, true}
	w.pass(time.Hour)
	if got := w.taken(); got != "lan false, wan false" || !w.nics[0].Running || !w.nics[1].Running {
		t.Errorf("after an hour: %s, %+v", got, w.nics)
	}
	if log := w.pass(24 * time.Hour); len(log) != 0 {
		t.Errorf("it still swings: %v", log)
	}
}

// TestPropagationNeverLocks: whatever happens to the two, never are both taken
// down; and once both cables are in and both NICs are up but for what the
// propagation took down, both have their link in bounded time.
func TestPropagationNeverLocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWires()
		for i := range w.takes {
			w.takes[i] = time.Duration(rapid.IntRange(0, int(2*settle/time.Second)).Draw(t, "takes")) * time.Second
		}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			side := track.Side(rapid.IntRange(0, 1).Draw(t, "side"))
			w.happen(rapid.IntRange(0, 6).Draw(t, "what"), side)
			w.pass(time.Duration(rapid.IntRange(0, 25).Draw(t, "seconds")) * time.Second)
			if w.p.takenDown(track.LAN) != 0 && w.p.takenDown(track.WAN) != 0 {
				t.Fatal("both are taken down")
			}
			for i, n := range w.nics {
				if taken := w.p.takenDown(track.Side(i)); taken != 0 && (n.Index != taken || n.Up) {
					t.Fatalf("side %d counts as taken down and is %+v", i, n)
				}
			}
		}
		w.mend()
		w.pass(time.Hour)
		if !w.nics[0].Running || !w.nics[1].Running || w.taken() != "lan false, wan false" {
			t.Fatalf("an hour after all was mended: %s, %+v", w.taken(), w.nics)
		}
		if log := w.pass(time.Hour); len(log) != 0 {
			t.Fatalf("orders %v though nothing happens", log)
		}
	})
}

// happen lets something happen to a side.
func (w *wires) happen(what int, side track.Side) {
	n := &w.nics[side]
	switch what {
	case 0:
		w.cable[side] = false
	case 1:
		w.cable[side] = true
	case 2:
		n.Up = false
	case 3:
		n.Up = n.Index != 0
	case 4:
		w.remove(side)
	case 5, 6:
		w.add(side, what == 5)
	}
}

// mend undoes what others did; what the propagation did is left to it.
func (w *wires) mend() {
	for i := range w.nics {
		side := track.Side(i)
		w.cable[side] = true
		switch {
		case w.nics[side].Index == 0:
			w.add(side, true)
		case w.p.takenDown(side) == 0:
			w.nics[side].Up = true
		}
	}
}
