package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// FCS is the length of Ethernet's frame check sequence, which counts to a
// frame's size (RFC 2544, section 9) but is in no buffer.
const FCS = 4

// Bounds of frame sizes in octets, check sequence included.
const (
	MinSize    = 64
	MaxSize    = 9216
	MaxXDPSize = 3200 // what the XDP sender has room for in a page
)

// maxSizes is how many sizes may take turns, maxFlows how many flows: both as
// in load.c.
const (
	maxSizes = 16
	maxFlows = 1 << 16
)

// Where the fields of a frame are, see struct frame in load.c.
const (
	atType        = 12
	atIP          = 14
	atTotalLength = atIP + 2
	atChecksum    = atIP + 10
	atAddresses   = atIP + 12
	atGRE         = atIP + 20
	atGRELength   = atGRE + 4
	atCallID      = atGRE + 6
	atSequence    = atGRE + 8
	atPPP         = atGRE + 12
	atSlot        = atPPP + 4
	atTime        = atSlot + 2
	headers       = atTime + 8 // octets that mean something; a pattern follows
)

// Flow is one direction of a call, as its frames are where they are sent.
type Flow struct {
	Source, Destination netip.Addr // IPv4
	CallID              uint16     // the receiver's: what the GRE header's key has
}

// PPTPMix is an IMIX as it is inside of a tunnel: seven inner packets of 40
// octets, four of 576 and one of 1,400, in an order that spreads the long ones.
// Around each are PPP with its address and control fields (4), GRE (12), IP (20),
// Ethernet (14) and the check sequence (4).
func PPTPMix() []int {
	const s, m, l = 40 + overhead, 576 + overhead, 1400 + overhead
	return []int{s, m, s, s, m, s, l, s, m, s, s, m}
}

const overhead = 4 + 12 + 20 + 14 + FCS

func checkSizes(frameSizes []int) error {
	if len(frameSizes) == 0 || len(frameSizes) > maxSizes {
		return fmt.Errorf("%d frame sizes, want 1 to %d", len(frameSizes), maxSizes)
	}
	for _, size := range frameSizes {
		if size < MinSize || size > MaxSize {
			return fmt.Errorf("a frame of %d octets, want %d to %d", size, MinSize, MaxSize)
		}
	}
	return nil
}

// template returns the longest of the frames, with everything in it that does
// not depend on the flow, the number or the size.
func template(from, to [6]byte, frameSizes []int) []byte {
	frame := make([]byte, slices.Max(frameSizes)-FCS)
	copy(frame, to[:])
	copy(frame[6:], from[:])
	binary.BigEndian.PutUint16(frame[atType:], 0x0800)
	ip := frame[atIP:]
	ip[0], ip[8], ip[9] = 0x45, 64, 47 // version and header length, TTL, protocol
	ip[6] = 0x40                       // don't fragment
	binary.BigEndian.PutUint32(frame[atGRE:], 0x3001_880b)
	// PPP's address, control and protocol: a compressed datagram, as MPPE has it (RFC 3078).
	binary.BigEndian.PutUint32(frame[atPPP:], 0xff03_00fd)
	for i := headers; i < len(frame); i++ {
		frame[i] = byte(i*37 + i>>8)
	}
	return frame
}

// payloadSum is the Internet checksum, not complemented and in the machine's byte
// order, of what is behind the headers in a frame of that size.
func payloadSum(template []byte, size int) uint16 {
	octets := slices.Clone(template[headers : size-FCS])
	return fold(sum(append(octets, make([]byte, len(octets)%2)...)))
}

func sum(b []byte) (s uint32) {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.NativeEndian.Uint16(b))
	}
	return s
}

func fold(s uint32) uint16 {
	s = s&0xffff + s>>16
	return uint16(s + s>>16)
}

var errIPv4 = errors.New("a flow is between two IPv4 addresses")

// entry is the flow as both senders need it: addresses and IDs in network
// order, and the sum of an IP header with them but without its total length.
func (f Flow) entry(slot int, template []byte) (kernelFlow, error) {
	if !f.Source.Is4() || !f.Destination.Is4() {
		return kernelFlow{}, errIPv4
	}
	header := slices.Clone(template[atIP:atGRE])
	copy(header[12:], f.Source.AsSlice())
	copy(header[16:], f.Destination.AsSlice())
	return kernelFlow{
		Source: binary.NativeEndian.Uint32(header[12:]), Destination: binary.NativeEndian.Uint32(header[16:]),
		CallId: networkOrder(f.CallID), Slot: networkOrder(uint16(slot)), Sum: sum(header),
	}, nil
}

// record is the flow as the receiver knows it.
func (f *kernelFlow) record() kernelRecord {
	return kernelRecord{Source: f.Source, Destination: f.Destination, CallId: f.CallId, Known: 1}
}

// networkOrder is htons.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// patch makes a copy of the template the next frame of a flow. It does what
// bench_send does in load.c.
func (f *kernelFlow) patch(frame []byte, at int64) {
	f.Sequence++
	binary.BigEndian.PutUint16(frame[atTotalLength:], uint16(len(frame)-atIP))
	binary.NativeEndian.PutUint16(frame[atChecksum:], ^fold(f.Sum+uint32(binary.NativeEndian.Uint16(frame[atTotalLength:]))))
	binary.NativeEndian.PutUint32(frame[atAddresses:], f.Source)
	binary.NativeEndian.PutUint32(frame[atAddresses+4:], f.Destination)
	binary.BigEndian.PutUint16(frame[atGRELength:], uint16(len(frame)-atPPP))
	binary.NativeEndian.PutUint16(frame[atCallID:], f.CallId)
	binary.BigEndian.PutUint32(frame[atSequence:], f.Sequence)
	binary.NativeEndian.PutUint16(frame[atSlot:], f.Slot)
	binary.BigEndian.PutUint64(frame[atTime:], uint64(at))
}

// sizeOf picks the size of a flow's next frame by its number, as size_index does
// in load.c, so that the receiver knows it.
func (f *kernelFlow) sizeOf(frameSizes []int) int {
	if len(frameSizes) == 1 {
		return frameSizes[0]
	}
	return frameSizes[(f.Sequence+1+uint32(networkOrder(f.Slot)))%uint32(len(frameSizes))]
}
