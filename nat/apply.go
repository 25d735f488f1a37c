package nat

import (
	"encoding/binary"

	"github.com/grewire/grewire/nat/csum"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// Where fields stand in their headers.
const (
	macDst, macSrc    = 0, 6
	ipChecksum        = 10
	ipSrc, ipDst      = 12, 16
	tcpSrc, tcpDst    = 0, 2
	tcpChecksum       = 16
	icmpChecksum      = 2
	greCallID         = 6
	addrSize, idSize  = 4, 2
	shortestTCPQuoted = tcpChecksum + 2
)

// Apply does what the Changes of frames say that came in by a side.
func (t *Translator) Apply(frames []*track.Frame, in track.Side) {
	for _, f := range frames {
		if f.Rewritten && f.Verdict.Passes() {
			t.apply(f, in)
		}
	}
}

func (t *Translator) apply(f *track.Frame, in track.Side) {
	what := f.Change.What
	if what&track.ChangeMAC != 0 {
		t.changeMAC(f, in)
	}
	switch {
	case what&track.ChangeQuote != 0:
		changeQuote(f, in)
	case f.Packet.Kind == wire.TCP:
		changeTCP(f, in)
	default:
		changeData(f, in)
	}
}

// changeMAC gives a frame towards the WAN the WAN NIC's source, one towards the
// LAN the host's destination.
func (t *Translator) changeMAC(f *track.Frame, in track.Side) {
	mac, at := f.Change.MAC, macDst
	if in == track.LAN {
		if mac, at = t.nics[track.WAN].Load(), macSrc; mac == 0 {
			return
		}
	}
	binary.BigEndian.PutUint16(f.Data[at:], uint16(mac>>32))
	binary.BigEndian.PutUint32(f.Data[at+2:], uint32(mac))
}

// hostAt returns which of two fields is of the end on the LAN in a packet that
// came in by a side: the source's or the destination's.
func hostAt(in track.Side, src, dst uint32) uint32 {
	if in == track.LAN {
		return src
	}
	return dst
}

// changeAddr changes the address of the end on the LAN in the IPv4 header at l3
// and returns what that makes of a checksum.
func changeAddr(data []byte, l3 uint32, in track.Side, to uint32) csum.Sum {
	field := data[l3+hostAt(in, ipSrc, ipDst):]
	change := csum.Long(binary.BigEndian.Uint32(field), to)
	binary.BigEndian.PutUint32(field, to)
	change.Apply(data[l3+ipChecksum : l3+ipChecksum+2])
	return change
}

// changeWord changes a field of two octets at an even offset of what its
// checksum covers.
func changeWord(field []byte, to uint16) csum.Sum {
	change := csum.Word(binary.BigEndian.Uint16(field), to)
	binary.BigEndian.PutUint16(field, to)
	return change
}

// changeData changes a GRE packet, or a fragment without the header of what it
// carries.
func changeData(f *track.Frame, in track.Side) {
	if f.Change.What&track.ChangeAddr != 0 {
		changeAddr(f.Data, f.Packet.L3, in, f.Change.Addr)
	}
	if f.Change.What&track.ChangeCallID != 0 {
		binary.BigEndian.PutUint16(f.Data[f.Packet.L4+greCallID:], f.Change.CallID)
	}
}

// changeTCP changes a segment of a control connection. If its checksum is still
// to be finished it has the pseudo-header's sum only.
func changeTCP(f *track.Frame, in track.Side) {
	var header, segment csum.Sum
	tcp := f.Data[f.Packet.L4:]
	if f.Change.What&track.ChangeAddr != 0 {
		header = changeAddr(f.Data, f.Packet.L3, in, f.Change.Addr)
	}
	if f.Change.What&track.ChangePort != 0 {
		segment += changeWord(tcp[hostAt(in, tcpSrc, tcpDst):], f.Change.Port)
	}
	if f.Change.What&track.ChangeOctets != 0 {
		for i := range f.Change.Octets {
			segment += changeOctets(f, &f.Change.Octets[i])
		}
	}
	field := tcp[tcpChecksum : tcpChecksum+2]
	if f.Offload.NeedsChecksum() {
		header.ApplyUnfinished(field)
		return
	}
	(header + segment).Apply(field)
}

func changeOctets(f *track.Frame, o *track.Octets) csum.Sum {
	to := o.New[:o.N]
	field := f.Data[o.At:][:o.N]
	change := csum.Octets(int(o.At-f.Packet.L4), field, to)
	copy(field, to)
	return change
}

// changeQuote changes an ICMP error and the packet that it quotes. That went the
// other way, so that what is the source here is the destination there.
func changeQuote(f *track.Frame, in track.Side) {
	c, data := &f.Change, f.Data
	quoted := in.Other()
	icmp := f.Packet.L4
	var before [40]byte
	end := min(f.Packet.End, c.QuoteL4+shortestTCPQuoted)
	ip := copy(before[:20], data[c.QuoteL3:])
	carried := copy(before[20:], data[c.QuoteL4:end])

	var transport csum.Sum
	if c.What&track.ChangeAddr != 0 {
		changeAddr(data, f.Packet.L3, in, c.Addr)
		transport = changeAddr(data, c.QuoteL3, quoted, c.Addr)
	}
	if c.What&track.ChangePort != 0 {
		transport += changeWord(data[c.QuoteL4+hostAt(quoted, tcpSrc, tcpDst):], c.Port)
		if carried == shortestTCPQuoted {
			transport.Apply(data[c.QuoteL4+tcpChecksum:][:2])
		}
	}
	if c.What&track.ChangeCallID != 0 {
		binary.BigEndian.PutUint16(data[c.QuoteL4+greCallID:], c.CallID)
	}
	change := csum.Octets(int(c.QuoteL3-icmp), before[:ip], data[c.QuoteL3:][:ip]) +
		csum.Octets(int(c.QuoteL4-icmp), before[20:20+carried], data[c.QuoteL4:][:carried])
	change.Apply(data[icmp+icmpChecksum:][:2])
}
