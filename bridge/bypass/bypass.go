package bypass

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

// StaleAfter is how long after its last beat a worker counts as missing.
// (STALE_NS of bypass.c.)
const StaleAfter = 100 * time.Millisecond

// Bypass is the state that the programs of two NICs share, and the programs.
// It is safe for concurrent use, until it is closed.
type Bypass struct {
	nics   [2]string
	clock  clock
	guards [2]*guard

	mu       sync.Mutex
	maps     *kernelMaps
	programs *kernelPrograms // nil until Attach needs them
	page     page
}

// Find returns what an earlier Open left on NICs of the calling thread's
// network namespace, by side; nil if neither has anything. A NIC that is gone
// has nothing.
func Find(nics [2]string) (*Bypass, error) {
	spec, err := loadKernel()
	if err != nil {
		return nil, err
	}
	for _, name := range nics {
		index, err := indexOf(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			continue
		}
		if err != nil {
			return nil, err
		}
		maps, err := leftOver(index, spec)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if maps != nil {
			return newBypass(nics, maps)
		}
	}
	return nil, nil
}

// Open returns the bypass of two NICs, by side: the one that is on them
// already, or a new one. Attach puts it in place. Whether frames go past a box
// whose workers are missing is set by open, which takes effect at once.
func Open(nics [2]string, open bool) (*Bypass, error) {
	b, err := Find(nics)
	unknown := errors.Is(err, unix.EPERM) // see Permissions in the package comment
	if err != nil && !unknown {
		return nil, err
	}
	if b == nil {
		if b, err = create(nics, unknown); err != nil {
			return nil, err
		}
	}
	if !open && atomic.LoadUint32(&b.page.Open) != 0 {
		atomic.StoreUint64(&b.page.Ended, b.clock.now())
	}
	atomic.StoreUint32(&b.page.Open, boolWord(open))
	return b, nil
}

// create makes a new state. Its workers count as there, until they had time to
// start; unless it is unknown what an earlier box left: then frames may go past
// right now, and the workers must find that they have missed them.
func create(nics [2]string, unknown bool) (*Bypass, error) {
	var objects kernelObjects
	if err := loadKernelObjects(&objects, nil); err != nil {
		return nil, explain(err)
	}
	b, err := newBypass(nics, &objects.kernelMaps)
	if err != nil {
		return nil, errors.Join(err, objects.kernelPrograms.Close())
	}
	b.programs = &objects.kernelPrograms
	if unknown {
		atomic.StoreUint64(&b.page.Ended, b.clock.now())
		return b, nil
	}
	for _, g := range b.guards {
		g.Beat()
	}
	return b, nil
}

func newBypass(nics [2]string, maps *kernelMaps) (*Bypass, error) {
	shared, err := mapPage(maps.GrewireState)
	if err != nil {
		return nil, errors.Join(err, maps.Close())
	}
	b := &Bypass{nics: nics, clock: newClock(), maps: maps, page: shared}
	for side := range b.guards {
		b.guards[side] = &guard{state: shared.kernelState, side: &shared.Sides[side], now: b.clock.now}
	}
	return b, nil
}

// Guard returns the guard of the frames that come in by a side. It is valid
// until Close.
func (b *Bypass) Guard(side track.Side) bridge.Guard { return b.guards[side] }

// Attach puts the program of a side on the NIC of that side's name, in place of
// that of an earlier box, without a frame in between. It is called again when
// the NIC was made anew.
func (b *Bypass) Attach(side track.Side) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.attach(side); err != nil {
		return fmt.Errorf("%s: %w", b.nics[side], err)
	}
	return nil
}

func (b *Bypass) attach(side track.Side) error {
	if err := b.load(); err != nil {
		return err
	}
	index, err := indexOf(b.nics[side])
	if err != nil {
		return err
	}
	s := &b.page.Sides[side]
	if atomic.SwapUint32(&s.Nic, uint32(index)) != uint32(index) {
		atomic.StoreUint32(&s.Promisc, 0) // another NIC
	}
	if err := b.promiscuous(side, b.mayRedirect()); err != nil {
		return err
	}
	for _, hook := range hooks {
		if err := put(b.program(side, hook), index, hook); err != nil {
			return err
		}
	}
	atomic.StoreUint32(&b.page.Sides[side.Other()].Peer, uint32(index))
	return nil
}

// program is what a side's NIC gets at a hook.
func (b *Bypass) program(side track.Side, hook ebpf.AttachType) *ebpf.Program {
	ingress := [...]*ebpf.Program{track.LAN: b.programs.GrewireLan, track.WAN: b.programs.GrewireWan}
	egress := [...]*ebpf.Program{track.LAN: b.programs.GrewireToLan, track.WAN: b.programs.GrewireToWan}
	if hook == ebpf.AttachTCXIngress {
		return ingress[side]
	}
	return egress[side]
}

// load loads the programs for maps that were found.
func (b *Bypass) load() error {
	if b.programs != nil {
		return nil
	}
	var programs kernelPrograms
	options := &ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{
		kernelMapGrewireState: b.maps.GrewireState, kernelMapGrewireCounts: b.maps.GrewireCounts,
	}}
	if err := loadKernelObjects(&programs, options); err != nil {
		return explain(err)
	}
	b.programs = &programs
	return nil
}

// put attaches a program in place of those that an earlier box left, or before
// all others: the host has no business with the frames, so its programs have
// none either.
func put(program *ebpf.Program, ifindex int, hook ebpf.AttachType) error {
	old, err := attached(ifindex, hook)
	if err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	defer closePrograms(old)
	options := link.RawAttachProgramOptions{Target: ifindex, Program: program, Attach: hook, Anchor: link.Head()}
	if len(old) > 0 {
		if sameProgram(program, old[0]) {
			return nil
		}
		options.Anchor = link.ReplaceProgram(old[0])
		old = old[1:]
	}
	if err := link.RawAttachProgram(options); err != nil {
		return explain(err)
	}
	return take(old, ifindex, hook)
}

func sameProgram(a, b *ebpf.Program) bool {
	ia, errA := a.Info()
	ib, errB := b.Info()
	if errors.Join(errA, errB) != nil {
		return false
	}
	idA, _ := ia.ID()
	idB, _ := ib.ID()
	return idA == idB
}

// take detaches programs.
func take(programs []*ebpf.Program, ifindex int, hook ebpf.AttachType) error {
	var errs []error
	for _, p := range programs {
		err := link.RawDetachProgram(link.RawDetachProgramOptions{Target: ifindex, Program: p, Attach: hook})
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Detach takes the programs from both NICs, and promiscuous mode where it was
// set for them. The host sees the frames from then on, and nothing goes past
// the box.
func (b *Bypass) Detach() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for side, name := range b.nics {
		if err := b.detach(track.Side(side)); err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (b *Bypass) detach(side track.Side) error {
	index, err := indexOf(b.nics[side])
	if err != nil {
		return err
	}
	errs := []error{b.promiscuous(side, false)}
	for _, hook := range hooks {
		errs = append(errs, b.clear(side, index, hook))
	}
	atomic.StoreUint32(&b.page.Sides[side].Nic, 0)
	atomic.StoreUint32(&b.page.Sides[side.Other()].Peer, 0)
	return errors.Join(errs...)
}

// clear takes the programs of this package from a hook; those that this process
// put there it can detach without a look (see Permissions in the package
// comment).
func (b *Bypass) clear(side track.Side, index int, hook ebpf.AttachType) error {
	programs, err := attached(index, hook)
	if errors.Is(err, unix.EPERM) && b.programs != nil {
		return take([]*ebpf.Program{b.program(side, hook)}, index, hook)
	}
	defer closePrograms(programs)
	return errors.Join(err, take(programs, index, hook))
}

// Stop ends the work of a box that stops in good order. With open, or while a
// bypass is forced, everything stays where it is and frames go past the box;
// else the programs go.
func (b *Bypass) Stop() error {
	if b.mayRedirect() {
		return nil
	}
	return b.Detach()
}

// Force begins or ends a bypass that somebody wants, until the machine starts
// anew. A worker lets go by itself within a moment. A NIC that is gone is no
// error: it is dealt with by the Attach that follows when it is back.
func (b *Bypass) Force(on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case on:
		atomic.CompareAndSwapUint64(&b.page.Forced, 0, b.clock.now())
	case atomic.LoadUint64(&b.page.Forced) != 0:
		atomic.StoreUint64(&b.page.Ended, b.clock.now())
		atomic.StoreUint64(&b.page.Forced, 0)
	}
	var errs []error
	for side, name := range b.nics {
		if err := b.promiscuous(track.Side(side), b.mayRedirect()); err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// mayRedirect reports whether frames go past the box when a worker is missing.
func (b *Bypass) mayRedirect() bool {
	return atomic.LoadUint32(&b.page.Open) != 0 || atomic.LoadUint64(&b.page.Forced) != 0
}

// Close lets go of the programs and their state, which stay on the NICs.
func (b *Bypass) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := errors.Join(b.page.unmap(), b.maps.Close())
	if b.programs != nil {
		err = errors.Join(err, b.programs.Close())
	}
	return err
}

func boolWord(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
