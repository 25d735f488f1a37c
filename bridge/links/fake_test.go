package links

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/track"
)

// fakeSystem is a kernel in memory, with the NICs that the test gives it.
type fakeSystem struct {
	mu       sync.Mutex
	nics     map[string]nic.State
	unfit    map[string]string // NICs that belong to a bridge, and which
	features map[string]map[string]nic.Feature
	watch    *fakeWatch
	watches  int
	claims   map[string]int
	closed   bool

	noWatch, noClaim, noChange error // what these fail with
}

func newFakeSystem() *fakeSystem {
	return &fakeSystem{
		nics: map[string]nic.State{
			"lan": {Index: 1, Name: "lan", Up: true, Running: true, MTU: 1500},
			"wan": {Index: 2, Name: "wan", Up: true, Running: true, MTU: 1500},
		},
		unfit: map[string]string{}, claims: map[string]int{}, features: map[string]map[string]nic.Feature{},
	}
}

type fakeWatch struct{ changes chan nic.Change }

func (w *fakeWatch) Changes() <-chan nic.Change { return w.changes }
func (w *fakeWatch) Stop()                      {}

func (f *fakeSystem) Enter() error { return nil }

func (f *fakeSystem) Watch() (Watch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watches++
	if f.noWatch != nil {
		return nil, f.noWatch
	}
	f.watch = &fakeWatch{make(chan nic.Change, 100)}
	return f.watch, nil
}

func (f *fakeSystem) ByName(name string) (nic.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nics[name], nil
}

func (f *fakeSystem) ByIndex(index int) (nic.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.nics {
		if s.Index == index {
			return s, nil
		}
	}
	return nic.State{}, nil
}

func (f *fakeSystem) TakeDown(index int) error { return f.setUp(index, false) }
func (f *fakeSystem) BringUp(index int) error  { return f.setUp(index, true) }
func (f *fakeSystem) Unmark(int) error         { return nil }

func (f *fakeSystem) setUp(index int, up bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noChange != nil {
		return f.noChange
	}
	for name, s := range f.nics {
		if s.Index == index {
			s.Up, s.Running, s.LeftDown = up, up, !up
			f.nics[name] = s
			f.watch.changes <- nic.Change{State: s}
		}
	}
	return nil
}

func (f *fakeSystem) Inspect(name string) (nic.NIC, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.nics[name]
	return nic.NIC{Name: name, Exists: s.Index != 0, Index: s.Index, Type: "ether", Up: s.Up, Carrier: s.Running, MTU: s.MTU, Master: f.unfit[name]}, nil
}

func (f *fakeSystem) Claim(name string) (func() error, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noClaim != nil {
		return nil, f.noClaim
	}
	f.claims[name]++
	return func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.claims[name]--
		return nil
	}, nil
}

func (f *fakeSystem) Features() nic.Features { return fakeFeatures{f} }

type fakeFeatures struct{ *fakeSystem }

func (f fakeFeatures) Features(name string) (map[string]nic.Feature, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.features[name]), nil
}

func (f fakeFeatures) ChangeFeature(name, feature string, on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.features[name][feature] = nic.Feature{On: on, Wanted: on}
	return nil
}

func (f *fakeSystem) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// change changes a NIC and says so.
func (f *fakeSystem) change(s nic.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nics[s.Name] = s
	f.watch.changes <- nic.Change{State: s}
}

// remove removes a NIC and says so, unless it is to be missed.
func (f *fakeSystem) remove(name string, told bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gone := f.nics[name]
	delete(f.nics, name)
	if told {
		f.watch.changes <- nic.Change{State: gone, Deleted: true}
	}
}

// set does something to the system.
func (f *fakeSystem) set(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// fakeLab is a Keeper over NICs and ports in memory.
type fakeLab struct {
	*lab
	system  *fakeSystem
	workers int
	ports   sync.Map // the newest *memory by name, that of the last worker
}

func newFakeLab(t *testing.T) *fakeLab {
	l := &fakeLab{lab: &lab{t: t, more: make(chan struct{})}, system: newFakeSystem()}
	return l
}

func (l *fakeLab) options() Options {
	o := l.lab.options()
	o.System = l.system
	o.Open = func(name string) ([]Port, error) {
		var ports []Port
		for range max(l.workers, 1) {
			m := newMemory()
			l.ports.Store(name, m)
			ports = append(ports, m)
		}
		return ports, nil
	}
	return o
}

func (l *fakeLab) run(o Options) {
	l.t.Helper()
	keeper, err := New(o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.keeper = keeper
	l.follow()
}

// port is the newest port of that name.
func (l *fakeLab) port(name string) *memory {
	p, _ := l.ports.Load(name)
	return p.(*memory)
}

// wait waits until it is so.
func (l *fakeLab) wait(what string, so func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); ; pause() {
		l.system.mu.Lock()
		is := so()
		l.system.mu.Unlock()
		if is {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("never: %s; events %q\n%s", what, l.events, l.log.String())
		}
	}
}

var errRefused = errors.New("operation not permitted")

func (l *fakeLab) attached(side track.Side) func() bool {
	return func() bool { return l.keeper.sides[side].ports.attached() }
}

func stateOf(name string, index int) nic.State {
	return nic.State{Index: index, Name: name, Up: true, Running: true, MTU: 1500}
}

func claimed(f *fakeSystem) string { return fmt.Sprint(f.claims) }
