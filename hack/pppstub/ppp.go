package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"time"
)

// PPP protocol numbers (RFC 1661, RFC 1332).
const (
	protocolIP   = 0x0021
	protocolIPCP = 0x8021
	protocolLCP  = 0xc021
)

// Packet codes of LCP and IPCP (RFC 1661, section 5).
const (
	confRequest      = 1
	confAck          = 2
	confNak          = 3
	confReject       = 4
	terminateRequest = 5
	terminateAck     = 6
	codeReject       = 7
	protocolReject   = 8
	echoRequest      = 9
	echoReply        = 10
)

// Configuration options. Those of LCP that are known are agreed to as they are.
const (
	optionMRU       = 1
	optionACCM      = 2
	optionMagic     = 5
	optionPFC       = 7
	optionACFC      = 8
	optionIPAddress = 3 // of IPCP
)

// mru is the Maximum-Receive-Unit asked for, in octets: with the headers of
// GRE and IP it stays below an Ethernet MTU of 1500.
const mru = 1400

const (
	packetHeaderLength = 4 // code, identifier, length
	restartTimer       = time.Second
)

// layer is what LCP and IPCP have in common.
type layer struct {
	id               byte // of the last configuration request
	agreed, accepted bool // they acknowledged ours, we acknowledged theirs
	asked            time.Time
}

func (l *layer) up() bool { return l.agreed && l.accepted }

// session is one end of a PPP link. It has no clock and no goroutine; all
// methods are called from one.
type session struct {
	w     io.Writer // HDLC-framed
	err   error     // of the first write that failed
	magic uint32

	lcp, ipcp layer
	id        byte       // of the last packet that is no configuration request
	local     netip.Addr // 0.0.0.0 asks the peer for one
	remote    netip.Addr // the peer's
	assign    netip.Addr // what a peer without an address gets

	ended      bool // the peer ended the link
	askedAgain bool // the peer asks although both were up: it missed the answer
	lcpEchoes  int  // LCP Echo-Replies received
	answered   map[uint16]bool
	requests   int // echo requests received, all answered
	replyCount int
}

func newSession(w io.Writer, magic uint32) *session {
	return &session{w: w, magic: magic, local: netip.IPv4Unspecified(), answered: make(map[uint16]bool)}
}

// up reports whether IP packets may be sent.
func (s *session) up() bool { return s.lcp.up() && s.ipcp.up() }

// tick repeats configuration requests that were not answered.
func (s *session) tick(now time.Time) {
	switch {
	case !s.lcp.agreed:
		s.request(protocolLCP, &s.lcp, now)
	case s.lcp.up() && !s.ipcp.agreed:
		s.request(protocolIPCP, &s.ipcp, now)
	}
}

func (s *session) request(protocol uint16, l *layer, now time.Time) {
	if now.Sub(l.asked) < restartTimer {
		return
	}
	l.asked = now
	l.id++
	s.control(protocol, confRequest, l.id, s.options(protocol))
}

func (s *session) options(protocol uint16) []byte {
	if protocol == protocolIPCP {
		addr := s.local.As4()
		return append([]byte{optionIPAddress, 6}, addr[:]...)
	}
	options := []byte{optionMRU, 4, mru >> 8, mru & 0xff, optionACCM, 6, 0, 0, 0, 0, optionMagic, 6}
	return binary.BigEndian.AppendUint32(options, s.magic)
}

// receive takes a frame without its check sequence. Address and control, and
// the first octet of the protocol, may be compressed (RFC 1661, section 6.5
// and 6.6).
func (s *session) receive(frame []byte) {
	frame = bytes.TrimPrefix(frame, []byte{0xff, 0x03})
	if len(frame) > 0 && frame[0]&1 != 0 {
		frame = append([]byte{0}, frame...)
	}
	if len(frame) < 2 {
		return
	}
	protocol, body := binary.BigEndian.Uint16(frame), frame[2:]
	switch protocol {
	case protocolLCP:
		s.receiveControl(protocol, &s.lcp, body)
	case protocolIPCP:
		s.receiveControl(protocol, &s.ipcp, body)
	case protocolIP:
		s.receiveIP(body)
	default:
		s.id++
		rejected := binary.BigEndian.AppendUint16(nil, protocol)
		s.control(protocolLCP, protocolReject, s.id, append(rejected, body[:min(len(body), 64)]...))
	}
}

func (s *session) receiveControl(protocol uint16, l *layer, body []byte) {
	if len(body) < packetHeaderLength {
		return
	}
	code, id, length := body[0], body[1], int(binary.BigEndian.Uint16(body[2:]))
	if length < packetHeaderLength || length > len(body) {
		return
	}
	data := body[packetHeaderLength:length]
	switch code {
	case confRequest:
		s.answerRequest(protocol, l, id, data)
	case confAck:
		l.agreed = l.agreed || id == l.id
	case confNak:
		s.takeNak(protocol, l, id, data)
	case terminateRequest:
		s.control(protocol, terminateAck, id, nil)
		s.ended = true
	case terminateAck:
		s.ended = true
	case echoRequest:
		s.control(protocolLCP, echoReply, id, binary.BigEndian.AppendUint32(nil, s.magic))
	case echoReply:
		s.lcpEchoes++
	case confReject, codeReject, protocolReject: // nothing here can be left out
	default:
		s.id++
		s.control(protocol, codeReject, s.id, body[:length])
	}
}

// answerRequest acknowledges a configuration request, or rejects the options
// that are not known, or names the address that the peer is to have.
func (s *session) answerRequest(protocol uint16, l *layer, id byte, data []byte) {
	var reject, nak []byte
	for rest := data; len(rest) > 0; {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return // no sound list of options: not answered, like a damaged frame
		}
		option := rest[:rest[1]]
		rest = rest[rest[1]:]
		switch {
		case !known(protocol, option):
			reject = append(reject, option...)
		case protocol == protocolIPCP:
			nak = append(nak, s.takeAddress([4]byte(option[2:]))...)
		}
	}
	switch {
	case reject != nil:
		s.control(protocol, confReject, id, reject)
	case nak != nil:
		s.control(protocol, confNak, id, nak)
	default:
		s.askedAgain = s.askedAgain || s.up()
		l.accepted = true
		s.control(protocol, confAck, id, data)
	}
}

func known(protocol uint16, option []byte) bool {
	if protocol == protocolIPCP {
		return option[0] == optionIPAddress && len(option) == 6
	}
	switch option[0] {
	case optionMRU, optionACCM, optionMagic, optionPFC, optionACFC:
		return true
	}
	return false
}

// takeAddress takes the peer's address, or returns the option that tells it
// which to use.
func (s *session) takeAddress(asked [4]byte) (nak []byte) {
	addr := netip.AddrFrom4(asked)
	if s.assign.IsValid() && addr != s.assign {
		want := s.assign.As4()
		return append([]byte{optionIPAddress, 6}, want[:]...)
	}
	s.remote = addr
	return nil
}

// takeNak takes the address that the peer gave (RFC 1332, section 3.3).
func (s *session) takeNak(protocol uint16, l *layer, id byte, data []byte) {
	if protocol != protocolIPCP || id != l.id || len(data) < 6 || !known(protocol, data[:6]) {
		return
	}
	s.local = netip.AddrFrom4([4]byte(data[2:]))
	l.asked = time.Time{} // ask again at the next tick
}

func (s *session) receiveIP(packet []byte) {
	e, ok := parseEcho(packet)
	switch {
	case !ok || !s.up():
	case e.kind == icmpEchoRequest:
		s.requests++
		s.send(protocolIP, e.reply().packet())
	case !s.answered[e.seq]:
		s.answered[e.seq] = true
		s.replyCount++
	}
}

// ping sends an echo request with the given payload length.
func (s *session) ping(seq uint16, size int) {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i*7) + byte(seq)
	}
	delete(s.answered, seq) // the number's last use is long over
	s.send(protocolIP, echo{kind: icmpEchoRequest, src: s.local, dst: s.remote, id: uint16(s.magic), seq: seq, payload: payload}.packet())
}

// echo sends an LCP Echo-Request.
func (s *session) echo() {
	s.id++
	s.control(protocolLCP, echoRequest, s.id, binary.BigEndian.AppendUint32(nil, s.magic))
}

func (s *session) control(protocol uint16, code, id byte, data []byte) {
	packet := []byte{code, id}
	packet = binary.BigEndian.AppendUint16(packet, uint16(packetHeaderLength+len(data)))
	s.send(protocol, append(packet, data...))
}

func (s *session) send(protocol uint16, body []byte) {
	frame := binary.BigEndian.AppendUint16([]byte{0xff, 0x03}, protocol)
	if _, err := s.w.Write(appendHDLC(nil, append(frame, body...))); err != nil && s.err == nil {
		s.err = err
	}
}
