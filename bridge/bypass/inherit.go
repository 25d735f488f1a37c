package bypass

import (
	"slices"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/grewire/grewire/track"
)

// attached returns the IDs of this package's programs at a hook of a NIC, as
// far as that can be known.
func (b *Bypass) attached(ifindex int, hook ebpf.AttachType) ([]ebpf.ProgramID, error) {
	left, err := b.record.read()
	b.complain(err)
	own, err := b.own()
	if err != nil {
		return nil, err
	}
	return attached(ifindex, hook, append(left.Programs, own...))
}

// own returns the IDs of the programs that this process has loaded.
func (b *Bypass) own() (ids []ebpf.ProgramID, err error) {
	if b.programs == nil {
		return nil, nil
	}
	for _, p := range [...]*ebpf.Program{b.programs.GrewireLan, b.programs.GrewireWan, b.programs.GrewireToLan, b.programs.GrewireToWan} {
		id, err := idOf(p)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// inherit takes over what a record says of an earlier box: a bypass that somebody
// wants, and which NICs were not promiscuous. Its state may be gone although it was
// not ended: with NICs that were made anew, or before it was attached to any.
func (b *Bypass) inherit() {
	left, err := b.record.read()
	b.complain(err)
	atomic.StoreUint64(&b.page.Forced, left.Forced)
	for side, name := range b.nics {
		index, err := indexOf(name)
		if err != nil {
			continue // Attach says why
		}
		atomic.StoreUint32(&b.page.Sides[side].Nic, uint32(index))
		if slices.Contains(left.Promiscuous, uint32(index)) {
			atomic.StoreUint32(&b.page.Sides[side].Promisc, 1)
		}
	}
}

// expectBypass is for NICs that an earlier box, which cannot be looked at, has
// left: frames may go past now, and have to find their way while only one NIC has
// its new programs.
func (b *Bypass) expectBypass() {
	atomic.StoreUint64(&b.page.Ended, b.clock.now())
	for side := range b.nics {
		b.guards[side][0].Release() // as nobody has beaten yet, for all
		atomic.StoreUint32(&b.page.Sides[track.Side(side).Other()].Peer, atomic.LoadUint32(&b.page.Sides[side].Nic))
	}
}

// remember records programs before they are attached, and how the shared state
// is.
func (b *Bypass) remember(programs ...ebpf.ProgramID) {
	b.complain(b.record.update(func(t *traces) {
		t.Programs = append(without(t.Programs, programs), programs...)
		b.describe(t)
	}))
}

// forget records that programs are detached.
func (b *Bypass) forget(programs []ebpf.ProgramID) {
	if len(programs) == 0 {
		return
	}
	b.complain(b.record.update(func(t *traces) {
		t.Programs = without(t.Programs, programs)
		b.describe(t)
	}))
}

// describe records what the next state has to take over from this one.
func (b *Bypass) describe(t *traces) {
	t.Forced, t.Promiscuous = atomic.LoadUint64(&b.page.Forced), nil
	for side := range b.page.Sides {
		if s := &b.page.Sides[side]; atomic.LoadUint32(&s.Promisc) != 0 {
			t.Promiscuous = append(t.Promiscuous, atomic.LoadUint32(&s.Nic))
		}
	}
}

func (b *Bypass) complain(err error) {
	if err != nil {
		b.log.Warn("a box that is not root will not know what this one leaves on the NICs", "error", err)
	}
}
