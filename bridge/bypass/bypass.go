package bypass

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
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
	record record
	log    *slog.Logger
	clock  clock
	guards [2][]*guard // of the workers that take frames from a side

	mu       sync.Mutex
	maps     *kernelMaps
	programs *kernelPrograms // nil until Attach needs them
	page     page
}

// Options say where a bypass is.
type Options struct {
	NICs [2]string // names, by side, in the calling thread's network namespace
	// Workers is how many there are for each direction; 0 means 1.
	Workers int
	// Record is a file in which processes note what they leave on NICs, for one
	// that may not look (see Permissions in the package comment) or finds nothing
	// there because the NICs were made anew; "" means none.
	// Only the user of a box, or root, may be able to write in its directory.
	Record string
	// Kept are the maps that a process of before gave away (Keep), each file with
	// the name of its map; others are passed over. Open looks at them if it may
	// not look at the NICs. It does not close them.
	Kept []*os.File
	// Log is told when the record cannot be kept; nil means nobody.
	Log *slog.Logger
}

// Find returns what an earlier Open left on the NICs; nil if neither has
// anything. A NIC that is gone has nothing.
func Find(o Options) (*Bypass, error) {
	spec, err := loadKernel()
	if err != nil {
		return nil, err
	}
	for _, name := range o.NICs {
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
			return newBypass(o, maps)
		}
	}
	return nil, nil
}

// Open returns the bypass of two NICs: the one that is on them already, or a
// new one. Attach puts it in place. Whether frames go past a box whose workers
// are missing is set by open, which takes effect at once.
func Open(o Options, open bool) (*Bypass, error) {
	b, err := Find(o)
	unknown := errors.Is(err, unix.EPERM) // see Permissions in the package comment
	if err != nil && !unknown {
		return nil, err
	}
	if unknown {
		if b, err = kept(o); err != nil {
			return nil, err
		}
	}
	if b == nil {
		if b, err = create(o, unknown); err != nil {
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
func create(o Options, unknown bool) (*Bypass, error) {
	var objects kernelObjects
	if err := loadKernelObjects(&objects, nil); err != nil {
		return nil, explain(err)
	}
	b, err := newBypass(o, &objects.kernelMaps)
	if err != nil {
		return nil, errors.Join(err, objects.kernelPrograms.Close())
	}
	b.programs = &objects.kernelPrograms
	b.inherit()
	if unknown {
		b.expectBypass()
		return b, nil
	}
	for _, guards := range b.guards {
		for range 2 { // it takes all to beat before one sees it
			for _, g := range guards {
				g.Beat()
			}
		}
	}
	return b, nil
}

func newBypass(o Options, maps *kernelMaps) (*Bypass, error) {
	kernelTime, err := newClock()
	if err != nil {
		return nil, errors.Join(err, maps.Close())
	}
	shared, err := mapPage(maps.GrewireState)
	if err != nil {
		return nil, errors.Join(err, maps.Close())
	}
	b := &Bypass{nics: o.NICs, record: record{o.Record}, log: o.Log, clock: kernelTime, maps: maps, page: shared}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	for side := range b.guards {
		b.guards[side] = newGuards(shared.kernelState, &shared.Sides[side], b.clock.now, max(o.Workers, 1))
	}
	return b, nil
}

// Guards returns those of the workers that take frames from a side. They are
// valid until Close.
func (b *Bypass) Guards(side track.Side) (guards []bridge.Guard) {
	for _, g := range b.guards[side] {
		guards = append(guards, g)
	}
	return guards
}

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
	if atomic.LoadUint32(&s.Nic) != uint32(index) {
		atomic.StoreUint32(&s.Promisc, 0) // of another NIC; first, for a Force meanwhile
		atomic.StoreUint32(&s.Nic, uint32(index))
	}
	if err := b.promiscuous(side, b.mayRedirect()); err != nil {
		return err
	}
	// It was the other side's for an earlier box: frames would go back to where they
	// came from until that one is attached.
	atomic.CompareAndSwapUint32(&s.Peer, uint32(index), 0)
	for _, hook := range hooks {
		if err := b.put(b.program(side, hook), index, hook); err != nil {
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

// put attaches a program before all others: the host has no business with the
// frames, so its programs have none either. Those that an earlier box left go:
// the first of them, which decides until then, last.
func (b *Bypass) put(program *ebpf.Program, ifindex int, hook ebpf.AttachType) error {
	id, err := idOf(program)
	if err != nil {
		return err
	}
	b.remember(id)
	all, err := b.attached(ifindex, hook)
	if err != nil {
		return err
	}
	old := without(all, []ebpf.ProgramID{id})
	if len(old) > 1 {
		if err := b.take(old[1:], ifindex, hook); err != nil {
			return err
		}
		old = old[:1]
	}
	if !slices.Contains(all, id) {
		err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: ifindex, Program: program, Attach: hook, Anchor: link.Head()})
		if err != nil {
			return explain(err)
		}
	}
	return b.take(old, ifindex, hook)
}

// take detaches programs.
func (b *Bypass) take(programs []ebpf.ProgramID, ifindex int, hook ebpf.AttachType) error {
	for _, id := range programs {
		if err := detachID(id, ifindex, hook); err != nil {
			return err
		}
	}
	b.forget(programs)
	return nil
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
	b.remember()
	return errors.Join(errs...)
}

func (b *Bypass) detach(side track.Side) error {
	nic, err := b.nic(side)
	if err != nil {
		return err
	}
	index, errs := nic.Attrs().Index, []error{b.promiscuous(side, false)}
	for _, hook := range hooks {
		programs, err := b.attached(index, hook)
		errs = append(errs, err, b.take(programs, index, hook))
	}
	atomic.StoreUint32(&b.page.Sides[side].Nic, 0)
	atomic.StoreUint32(&b.page.Sides[side.Other()].Peer, 0)
	return errors.Join(errs...)
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
	b.remember()
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
