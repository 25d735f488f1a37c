package capture

import (
	"net/netip"

	"github.com/grewire/grewire/track/wire"
)

// Checksums tells which hosts of one capture file left their TCP checksums to
// their NIC, so that the file has them unfinished: the capture was taken on the
// sending host. Only segments from or to port 1723 count.
//
// An unfinished checksum is the sum of the pseudo-header or zero. A host leaves
// its checksums if more of its segments have those than data with a right
// checksum: damage does that to a segment now and then, not to most. Drivers
// that leave anything else are believed if there is only one such host, and if
// it sent two or more.
type Checksums struct {
	hosts map[host]sums
	// odd is the only host whose checksums are mostly wrong in no known way.
	odd host
}

// sums counts the segments of a host: of data with a right checksum, with an
// unfinished one, and with another wrong one.
type sums struct{ right, unfinished, wrong uint64 }

func newChecksums() *Checksums { return &Checksums{hosts: make(map[host]sums)} }

// judged reports whether a frame is a segment whose checksum can be judged.
func judged(rec *Record, p *wire.Packet) bool {
	return !rec.Truncated && p.Kind == wire.TCP && !p.Fragment && (p.SrcPort == portPPTP || p.DstPort == portPPTP)
}

func sender(p *wire.Packet) host { return host{p.Zone, p.Src.Netip()} }

// add takes in what one frame tells.
func (c *Checksums) add(rec *Record) {
	var p wire.Packet
	wire.Decode(rec.Data, &p)
	if !judged(rec, &p) {
		return
	}
	from := sender(&p)
	s, known := c.hosts[from]
	if !known && len(c.hosts) == maxSurvey {
		return
	}
	s.count(rec.Data, &p)
	c.hosts[from] = s
}

func (s *sums) count(frame []byte, p *wire.Packet) {
	switch {
	case !wire.TCPChecksumOK(frame, p):
		if wire.TCPChecksumPartial(frame, p) || wire.TCPChecksumZero(frame, p) {
			s.unfinished++
		} else {
			s.wrong++
		}
	case p.PayloadLength() > 0: // hosts finish some segments without data themselves
		s.right++
	}
}

// odd reports whether the checksums of a host are mostly wrong in no known way.
func (s sums) odd() bool { return s.wrong > 1 && s.wrong > s.right && s.unfinished <= s.right }

// conclude is called once the whole file was added.
func (c *Checksums) conclude() {
	n := 0
	for from, s := range c.hosts {
		if s.odd() {
			n++
			c.odd = from
		}
	}
	if n != 1 {
		c.odd = host{}
	}
}

// leaves reports whether a host left its checksums to its NIC.
func (c *Checksums) leaves(from host) bool {
	s := c.hosts[from]
	return s.unfinished > s.right || from == c.odd
}

// Unfinished returns what a frame's sender left to its NIC, and the sender; the
// zero values if the checksum is right, or to be judged.
func (c *Checksums) Unfinished(rec *Record) (left wire.Offload, from netip.Addr) {
	var p wire.Packet
	wire.Decode(rec.Data, &p)
	switch {
	case !judged(rec, &p), wire.TCPChecksumOK(rec.Data, &p), !c.leaves(sender(&p)):
		return wire.Offload{}, netip.Addr{}
	case wire.TCPChecksumPartial(rec.Data, &p):
		return wire.PartialChecksum(&p), p.Src.Netip()
	}
	return wire.CheckedChecksum(), p.Src.Netip()
}
