package afpacket

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

const needsCsum = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM

// withHosts gives the inline's client and server addresses of one subnet.
func withHosts(t testing.TB, on Backend) *inline {
	t.Helper()
	l := newInline(t, 1500, Options{Backend: on})
	l.client.address(t, "c0", "192.0.2.1/24")
	l.server.address(t, "s0", "192.0.2.2/24")
	return l
}

// plain turns off everything a NIC does for the kernel when it sends.
func (ns *namespace) plain(t testing.TB, name string) {
	t.Helper()
	ns.do(t, func() {
		e := must(ethtool.NewEthtool())(t)
		defer e.Close()
		check(t, e.Change(name, map[string]bool{
			"tx-checksum-ip-generic": false, "tx-generic-segmentation": false,
			"tx-tcp-segmentation": false, "tx-tcp6-segmentation": false, "tx-udp-segmentation": false,
		}))
	})
}

// seen counts what of a box's traffic was work left to the kernel.
type seen struct{ super, partial atomic.Uint64 }

func (s *seen) look(_ *Port, f *track.Frame) {
	if f.Offload.GSOType != unix.VIRTIO_NET_HDR_GSO_NONE && len(f.Data) > 1514 {
		s.super.Add(1)
	}
	if f.Offload.Flags&needsCsum != 0 {
		s.partial.Add(1)
	}
}

// A real TCP connection with all offloads on, data both ways.
func TestTCPWithOffloads(t *testing.T) { onBackends(t, testTCPWithOffloads) }

func testTCPWithOffloads(t *testing.T, on Backend) {
	t.Parallel()
	l := withHosts(t, on)
	var s seen
	l.forward(t, s.look)
	exchange(t, l, 32<<20)
	if s.super.Load() == 0 || s.partial.Load() == 0 {
		t.Errorf("saw %d super-frames and %d unfinished checksums, want some", s.super.Load(), s.partial.Load())
	}
	if lan, wan := l.lan.Stats(), l.wan.Stats(); lan.Drops+wan.Drops+lan.Refused+wan.Refused+lan.Unreadable+wan.Unreadable != 0 {
		t.Errorf("losses: lan %+v, wan %+v", lan, wan)
	}
}

// The kernel finishes at an egress NIC without offloads what the ingress side
// left undone: no frame beyond the MTU, no bad checksum.
func TestTCPToPlainNIC(t *testing.T) { onBackends(t, testTCPToPlainNIC) }

func testTCPToPlainNIC(t *testing.T, on Backend) {
	t.Parallel()
	l := withHosts(t, on)
	l.box.plain(t, "wan")
	var s seen
	l.forward(t, s.look)
	s0 := l.server.tap(t, "s0")
	check(t, unix.SetsockoptInt(s0.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20))
	const size = 2 << 20
	exchange(t, l, size)
	if s.super.Load() == 0 {
		t.Error("saw no super-frame")
	}
	payload := 0
	for payload < size {
		f := s0.recv(patience)
		if f == nil {
			t.Fatalf("saw %d of %d octets at the server", payload, size)
		}
		if len(f) > 1514 {
			t.Fatalf("a frame of %d octets left by a NIC of MTU 1500", len(f))
		}
		if n, ok := l4Payload(t, f, unix.IPPROTO_TCP); ok {
			payload += n
		}
	}
}

func TestUDPPartialChecksum(t *testing.T) { onBackends(t, testUDPPartialChecksum) }

func testUDPPartialChecksum(t *testing.T, on Backend) {
	t.Parallel()
	l := withHosts(t, on)
	l.box.plain(t, "wan")
	var s seen
	l.forward(t, s.look)
	var server net.PacketConn
	l.server.do(t, func() { server = must(net.ListenPacket("udp4", "192.0.2.2:5000"))(t) })
	defer server.Close()
	var client net.Conn
	l.client.do(t, func() { client = must(net.Dial("udp4", "192.0.2.2:5000"))(t) })
	defer client.Close()
	check(t, server.SetDeadline(time.Now().Add(patience)))
	s0 := l.server.tap(t, "s0")
	for i := range 10 {
		want := bytes.Repeat([]byte{byte(i)}, 100*i+1)
		_, err := client.Write(want)
		check(t, err)
		got := make([]byte, 2000)
		n, _, err := server.ReadFrom(got)
		check(t, err)
		if !bytes.Equal(got[:n], want) {
			t.Errorf("datagram %d changed", i)
		}
		if n := nextUDP(t, s0); n != len(want) {
			t.Errorf("datagram %d: got %d octets on the wire, want %d", i, n, len(want))
		}
	}
	if s.partial.Load() < 10 {
		t.Errorf("saw %d unfinished checksums, want 10: the test does not test", s.partial.Load())
	}
}

// nextUDP returns the length of the next datagram a tap sees.
func nextUDP(t *testing.T, s *tap) int {
	t.Helper()
	for {
		f := s.recv(patience)
		if f == nil {
			t.Fatalf("no datagram within %v", patience)
		}
		if n, ok := l4Payload(t, f, unix.IPPROTO_UDP); ok {
			return n
		}
	}
}

// Tags move checksum and segmentation offsets on their way in and out.
func TestTaggedSuperFrame(t *testing.T) { onBackends(t, testTaggedSuperFrame) }

func testTaggedSuperFrame(t *testing.T, on Backend) {
	t.Parallel()
	const payload, size = 6000, 1000
	tests := []struct {
		name string
		tags []uint16
	}{
		{"no tag", nil},
		{"802.1Q", []uint16{0x8100, 0xE064}},
		{"priority tag", []uint16{0x8100, 0}},
		{"802.1ad, 802.1Q", []uint16{0x88A8, 100, 0x8100, 200}},
	}
	l := newInline(t, 1500, Options{Backend: on})
	l.box.plain(t, "wan")
	c0, s0 := l.client.open(t, "c0", Options{Backend: on}), l.server.tap(t, "s0")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eth := frame(12+2*len(tt.tags)+2, unicast, append(tt.tags, 0x0800)...)
			sent := &track.Frame{Data: tcpFrame(eth, payload)}
			l4 := uint16(len(eth) + 20)
			sent.Offload = wire.Offload{Flags: needsCsum, GSOType: unix.VIRTIO_NET_HDR_GSO_TCPV4,
				HeaderLen: l4 + 20, GSOSize: size, CsumStart: l4, CsumOffset: 16}
			check(t, c0.Send([]*track.Frame{sent}))
			if sent.Verdict == track.Drop {
				t.Fatalf("the client could not send: %v", sent.Reason)
			}
			got := receive(t, l.lan)[0]
			if !bytes.Equal(got.Data, sent.Data) || got.Offload.CsumStart != l4 || got.Offload.GSOSize != size {
				t.Fatalf("got %d octets, %+v, want %d, %+v", len(got.Data), got.Offload, len(sent.Data), sent.Offload)
			}
			check(t, l.wan.Send([]*track.Frame{&got}))
			if got.Verdict == track.Drop {
				t.Fatalf("the box could not send: %v", got.Reason)
			}
			for i := range payload / size {
				f := s0.recv(patience)
				if f == nil || !bytes.Equal(f[:len(eth)], eth) {
					t.Fatalf("segment %d: got % x, want addresses and tags % x", i, f[:min(len(f), len(eth))], eth)
				}
				if n, ok := l4Payload(t, f, unix.IPPROTO_TCP); !ok || n != size {
					t.Fatalf("segment %d: got %d octets of TCP, want %d", i, n, size)
				}
			}
		})
	}
}

// tcpFrame puts an IPv4 TCP segment behind eth, its checksum left unfinished.
func tcpFrame(eth []byte, payload int) []byte {
	f, tcp, pseudo := ipv4Frame(eth, unix.IPPROTO_TCP, 20, payload)
	binary.BigEndian.PutUint16(tcp, 1723)
	binary.BigEndian.PutUint16(tcp[2:], 1723)
	tcp[12], tcp[13] = 5<<4, 0x10
	binary.BigEndian.PutUint16(tcp[16:], pseudo)
	return f
}

// ipv4Frame puts an IPv4 header behind eth, and room for one of l4 and a payload.
// It returns that room too, and the sum of the pseudo-header (RFC 9293, section
// 3.1).
func ipv4Frame(eth []byte, protocol byte, header, payload int) (f, l4 []byte, pseudo uint16) {
	f = append(bytes.Clone(eth), make([]byte, 20+header+payload)...)
	ip, l4 := f[len(eth):], f[len(eth)+20:]
	ip[0], ip[8], ip[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(ip[10:], ^sum(0, ip[:20]))
	for i := range payload {
		l4[header+i] = byte(i)
	}
	return f, l4, sum(uint32(protocol)+uint32(len(l4)), ip[12:20])
}

// exchange sends size random octets each way over one TCP connection and
// compares.
func exchange(t *testing.T, l *inline, size int) {
	t.Helper()
	var listener net.Listener
	l.server.do(t, func() { listener = must(net.Listen("tcp4", "192.0.2.2:0"))(t) })
	defer listener.Close()
	ends := make(chan error, 2)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = talk(conn, size, 1, 2)
		}
		ends <- err
	}()
	var conn net.Conn
	l.client.do(t, func() { conn = must(net.DialTimeout("tcp4", listener.Addr().String(), patience))(t) })
	go func() { ends <- talk(conn, size, 2, 1) }()
	for range 2 {
		check(t, <-ends)
	}
}

// talk sends the octets of one seed and expects those of the other.
func talk(conn net.Conn, size int, sendSeed, wantSeed uint64) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(6 * patience)); err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(randomBytes(size, sendSeed))
		sent <- err
	}()
	got := sha256.New()
	if _, err := io.CopyN(got, conn, int64(size)); err != nil {
		return err
	}
	if want := sha256.Sum256(randomBytes(size, wantSeed)); !bytes.Equal(got.Sum(nil), want[:]) {
		return fmt.Errorf("the data changed on its way to %v", conn.LocalAddr())
	}
	return <-sent
}

func randomBytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

// l4Payload returns how many octets of TCP or UDP payload an IPv4 frame has,
// after checking the checksums. It is false for anything else.
func l4Payload(t *testing.T, f []byte, proto byte) (int, bool) {
	t.Helper()
	at := 12
	for typ := binary.BigEndian.Uint16(f[at:]); typ == 0x8100 || typ == 0x88A8; typ = binary.BigEndian.Uint16(f[at:]) {
		at += 4
	}
	ip := f[at+2:]
	if binary.BigEndian.Uint16(f[at:]) != 0x0800 || ip[9] != proto {
		return 0, false
	}
	ip = ip[:binary.BigEndian.Uint16(ip[2:])]
	l4 := ip[20:]
	if got := sum(0, ip[:20]); got != 0xFFFF {
		t.Fatalf("bad IP checksum: sum %#x", got)
	}
	if got := sum(sum32(uint32(proto)+uint32(len(l4)), ip[12:20]), l4); got != 0xFFFF {
		t.Fatalf("bad checksum: sum %#x of % x", got, l4[:8])
	}
	if proto == unix.IPPROTO_UDP {
		return len(l4) - 8, true
	}
	return len(l4) - int(l4[12]>>4)*4, true
}

// sum is the Internet checksum's one's complement sum (RFC 1071).
func sum(s uint32, b []byte) uint16 {
	s = sum32(s, b)
	for s > 0xFFFF {
		s = s>>16 + s&0xFFFF
	}
	return uint16(s)
}

func sum32(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

// BenchmarkForward is one frame's way: sent by a peer, received at one port,
// sent by the other, all on one thread. What the kernel does in between is in
// the figure.
func BenchmarkForward(b *testing.B) {
	for _, on := range backends {
		b.Run(string(on), func(b *testing.B) { benchmarkForward(b, on) })
	}
}

func benchmarkForward(b *testing.B, on Backend) {
	l := newInline(b, 1500, Options{Backend: on})
	c0 := l.client.open(b, "c0", Options{Backend: on})
	for _, size := range []int{60, 1514} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			batch := make([]*track.Frame, bridge.BatchSize)
			for i := range batch {
				batch[i] = &track.Frame{Data: frame(size, unicast, testEtherType)}
			}
			out := make([]*track.Frame, 0, bridge.BatchSize)
			b.ReportAllocs()
			for b.Loop() {
				check(b, c0.Send(batch))
				for got := 0; got < len(batch); {
					frames, err := l.lan.Receive(patience)
					check(b, err)
					got += len(frames)
					out = out[:0]
					for i := range frames {
						out = append(out, &frames[i])
					}
					check(b, l.wan.Send(out))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/frame")
		})
	}
}
