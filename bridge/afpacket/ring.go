package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

// The fields of struct tpacket2_hdr (linux/if_packet.h), with which a slot
// begins, and of the struct sockaddr_ll behind it (TPACKET2_HDRLEN).
const (
	slotStatus   = 0
	slotLen      = 4
	slotSnaplen  = 8
	slotMAC      = 12
	slotVLANTCI  = 24
	slotVLANTPID = 26
	slotSLL      = 32
	slotHdrLen   = slotSLL + sllSize
)

// ring is the source that reads frames where the kernel has put them: in the
// slots of a TPACKET_V2 ring that both see. A slot is the kernel's or the
// port's by its status word; those of a batch go back with the next take.
//
// A frame that is longer than a slot (a super-frame, mostly) leaves its first
// octets in its slot, for its place in the order, and waits whole in the
// socket's queue (PACKET_COPY_THRESH), from which it is taken when its slot's
// turn comes. Its bytes in the slot alone, when the queue was full, make it
// Truncated.
type ring struct {
	geometry
	mem    []byte // of all blocks, shared with the kernel
	next   int    // where the slot begins that is filled next
	oldest int    // and the first of those before it that are not given back
	out    int    // how many of them there are
	copies *messages
	failed unix.Errno // what the queue said instead of a frame
	owed   int        // frames that may be left in the queue
	frames [bridge.BatchSize]track.Frame

	quiet bool   // no frame since idle was last told
	drops uint64 // and how many had been dropped then

	copied, freezes atomic.Uint64
}

// newRing sets up a ring on a socket that is not bound to a protocol yet.
func newRing(fd, mtu int, o *Options) (*ring, error) {
	r := &ring{geometry: o.geometry(mtu), copies: newMessages(o.frameSize)}
	for _, s := range []struct {
		name       string
		opt, value int
	}{
		{"PACKET_VERSION", unix.PACKET_VERSION, unix.TPACKET_V2},
		{"PACKET_RESERVE", unix.PACKET_RESERVE, slotReserve},
		{"PACKET_COPY_THRESH", unix.PACKET_COPY_THRESH, 1},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, s.opt, s.value); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return r, r.arm(fd)
}

// arm has the kernel allocate the ring, and maps it.
func (r *ring) arm(fd int) error {
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, r.request()); err != nil {
		return fmt.Errorf("PACKET_RX_RING of %d octets: %w", r.size(), err)
	}
	mem, err := mapShared(fd, r.size())
	if err != nil {
		return errors.Join(fmt.Errorf("map the ring of %d octets: %w", r.size(), err), disarm(fd))
	}
	r.mem, r.next, r.oldest, r.out = mem, 0, 0, 0
	return nil
}

// disarm takes down a ring that is not mapped; frames wait in the queue then.
func disarm(fd int) error {
	err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{})
	if err != nil {
		return fmt.Errorf("take down the ring: %w", err)
	}
	return nil
}

func (r *ring) take(fd int) ([]track.Frame, unix.Errno) {
	r.release()
	ready, long := r.look()
	if ready == 0 {
		return nil, r.nothing(fd)
	}
	fetched := r.fetch(fd, long)
	frames := r.fill(ready, fetched)
	r.out = ready
	r.quiet = false
	return frames, 0
}

// slot returns the slot that begins at at with all that belongs to it.
func (r *ring) slot(at int) []byte { return r.mem[at : at+r.slotSize : at+r.slotSize] }

// release gives the slots of the last batch back to the kernel, in their
// order.
func (r *ring) release() {
	for ; r.out > 0; r.out-- {
		storeStatus(r.mem, r.oldest, unix.TP_STATUS_KERNEL)
		r.oldest = r.behind(r.oldest)
	}
}

// look counts the slots that are ready, at most a batch, and among them those
// whose frame waits in the queue.
func (r *ring) look() (ready, long int) {
	most := min(bridge.BatchSize, r.slots()-1)
	for at := r.next; ready < most; at = r.behind(at) {
		status := loadStatus(r.mem, at)
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		if status&unix.TP_STATUS_COPY != 0 {
			long++
		}
		prefetch(&r.mem[at])
		ready++
	}
	return ready, long
}

// nothing is what take returns when no slot is ready.
func (r *ring) nothing(fd int) unix.Errno {
	if r.owed > 0 {
		r.drain(fd)
	}
	errno := unix.EAGAIN
	if r.failed != 0 {
		errno, r.failed = r.failed, 0
	}
	return errno
}

// fetch takes n frames out of the queue and returns how many it got. They are
// there: the kernel queues a frame before it shows the slot.
func (r *ring) fetch(fd, n int) (got int) {
	const tries = 4 // a signal, the socket's error: each of them once or twice
	for failures := 0; got < n && failures < tries; {
		m, errno := recvmmsg(fd, r.copies.msgs[got:n])
		got += m
		if errno != 0 {
			failures++
		}
		if errno != 0 && errno != unix.EINTR && errno != unix.EAGAIN {
			r.failed = errno
		}
	}
	r.owed += n - got
	return got
}

// drain throws away what is left in the queue: its slots are gone, and ppoll
// would report it for ever.
func (r *ring) drain(fd int) {
	for range r.slots() {
		if _, errno := recvmmsg(fd, r.copies.msgs); errno != 0 && errno != unix.EINTR {
			break
		}
	}
	for i := range r.copies.msgs {
		r.copies.reset(i)
	}
	r.owed = 0
}

// fill makes frames of the next slots; fetched are the frames from the queue,
// in the same order.
func (r *ring) fill(ready, fetched int) []track.Frame {
	frames, c := r.frames[:0], 0
	for range ready {
		slot := r.slot(r.next)
		r.next = r.behind(r.next)
		aux := parseSlot(slot)
		long := aux.status&unix.TP_STATUS_COPY != 0 && c < fetched && r.copies.holds(c, int(aux.len))
		// PACKET_IGNORE_OUTGOING left none; a loop would be worse than a look.
		if slot[slotSLL+sllPkttype] != unix.PACKET_OUTGOING {
			frames = frames[:len(frames)+1]
			f := &frames[len(frames)-1]
			if long {
				r.fillLong(f, slot, c, &aux)
			} else {
				fillSlot(f, slot, &aux)
			}
		}
		if long {
			c++
		}
	}
	for i := range fetched {
		r.copies.reset(i)
	}
	r.copied.Add(uint64(c))
	return frames
}

// fillLong makes a frame of message c from the queue, and of what its slot
// says about it.
func (r *ring) fillLong(f *track.Frame, slot []byte, c int, aux *auxdata) {
	truncated := r.copies.cut(c)
	place(f, r.copies.slot(c), headroom, headroom+r.copies.len(c), aux, slotVnetHdr(slot))
	f.Truncated = truncated
}

// fillSlot makes a frame of what is in a slot.
func fillSlot(f *track.Frame, slot []byte, aux *auxdata) {
	start := slotMACOffset(slot)
	end := start + int(aux.snaplen)
	if start < slotHdrLen+vnetHdrLen || end < start || end > len(slot) { // never, by what the kernel does
		*f = track.Frame{Truncated: true}
		return
	}
	place(f, slot, start, end, aux, (*[vnetHdrLen]byte)(slot[start-vnetHdrLen:]))
	f.Truncated = aux.snaplen < aux.len
}

// parseSlot reads what the kernel knows about a slot's frame.
func parseSlot(slot []byte) auxdata {
	return auxdata{
		status:  binary.NativeEndian.Uint32(slot[slotStatus:]),
		len:     binary.NativeEndian.Uint32(slot[slotLen:]),
		snaplen: binary.NativeEndian.Uint32(slot[slotSnaplen:]),
		vlanTCI: binary.NativeEndian.Uint16(slot[slotVLANTCI:]),
		tpid:    binary.NativeEndian.Uint16(slot[slotVLANTPID:]),
	}
}

func slotMACOffset(slot []byte) int { return int(binary.NativeEndian.Uint16(slot[slotMAC:])) }

// slotVnetHdr is the virtio_net_hdr, which stands right before the frame.
func slotVnetHdr(slot []byte) *[vnetHdrLen]byte {
	at := slotMACOffset(slot)
	if at < slotHdrLen+vnetHdrLen || at > len(slot) { // never, by what the kernel does
		return new([vnetHdrLen]byte)
	}
	return (*[vnetHdrLen]byte)(slot[at-vnetHdrLen:])
}

// readError reads what take does not meet: it asks the ring, not the socket.
func (r *ring) readError(fd int) unix.Errno {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return unix.EBADF
	}
	return unix.Errno(errno)
}

// idle finds a ring that the kernel has left for good. tpacket_rcv marks a
// slot as being written before it asks for a frame's virtio_net_hdr; for a
// super-frame that has none (SCTP, UDP fragmentation) it drops the frame and
// leaves the mark, so that every frame from then on finds its slot taken and
// is dropped. From here it looks like this: frames are dropped though the ring
// was empty all the time. A new ring starts without marks.
func (r *ring) idle(fd int, drops uint64) error {
	frozen := r.quiet && drops > r.drops
	r.quiet, r.drops = true, drops
	if !frozen {
		return nil
	}
	r.freezes.Add(1)
	if err := unmap(r.mem); err != nil {
		return fmt.Errorf("unmap the ring: %w", err)
	}
	r.mem = nil
	if err := disarm(fd); err != nil {
		return err
	}
	return r.arm(fd)
}

func (r *ring) close() {
	if r.mem == nil {
		return
	}
	if r.out == 0 {
		_ = unmap(r.mem) // of memory that mmap gave: cannot fail
		r.mem = nil
		return
	}
	// A mapped ring keeps the socket open. Frames are out, so that something
	// readable must take its place; it costs address space only.
	replaceByZeros(r.mem)
}

func (r *ring) counters() (copied, freezes uint64) { return r.copied.Load(), r.freezes.Load() }

func (r *ring) backend() Backend { return Ring }
