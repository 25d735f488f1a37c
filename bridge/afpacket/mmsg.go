package afpacket

import (
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
)

const (
	// headroom is what a slot has before the frame: room for a VLAN tag, and
	// what keeps the slot's frame on an even boundary.
	headroom = 16
	// slotSize holds the longest frame without BIG TCP whole: 65535 octets of
	// IP with Ethernet header and tags, by the virtio_net_hdr a super-frame of
	// many segments. That it is an odd multiple of 64 spreads the heads of a
	// batch over all sets of the first cache.
	slotSize         = 66<<10 + 192
	defaultFrameSize = slotSize - headroom
)

// The offset in struct sockaddr_ll of who the frame is for, and its size.
const (
	sllPkttype = 10
	sllSize    = unix.SizeofSockaddrLinklayer
)

// messages are a batch of slots in the process's own memory and what
// recvmmsg(2) wants to know about them, all allocated once.
type messages struct {
	slots   []byte
	size    int // of a slot
	msgs    []unix.Mmsghdr
	iovs    [bridge.BatchSize][2]unix.Iovec
	hdrs    [bridge.BatchSize][vnetHdrLen]byte
	names   [bridge.BatchSize][sllSize]byte
	control [bridge.BatchSize][controlLen]byte
}

func newMessages(frameSize int) *messages {
	m := &messages{size: headroom + frameSize, msgs: make([]unix.Mmsghdr, bridge.BatchSize)}
	m.slots = make([]byte, m.size*bridge.BatchSize)
	for i := range m.msgs {
		iov := &m.iovs[i]
		iov[0].Base = &m.hdrs[i][0]
		iov[0].SetLen(vnetHdrLen)
		iov[1].Base = &m.slot(i)[headroom]
		iov[1].SetLen(frameSize)
		h := &m.msgs[i].Hdr
		h.Name = &m.names[i][0]
		h.Iov = &iov[0]
		h.SetIovlen(len(iov))
		h.Control = &m.control[i][0]
		m.reset(i)
	}
	return m
}

func (m *messages) slot(i int) []byte { return m.slots[i*m.size : (i+1)*m.size : (i+1)*m.size] }

// reset undoes what the kernel writes into a message header.
func (m *messages) reset(i int) {
	h := &m.msgs[i].Hdr
	h.Namelen = sllSize
	h.SetControllen(controlLen)
	h.Flags = 0
}

// len returns how many octets of frame message i has.
func (m *messages) len(i int) int { return max(0, int(m.msgs[i].Len)-vnetHdrLen) }

// cut reports whether message i lacks an end.
func (m *messages) cut(i int) bool {
	return m.msgs[i].Hdr.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0
}

// holds reports whether message i may be a frame of n octets.
func (m *messages) holds(i, n int) bool { return m.cut(i) || m.len(i) == n }

// mmsg is the source that takes frames out of the socket's queue with
// recvmmsg(2): one copy, from the kernel's buffer into a slot.
type mmsg struct {
	messages *messages
	frames   [bridge.BatchSize]track.Frame
}

func newMMsg(frameSize int) *mmsg { return &mmsg{messages: newMessages(frameSize)} }

func (s *mmsg) take(fd int) ([]track.Frame, unix.Errno) {
	n, errno := recvmmsg(fd, s.messages.msgs)
	if errno != 0 {
		return nil, errno
	}
	frames := s.frames[:0]
	for i := range n {
		// PACKET_IGNORE_OUTGOING left none; a loop would be worse than a look.
		if s.messages.names[i][sllPkttype] != unix.PACKET_OUTGOING {
			frames = frames[:len(frames)+1]
			s.fill(&frames[len(frames)-1], i)
		}
		s.messages.reset(i)
	}
	return frames, 0
}

// fill makes a frame of message i.
func (s *mmsg) fill(f *track.Frame, i int) {
	m := s.messages
	aux, ok := parseAuxdata(m.control[i][:min(controlLen, int(m.msgs[i].Hdr.Controllen))])
	// Without auxdata a tag may be missing, which is as bad as an end that is.
	truncated := !ok || aux.snaplen < aux.len || m.cut(i)
	place(f, m.slot(i), headroom, headroom+m.len(i), &aux, &m.hdrs[i])
	f.Truncated = truncated
}

// place makes a frame of slot[start:end], its tag put back in place. There is
// room for a tag before start, where h may stand.
func place(f *track.Frame, slot []byte, start, end int, aux *auxdata, h *[vnetHdrLen]byte) {
	*f = track.Frame{}
	if !nothingLeft(h) {
		f.Offload = decodeVnetHdr(h)
	}
	if tag, tagged := aux.vlan(); tagged && end-start >= macsLen {
		start = restoreTag(slot, start, tag)
		shiftOffload(&f.Offload, vlanTagLen)
	}
	f.Data = slot[start:end:end]
}

// readError: recvmmsg reports the socket's error by itself.
func (s *mmsg) readError(int) unix.Errno { return 0 }

func (s *mmsg) idle(int, uint64) error { return nil }

func (s *mmsg) close() {}

func (s *mmsg) counters() (copied, freezes uint64) { return 0, 0 }

func (s *mmsg) backend() Backend { return MMsg }
