package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
)

// superLab is a box on default veths, with a capture at the server.
type superLab struct {
	*labBox
	capture *bridgetest.Capture
	path    string
}

func startSuper(t *testing.T) *superLab {
	t.Helper()
	l := &superLab{labBox: startLab(t, bridgetest.InlineOption{})}
	l.path = filepath.Join(l.top.Lab.Dir(), "server.pcap")
	var err error
	if l.capture, err = l.top.Server.Capture(bridgetest.HostNIC, l.path); err != nil {
		t.Fatal(err)
	}
	return l
}

// finish stops box and capture. At the server one frame had all of this.
func (l *superLab) finish(whole []byte) {
	l.t.Helper()
	l.checkNothingLost()
	l.stop()
	if err := l.capture.Stop(); err != nil {
		l.t.Fatal(err)
	}
	r, err := capture.Open(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			l.t.Fatal(err)
		}
		if bytes.Contains(rec.Data, whole) {
			return
		}
	}
	l.t.Errorf("no frame at the server had all %d octets: they were taken apart on the way", len(whole))
}

// TestLabControlSuperFrame: calls whose requests cross as one TCP super-frame,
// cut anywhere by its segments, are tracked.
func TestLabControlSuperFrame(t *testing.T) {
	l := startSuper(t)
	const calls, firstID = 30, 1000 // 30 requests are 5040 octets
	var requests, replies []pptp.Message
	for i := range uint16(calls) {
		requests = append(requests, tracktest.OutRequest(firstID+i))
		replies = append(replies, tracktest.OutReply(2*firstID+i, firstID+i, pptp.OutCallResultConnected))
	}
	request := tracktest.Encode(requests...)
	client, server := l.connect(fmt.Sprint(":", pptp.Port))
	steps := []struct {
		from, to net.Conn
		data     []byte
	}{
		{client, server, tracktest.Encode(tracktest.StartRequest())},
		{server, client, tracktest.Encode(tracktest.StartReply(pptp.StartResultOK))},
		{client, server, request},
		{server, client, tracktest.Encode(replies...)},
	}
	for i, s := range steps {
		if _, err := s.from.Write(s.data); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(s.data))
		if _, err := io.ReadFull(s.to, got); err != nil || !bytes.Equal(got, s.data) {
			t.Fatalf("step %d: %v, unchanged: %v", i, err, bytes.Equal(got, s.data))
		}
	}
	var listed []track.Call
	l.ask(&listed, "calls")
	seen := map[uint16]uint16{}
	for _, c := range listed {
		seen[c.PNS.CallID] = c.PAC.CallID
	}
	for i := range uint16(calls) {
		if seen[firstID+i] != 2*firstID+i {
			t.Errorf("call %d is listed with the PAC's ID %d", firstID+i, seen[firstID+i])
		}
	}
	if len(listed) != calls {
		t.Errorf("%d calls are listed, want %d", len(listed), calls)
	}
	l.finish(request)
}

// connect opens a TCP connection from the client to a port of the server.
func (l *superLab) connect(port string) (client, server net.Conn) {
	l.t.Helper()
	var listener net.Listener
	err := l.top.Server.Do(func() (err error) { listener, err = net.Listen("tcp4", bridgetest.ServerAddr+port); return err })
	if err != nil {
		l.t.Fatal(err)
	}
	defer listener.Close()
	if err := l.top.Client.Do(func() (err error) { client, err = net.Dial("tcp4", bridgetest.ServerAddr+port); return err }); err != nil {
		l.t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		l.t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		l.t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return client, server
}

// TestLabMergedSegments: what the box's NIC has merged on receive (GRO) crosses
// whole, the data as it was sent. The client sends plain segments.
func TestLabMergedSegments(t *testing.T) {
	l := startSuper(t)
	for _, args := range [][]string{{"-K", bridgetest.HostNIC, "tso", "off", "gso", "off"}, {"-K", bridgetest.LANNIC, "gro", "on"}} {
		ns := map[bool]*bridgetest.Namespace{true: l.top.Client, false: l.top.Box}[args[1] == bridgetest.HostNIC]
		l.command(ns, patience, append([]string{"ethtool"}, args...)...)
	}
	client, server := l.connect(":4000")
	// Two segments of full size, which no segment has whole: its payload is 1448.
	whole := []byte(strings.Repeat("0123456789abcdef", 181))
	data := bytes.Repeat(whole, 200) // as plain segments it is still within the capture
	sent := make(chan error, 1)
	go func() { _, err := client.Write(data); sent <- err }()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%v, unchanged: %v", err, bytes.Equal(got, data))
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	l.finish(whole)
}

// TestLabUDPSegmentation: what a host has its NIC cut into datagrams crosses
// whole, and arrives as these datagrams.
func TestLabUDPSegmentation(t *testing.T) {
	l := startSuper(t)
	const size, datagrams = 1000, 20
	var server *net.UDPConn
	var client net.Conn
	to := &net.UDPAddr{IP: net.ParseIP(bridgetest.ServerAddr), Port: 4000}
	if err := l.top.Server.Do(func() (err error) { server, err = net.ListenUDP("udp4", to); return err }); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := l.top.Client.Do(func() (err error) { client, err = net.DialUDP("udp4", nil, to); return err }); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	raw, err := client.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var refused error
	err = raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size) })
	if err := errors.Join(err, refused); err != nil {
		t.Fatal(err)
	}
	var whole []byte
	for i := range datagrams {
		whole = append(whole, bytes.Repeat([]byte{byte('a' + i)}, size)...)
	}
	if _, err := client.Write(whole); err != nil {
		t.Fatal(err)
	}
	_ = server.SetReadDeadline(time.Now().Add(20 * time.Second))
	got := make([]byte, len(whole))
	for i := range datagrams {
		n, err := server.Read(got)
		if err != nil || !bytes.Equal(got[:n], whole[i*size:][:size]) {
			t.Fatalf("datagram %d: %v, %d octets of %.8q…", i, err, n, got)
		}
	}
	l.finish(whole)
}
