package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// attacker sends frames from one side of the box as fast as it can, but waits
// when too many wait for the box: what its socket has no room for is lost to
// the kernel, the live call's among them, and says nothing about the box.
type attacker struct {
	lab        *floodLab
	side       track.Side
	me, victim *tracktest.Host // real hosts, the victim on the other side
	random     *rand.Rand
	port       *afpacket.Port
	batch      []*track.Frame
	before     map[string]uint64 // what the box had counted before this flood
	sent, seen uint64            // of this flood
	ofCall     uint64            // of seen: GRE of the live call, which others send, too
}

// inFlight is how many frames of an attacker may wait for the box: a small part
// of what its socket has room for (see afpacket.Options), for they hold up the
// live call, and what comes to pptp all at once its terminal may have no room
// for.
const inFlight = 2048

func (l *floodLab) attack(side track.Side, from, victim *bridgetest.Namespace, seed uint64) *attacker {
	l.t.Helper()
	a := &attacker{lab: l, side: side, random: rand.New(rand.NewPCG(seed, uint64(side)))}
	a.me = tracktest.NewHost(side, bridgetest.ClientAddr(attackHost))
	a.victim = tracktest.NewHost(side.Other(), bridgetest.ServerAddr)
	if side == track.WAN {
		a.me = tracktest.NewHost(side, bridgetest.ServerAddr)
		a.victim = tracktest.NewHost(side.Other(), bridgetest.ClientAddr(0))
	}
	copy(a.me.MAC[:], from.HardwareAddr(bridgetest.HostNIC))
	copy(a.victim.MAC[:], victim.HardwareAddr(bridgetest.HostNIC))
	err := from.Do(func() (err error) {
		// It does not read what it receives, which shall have little room.
		a.port, err = afpacket.Open(bridgetest.HostNIC, afpacket.Options{QdiscBypass: true, ReceiveBuffer: 1})
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { a.port.Close() })
	return a
}

// stranger returns a host on the attacker's side with a random address that no
// real host has a route to (RFC 6598).
func (a *attacker) stranger() *tracktest.Host {
	h, n := *a.me, a.random.Uint32()
	h.Addr = netip.AddrFrom4([4]byte{100, 64 | byte(n>>16)&63, byte(n >> 8), byte(n)})
	return &h
}

// shoot sends a frame, or keeps it until there are enough for a batch.
func (a *attacker) shoot(frame []byte) error {
	a.batch = append(a.batch, &track.Frame{Data: frame})
	if len(a.batch) < bridge.BatchSize {
		return nil
	}
	if err := a.flush(); err != nil || a.sent-min(a.seen, a.sent) < inFlight {
		return err
	}
	return a.wait(inFlight / 2)
}

// drain sends what is left and waits until the box has decided about all.
func (a *attacker) drain() error { return errors.Join(a.flush(), a.wait(0)) }

func (a *attacker) flush() error {
	if err := a.port.Send(a.batch); err != nil {
		return err
	}
	for _, f := range a.batch {
		if f.Verdict == track.Drop {
			return fmt.Errorf("the NIC of the attacker on the %s side did not take a frame: %s", a.side, f.Reason)
		}
	}
	a.sent += uint64(len(a.batch))
	a.batch = a.batch[:0]
	return nil
}

// wait asks the box until it has decided about all frames but some. Those that
// the kernel dropped on their way will not come.
func (a *attacker) wait(some uint64) error {
	for a.sent-min(a.seen, a.sent) > some {
		counted, err := a.lab.reasons(a.side)
		if err != nil {
			return fmt.Errorf("%d of %d frames from the %s side are missing: %w", a.sent-a.seen, a.sent, a.side, err)
		}
		before := a.seen
		if a.seen = total(counted) - total(a.before) + a.ofCall; a.seen == before {
			gone, err := a.lab.lost()
			if err != nil {
				return err
			}
			a.seen += gone
		}
	}
	return nil
}

// floodSYN opens connections from everywhere to a real host.
func floodSYN(a *attacker) error {
	for range *floodFrames {
		if err := a.shoot(a.dialog(a.victim).segment(a.side, wire.SYN)); err != nil {
			return err
		}
	}
	return nil
}

// requestsEach is how many calls a connection of floodRequests asks for.
const requestsEach = 20

// floodRequests asks a real host for calls on connections that it knows
// nothing of: of every other one there was a SYN.
func floodRequests(a *attacker) error {
	for i := range *floodFrames / requestsEach {
		d := a.dialog(a.victim)
		if i%2 == 0 {
			if err := a.shoot(d.segment(a.side, wire.SYN)); err != nil {
				return err
			}
		}
		for id := range uint16(requestsEach) {
			if err := a.shoot(d.segment(a.side, wire.ACK|wire.PSH, tracktest.OutRequest(id))); err != nil {
				return err
			}
		}
	}
	return nil
}

// floodGRE sends GRE from everywhere that nobody negotiated.
func floodGRE(a *attacker) error {
	for range *floodFrames {
		g := tracktest.GRE{CallID: uint16(a.random.Uint32()), HasSeq: true, Seq: a.random.Uint32(), Payload: make([]byte, 20)}
		if err := a.shoot(g.Frame(a.stranger(), a.victim)); err != nil {
			return err
		}
	}
	return nil
}

// callIDs is how many call IDs there are.
const callIDs = 1 << 16

// scanIDs tries all call IDs between the ends of the live call: as if sent by
// the end on the attacker's side, and as if by the other. The right one passes;
// it has no payload and acknowledges nothing, so that the real end can go on.
func scanIDs(a *attacker) error {
	a.ofCall = forged
	near, far := *a.me, *a.victim
	near.Addr = a.lab.call.PNS.Addr
	if a.side == track.WAN {
		near.Addr = a.lab.call.PAC.Addr
	}
	wrongNear, wrongFar := near, far
	wrongNear.Addr, wrongFar.Addr = far.Addr, near.Addr
	for id := range callIDs {
		right := tracktest.GRE{CallID: uint16(id), HasAck: true}
		wrong := tracktest.GRE{CallID: uint16(id), HasSeq: true, Payload: make([]byte, 20)}
		if err := errors.Join(a.shoot(right.Frame(&near, &far)), a.shoot(wrong.Frame(&wrongNear, &wrongFar))); err != nil {
			return err
		}
	}
	return nil
}

// dialog is a TCP connection that attackers play.
type dialog struct {
	ends  [2]*tracktest.Host // by side
	ports [2]uint16
	next  [2]uint32 // sequence numbers

	alias  *tracktest.Host // by what the WAN's end knows the LAN's; nil: as it is
	scaled bool            // its SYNs offer windows as large as there are
}

// dialog returns a connection of a stranger with a host of the other side.
func (a *attacker) dialog(server *tracktest.Host) *dialog {
	d := &dialog{ports: [2]uint16{pptp.Port, pptp.Port}, next: [2]uint32{a.random.Uint32(), a.random.Uint32()}}
	d.ends[a.side], d.ends[a.side.Other()] = a.stranger(), server
	d.ports[a.side] = uint16(a.random.Uint32())
	return d
}

// segment is the next one of the end on a side.
func (d *dialog) segment(from track.Side, flags uint8, messages ...pptp.Message) []byte {
	return d.raw(from, flags, tracktest.Encode(messages...))
}

// data is a segment with octets of an end's stream.
func (d *dialog) data(from track.Side, octets []byte) []byte { return d.raw(from, wire.ACK, octets) }

func (d *dialog) raw(from track.Side, flags uint8, octets []byte) []byte {
	s := tracktest.TCP{
		SrcPort: d.ports[from], DstPort: d.ports[from.Other()], Flags: flags, Window: 0xffff,
		Seq: d.next[from], Data: octets,
	}
	if d.scaled && flags&wire.SYN != 0 {
		s.Options = []byte{3, 3, 14, 0} // RFC 7323, section 2.2
	}
	if flags&wire.ACK != 0 {
		s.Ack = d.next[from.Other()]
	}
	d.next[from] += uint32(len(s.Data))
	if flags&wire.SYN != 0 {
		d.next[from]++
	}
	to := d.ends[from.Other()]
	if from == track.WAN && d.alias != nil {
		to = d.alias
	}
	return s.Frame(d.ends[from], to)
}

// say sends a segment of every dialog for each message, or one without any,
// and waits until the box has decided about them.
func (l *floodLab) say(dialogs []*dialog, from track.Side, flags uint8, messages ...pptp.Message) error {
	a := l.attackers[from]
	for _, d := range dialogs {
		if len(messages) == 0 {
			if err := a.shoot(d.segment(from, flags)); err != nil {
				return err
			}
		}
		for _, m := range messages {
			if err := a.shoot(d.segment(from, flags, m)); err != nil {
				return err
			}
		}
	}
	return a.drain()
}

// agreedID is the PAC's call ID of the first call that agree agrees.
const agreedID = 1000

// agree opens control connections and has calls agreed on them, each by the
// attackers on both of its ends.
func (l *floodLab) agree(dialogs []*dialog, calls int) error {
	var requests, replies []pptp.Message
	for id := range uint16(calls) {
		requests = append(requests, tracktest.OutRequest(id))
		replies = append(replies, tracktest.OutReply(id+agreedID, id, pptp.OutCallResultConnected))
	}
	const data = wire.ACK | wire.PSH
	return errors.Join(
		l.say(dialogs, track.LAN, wire.SYN),
		l.say(dialogs, track.WAN, wire.SYN|wire.ACK),
		l.say(dialogs, track.LAN, data, tracktest.StartRequest()),
		l.say(dialogs, track.WAN, data, tracktest.StartReply(pptp.StartResultOK)),
		l.say(dialogs, track.LAN, data, requests...),
		l.say(dialogs, track.WAN, data, replies...),
	)
}

// askForCalls is a real client that asks for calls without waiting for answers.
func askForCalls(server net.Conn, calls int) error {
	if _, err := server.Write(tracktest.Encode(tracktest.StartRequest())); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, server, int64(len(tracktest.Encode(tracktest.StartReply(0))))); err != nil {
		return err
	}
	for id := range calls {
		if _, err := server.Write(tracktest.Encode(tracktest.OutRequest(uint16(id)))); err != nil {
			return err
		}
	}
	return nil
}

// takeRequests is a real server that takes requests for calls and never
// answers them.
func takeRequests(client net.Conn, calls int) error {
	if _, err := io.CopyN(io.Discard, client, int64(len(tracktest.Encode(tracktest.StartRequest())))); err != nil {
		return err
	}
	if _, err := client.Write(tracktest.Encode(tracktest.StartReply(pptp.StartResultOK))); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, client, int64(calls*len(tracktest.Encode(tracktest.OutRequest(0)))))
	return err
}

// connect opens a real TCP connection through the box, from the server's host
// to one on the LAN.
func (l *floodLab) connect() (client, server net.Conn, err error) {
	address := netip.AddrPortFrom(netip.MustParseAddr(bridgetest.ClientAddr(attackHost)), pptp.Port).String()
	var listener net.Listener
	err = l.top.Clients[attackHost].Do(func() (err error) {
		listener, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	err = l.top.Server.Do(func() (err error) {
		client, err = net.DialTimeout("tcp4", address, patience)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	l.t.Cleanup(func() { client.Close() })
	if server, err = listener.Accept(); err != nil {
		return nil, nil, err
	}
	l.t.Cleanup(func() { server.Close() })
	deadline := time.Now().Add(patience)
	return client, server, errors.Join(client.SetDeadline(deadline), server.SetDeadline(deadline))
}
