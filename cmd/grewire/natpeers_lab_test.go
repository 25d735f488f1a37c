package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// peer is an end of a control connection that says what pptpd and pptp never do.
// TCP and IP are the kernel's.
type peer struct {
	t    *testing.T
	conn *net.TCPConn
	gre  *net.IPConn
}

const peerPatience = patience

// peers connects a host to the address of another, which listens, and starts the
// control connection. It returns both ends.
func (b *labBox) peers(from, to *bridgetest.Namespace, addr string) (client, server *peer) {
	b.t.Helper()
	var listener *net.TCPListener
	b.in(to, func() (err error) {
		// The one before may still be open in a child of this process that has not
		// yet come to its program.
		for deadline := time.Now().Add(patience); ; <-time.After(pollEvery) {
			listener, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: pptp.Port})
			if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(deadline) {
				return err
			}
		}
	})
	defer listener.Close()
	_ = listener.SetDeadline(time.Now().Add(peerPatience))
	client, server = &peer{t: b.t}, &peer{t: b.t}
	b.in(from, func() (err error) {
		client.conn, err = net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.ParseIP(addr), Port: pptp.Port})
		return err
	})
	var err error
	if server.conn, err = listener.AcceptTCP(); err != nil {
		b.t.Fatal(err)
	}
	client.openGRE(b, from)
	server.openGRE(b, to)
	client.say(tracktest.StartRequest())
	server.hear(pptp.StartControlConnectionRequest)
	server.say(tracktest.StartReply(pptp.StartResultOK))
	client.hear(pptp.StartControlConnectionReply)
	return client, server
}

// in runs f in a namespace.
func (b *labBox) in(ns *bridgetest.Namespace, f func() error) {
	b.t.Helper()
	if err := ns.Do(f); err != nil {
		b.t.Fatalf("in %s: %v\nthe box said: %s", ns, err, b.said())
	}
}

// openGRE lets p send GRE to, and receive it from, whom it talks to.
func (p *peer) openGRE(b *labBox, ns *bridgetest.Namespace) {
	b.t.Helper()
	b.in(ns, func() (err error) {
		p.gre, err = net.DialIP("ip4:47", nil, &net.IPAddr{IP: p.conn.RemoteAddr().(*net.TCPAddr).IP})
		return err
	})
	p.t.Cleanup(func() {
		p.conn.Close()
		p.gre.Close()
	})
}

// say sends messages, all in one segment.
func (p *peer) say(messages ...pptp.Message) {
	p.t.Helper()
	if _, err := p.conn.Write(tracktest.Encode(messages...)); err != nil {
		p.t.Fatal(err)
	}
}

// hear returns the next message, which has to be of this type.
func (p *peer) hear(want pptp.ControlType) pptp.View {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(peerPatience))
	octets := make([]byte, 2)
	_, err := io.ReadFull(p.conn, octets)
	if err == nil {
		octets = append(octets, make([]byte, int(binary.BigEndian.Uint16(octets))-2)...)
		_, err = io.ReadFull(p.conn, octets[2:])
	}
	v := pptp.View(octets)
	if err != nil || v.ControlType() != want {
		p.t.Fatalf("heard % x, %v; want %v", octets, err, want)
	}
	return v
}

// hearID returns the Call ID in the next message, which has to name this peer's
// own ID besides.
func (p *peer) hearID(want pptp.ControlType, own uint16) (id uint16) {
	p.t.Helper()
	v := p.hear(want)
	if named, ok := v.PeerCallID(); ok && named != own {
		p.t.Errorf("%v names the call %d, want %d", want, named, own)
	}
	id, _ = v.CallID()
	return id
}

// peerCall is a call between two peers, with the IDs that each has given it and
// those that each knows of the other.
type peerCall struct {
	pns, pac           *peer
	pnsID, pacID       uint16
	pnsKnows, pacKnows uint16
}

// outCall agrees an out-call.
func outCall(pns, pac *peer, pnsID, pacID uint16) *peerCall {
	k := &peerCall{pns: pns, pac: pac, pnsID: pnsID, pacID: pacID}
	pns.say(tracktest.OutRequest(pnsID))
	k.pacKnows = pac.hearID(pptp.OutgoingCallRequest, 0)
	pac.say(tracktest.OutReply(pacID, k.pacKnows, pptp.OutCallResultConnected))
	k.pnsKnows = pns.hearID(pptp.OutgoingCallReply, pnsID)
	return k
}

// outCalls agrees two out-calls whose requests, and replies, are in one segment.
func outCalls(pns, pac *peer, pnsIDs, pacIDs [2]uint16) []*peerCall {
	a := &peerCall{pns: pns, pac: pac, pnsID: pnsIDs[0], pacID: pacIDs[0]}
	b := &peerCall{pns: pns, pac: pac, pnsID: pnsIDs[1], pacID: pacIDs[1]}
	pns.say(tracktest.OutRequest(a.pnsID), tracktest.OutRequest(b.pnsID))
	a.pacKnows, b.pacKnows = pac.hearID(pptp.OutgoingCallRequest, 0), pac.hearID(pptp.OutgoingCallRequest, 0)
	pac.say(tracktest.OutReply(a.pacID, a.pacKnows, pptp.OutCallResultConnected), tracktest.OutReply(b.pacID, b.pacKnows, pptp.OutCallResultConnected))
	a.pnsKnows, b.pnsKnows = pns.hearID(pptp.OutgoingCallReply, a.pnsID), pns.hearID(pptp.OutgoingCallReply, b.pnsID)
	return []*peerCall{a, b}
}

// inCall agrees an in-call.
func inCall(pns, pac *peer, pnsID, pacID uint16) *peerCall {
	k := &peerCall{pns: pns, pac: pac, pnsID: pnsID, pacID: pacID}
	pac.say(tracktest.InRequest(pacID))
	k.pnsKnows = pns.hearID(pptp.IncomingCallRequest, 0)
	pns.say(tracktest.InReply(pnsID, k.pnsKnows, pptp.InCallResultConnect))
	k.pacKnows = pac.hearID(pptp.IncomingCallReply, pacID)
	pac.say(tracktest.InConnected(k.pacKnows))
	pns.hearID(pptp.IncomingCallConnected, pnsID)
	return k
}

// carry sends a packet each way; each has to arrive with the receiver's own ID.
func (k *peerCall) carry(seq uint32) {
	k.pns.t.Helper()
	out, back := fmt.Sprintf("%p PNS %d", k, seq), fmt.Sprintf("%p PAC %d", k, seq)
	k.pns.sendGRE(k.pnsKnows, seq, out)
	k.pac.receiveGRE(k.pacID, out)
	k.pac.sendGRE(k.pacKnows, seq, back)
	k.pns.receiveGRE(k.pnsID, back)
}

func (p *peer) sendGRE(id uint16, seq uint32, payload string) {
	p.t.Helper()
	if _, err := p.gre.Write(tracktest.GRE{CallID: id, HasSeq: true, Seq: seq, Payload: []byte(payload)}.Bytes()); err != nil {
		p.t.Fatal(err)
	}
}

// receiveGRE waits for the packet with a payload, which has to be of this call.
func (p *peer) receiveGRE(id uint16, payload string) {
	p.t.Helper()
	_ = p.gre.SetReadDeadline(time.Now().Add(peerPatience))
	const callID = 6
	for buf := make([]byte, 2048); ; {
		n, _, err := p.gre.ReadFrom(buf) // without the IP header
		switch {
		case err != nil:
			p.t.Fatalf("no GRE %q of call %d: %v", payload, id, err)
		case !bytes.HasSuffix(buf[:n], []byte(payload)):
		case binary.BigEndian.Uint16(buf[callID:]) != id:
			p.t.Errorf("GRE %q has call ID %d, want %d", payload, binary.BigEndian.Uint16(buf[callID:]), id)
			return
		default:
			return
		}
	}
}

// TestLabEveryKindOfCall has two hosts on the LAN use the same IDs in calls of
// each kind, several on a connection, with one peer on the WAN: as PNS and as
// PAC, in out-calls and in-calls, opening the connection or not. Between two peers
// an ID is one call's, on whatever connection: a host does not use it twice.
func TestLabEveryKindOfCall(t *testing.T) {
	t.Parallel()
	b := newLabBox(t, bridgetest.InlineOption{Clients: 2}, "")
	b.configure(masquerade + "[[nat.forward]]\naddress = \"10.77.0.201\"\nto = \"" + bridgetest.ClientAddr(0) + "\"\n" +
		"[[nat.forward]]\naddress = \"10.77.0.202\"\nto = \"" + bridgetest.ClientAddr(1) + "\"\n")
	b.start()
	var calls []*peerCall
	for i, host := range b.top.Clients {
		wan := uint16(100 * i) // the peer on the WAN is one: its IDs are distinct
		lan, far := b.peers(host, b.top.Server, bridgetest.ServerAddr)
		calls = append(calls, outCalls(lan, far, [2]uint16{7, 8}, [2]uint16{wan + 1, wan + 2})...)
		calls = append(calls, inCall(lan, far, 9, wan+3),
			outCall(far, lan, wan+4, 10), inCall(far, lan, wan+5, 11))
		far, lan = b.peers(b.top.Server, host, fmt.Sprintf("10.77.0.%d", 201+i))
		calls = append(calls, outCalls(far, lan, [2]uint16{wan + 6, wan + 20}, [2]uint16{17, 18})...)
		calls = append(calls, inCall(far, lan, wan+7, 19), outCall(lan, far, 20, wan+8), inCall(lan, far, 21, wan+9))
	}
	for seq := range uint32(3) {
		for _, k := range calls {
			k.carry(seq)
		}
	}
	known := map[string]bool{}
	for _, k := range calls {
		known[k.onWAN()] = true
	}
	if len(known) != len(calls) {
		t.Errorf("%d calls have the names %v on the WAN", len(calls), known)
	}
	ends := calls[1]
	ends.pns.say(tracktest.ClearRequest(ends.pnsID))
	if id := ends.pac.hearID(pptp.CallClearRequest, 0); id != ends.pacKnows {
		t.Errorf("Call-Clear-Request of call %d names %d", ends.pacKnows, id)
	}
	ends.pac.say(tracktest.Disconnect(ends.pacID))
	if id := ends.pns.hearID(pptp.CallDisconnectNotify, 0); id != ends.pnsKnows {
		t.Errorf("Call-Disconnect-Notify of call %d names %d", ends.pnsKnows, id)
	}
	for _, k := range calls[2:] {
		k.carry(3)
	}
	b.stop()
}

// onWAN is by what address and ID the peer on the WAN knows the call's other end.
func (k *peerCall) onWAN() string {
	peer, id := k.pac, k.pacKnows
	if peer.conn.LocalAddr().(*net.TCPAddr).IP.String() != bridgetest.ServerAddr {
		peer, id = k.pns, k.pnsKnows
	}
	return fmt.Sprint(peer.conn.RemoteAddr().(*net.TCPAddr).IP, " ", id)
}
