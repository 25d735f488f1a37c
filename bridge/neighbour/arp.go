package neighbour

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"golang.org/x/net/bpf"

	"github.com/grewire/grewire/track/wire"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String returns the address as it is usually written, 02:00:00:00:00:01.
func (a MAC) String() string { return net.HardwareAddr(a[:]).String() }

var (
	broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	nobody    = netip.IPv4Unspecified() // the sender of a probe (RFC 5227, section 1.1)
)

const (
	macsLength = 12
	tagLength  = 4
	maxTags    = 2 * tagLength // octets
	etherIPv4  = 0x0800
	etherARP   = 0x0806
	etherVLAN  = 0x8100 // IEEE 802.1Q
	etherQinQ  = 0x88a8 // IEEE 802.1ad
	oldQinQ    = 0x9100 // in use before 802.1ad
)

// message is an ARP message for IPv4 on Ethernet, with the frame around it.
type message struct {
	to        MAC       // of the frame
	zone      wire.Zone // what tags mean
	tags      string    // the frame's VLAN tags, as they are there
	operation arp.Operation
	senderMAC MAC
	sender    netip.Addr
	targetMAC MAC
	target    netip.Addr
}

// parse reads a frame. It takes any bytes; ok is false if they are no message,
// or one whose sender is nobody to answer.
func parse(frame []byte) (m message, ok bool) {
	var p wire.Packet
	if wire.Decode(frame, &p); p.Kind != wire.ARP {
		return m, false
	}
	tags := 0
	for at := macsLength; isTag(frame[at:]); at += tagLength {
		tags += tagLength
	}
	body := macsLength + tags + 2
	if tags > maxTags || len(frame) < body || binary.BigEndian.Uint16(frame[body-2:]) != etherARP {
		return m, false
	}
	m.to, m.zone, m.tags = MAC(frame), p.Zone, string(frame[macsLength:macsLength+tags])
	return m, m.read(frame[body:])
}

func isTag(b []byte) bool {
	if len(b) < tagLength+2 {
		return false
	}
	ether := binary.BigEndian.Uint16(b)
	return ether == etherVLAN || ether == etherQinQ || ether == oldQinQ
}

// read takes in what is behind the ethertype.
func (m *message) read(body []byte) bool {
	var a arp.Packet
	if a.UnmarshalBinary(body) != nil || a.HardwareType != 1 || a.ProtocolType != etherIPv4 || a.HardwareAddrLength != 6 || a.IPLength != 4 {
		return false
	}
	m.operation = a.Operation
	m.senderMAC, m.sender = MAC(a.SenderHardwareAddr), a.SenderIP
	m.targetMAC, m.target = MAC(a.TargetHardwareAddr), a.TargetIP
	return !isGroup(m.senderMAC) && m.senderMAC != MAC{}
}

func isGroup(a MAC) bool { return a[0]&1 != 0 }

// isProbe reports whether the message asks who has target before its sender
// uses it.
func (m *message) isProbe() bool { return m.operation == arp.OperationRequest && m.sender == nobody }

// frame is the message as a frame from m.senderMAC.
func (m *message) frame() []byte {
	a := arp.Packet{
		HardwareType: 1, ProtocolType: etherIPv4, HardwareAddrLength: 6, IPLength: 4, Operation: m.operation,
		SenderHardwareAddr: m.senderMAC[:], SenderIP: m.sender, TargetHardwareAddr: m.targetMAC[:], TargetIP: m.target,
	}
	body, _ := a.MarshalBinary() // never fails
	b := append(append(append(make([]byte, 0, 64), m.to[:]...), m.senderMAC[:]...), m.tags...)
	return append(binary.BigEndian.AppendUint16(b, etherARP), body...)
}

// reply answers a request for an address that is at mac.
func (m *message) reply(mac MAC) []byte {
	answer := message{
		to: m.senderMAC, tags: m.tags, operation: arp.OperationReply,
		senderMAC: mac, sender: m.target, targetMAC: m.senderMAC, target: m.sender,
	}
	return answer.frame()
}

// probe asks who has an address, in the name of nobody (RFC 5227, section
// 2.1.1).
func probe(from, to MAC, tags string, who netip.Addr) []byte {
	m := message{to: to, tags: tags, operation: arp.OperationRequest, senderMAC: from, sender: nobody, target: who}
	return m.frame()
}

// announcement says that an address is at mac (RFC 5227, section 2.3).
func announcement(mac MAC, tags string, who netip.Addr) []byte {
	m := message{to: broadcast, tags: tags, operation: arp.OperationRequest, senderMAC: mac, sender: who, target: who}
	return m.frame()
}

// tagsOf returns the tags that a frame in a zone most likely has. ok is false
// if there is no ARP in it, for it is within PPPoE.
func tagsOf(zone wire.Zone) (tags string, ok bool) {
	vids, ok := zone.VLANs()
	var b []byte
	for i, vid := range vids {
		ether := uint16(etherVLAN)
		if i == 0 && len(vids) == 2 {
			ether = etherQinQ
		}
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, ether), vid)
	}
	return string(b), ok
}

// Filter takes ARP behind at most two VLAN tags, one of which the kernel may
// have taken out already.
func Filter() []bpf.RawInstruction {
	const whole = 1 << 16
	raw, _ := bpf.Assemble([]bpf.Instruction{ // fails for what it does not know
		bpf.LoadAbsolute{Off: macsLength, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherARP, SkipTrue: 11},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherVLAN, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherQinQ, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: oldQinQ, SkipTrue: 7},
		bpf.LoadAbsolute{Off: macsLength + tagLength, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherARP, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherVLAN, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherQinQ, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: oldQinQ, SkipTrue: 2},
		bpf.LoadAbsolute{Off: macsLength + 2*tagLength, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherARP, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: whole},
	})
	return raw
}
