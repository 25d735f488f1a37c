package control

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/grewire/grewire/track/pptp"
)

// Port is where PPTP servers listen.
const Port = 1723

// capabilities is what either end says of itself.
var capabilities = pptp.Capabilities{
	FramingCapabilities: pptp.FramingCapabilitySync, BearerCapabilities: pptp.BearerCapabilityDigital,
	HostName: pptp.TextOf("bench"), VendorString: pptp.TextOf("grewire"),
}

// Server is a PAC that answers every Outgoing-Call-Request with a call ID of its
// own, from 1 on.
type Server struct {
	listener net.Listener
	lastID   atomic.Uint32
	done     sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	peers  map[uint16]Peer // by the PAC's call ID
	err    error           // why no more are accepted
	closed bool
}

// Peer is the PNS of a call as the server sees it: behind a device that
// translates its address and call ID are others than where the PNS is.
type Peer struct {
	Addr netip.Addr
	ID   uint16
}

// Peer returns the PNS of the call that the server has given this ID.
func (s *Server) Peer(id uint16) Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[id]
}

// Err says why the server accepts no more connections; nil while it does.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Listen answers the connections to an address until Close. It must be called
// where that address is (a network namespace belongs to the thread).
func Listen(addr netip.Addr) (*Server, error) {
	config := net.ListenConfig{KeepAlive: -1} // see Dial
	l, err := config.Listen(context.Background(), "tcp4", netip.AddrPortFrom(addr, Port).String())
	if err != nil {
		return nil, err
	}
	s := &Server{listener: l, conns: make(map[net.Conn]bool), peers: make(map[uint16]Peer)}
	s.done.Go(s.accept)
	return s, nil
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			return
		}
		if s.keep(conn) {
			s.done.Go(func() { s.serve(conn) })
		}
	}
}

// keep has Close end the connection; one that was accepted while it ran is ended here.
func (s *Server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *Server) forget(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// serve answers until the other end is done, or says something odd.
func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	defer s.forget(conn)
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	for in := bufio.NewReader(conn); ; {
		m, err := read(in)
		if err != nil {
			return
		}
		answer := s.answer(m, from)
		if answer == nil {
			continue
		}
		if err := write(conn, answer); err != nil {
			return
		}
	}
}

func (s *Server) answer(m pptp.Message, from netip.Addr) pptp.Message {
	switch m := m.(type) {
	case *pptp.StartControlConnectionRequestMessage:
		return &pptp.StartControlConnectionReplyMessage{ProtocolVersion: pptp.Version, ResultCode: pptp.StartResultOK, Capabilities: capabilities}
	case *pptp.EchoRequestMessage:
		return &pptp.EchoReplyMessage{Identifier: m.Identifier, ResultCode: pptp.EchoResultOK}
	case *pptp.OutgoingCallRequestMessage:
		id := uint16(s.lastID.Add(1))
		s.mu.Lock()
		s.peers[id] = Peer{from, m.CallID}
		s.mu.Unlock()
		return &pptp.OutgoingCallReplyMessage{
			CallID: id, PeerCallID: m.CallID, ResultCode: pptp.OutCallResultConnected,
			ConnectSpeed: 10_000_000, PacketRecvWindowSize: window,
		}
	case *pptp.StopControlConnectionRequestMessage:
		return &pptp.StopControlConnectionReplyMessage{ResultCode: pptp.StopResultOK}
	}
	return nil
}

// window is the receive window that either end grants, in packets.
const window = 64

// Close ends the server and its connections.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
	return err
}

// read reads a message.
func read(in *bufio.Reader) (pptp.Message, error) {
	header, err := in.Peek(pptp.HeaderLength)
	if err != nil {
		return nil, err
	}
	message := make([]byte, max(pptp.HeaderLength, int(pptp.View(header).Length())))
	if _, err := io.ReadFull(in, message); err != nil {
		return nil, err
	}
	return pptp.Decode(message)
}

func write(to io.Writer, messages ...pptp.Message) (err error) {
	var octets []byte
	for _, m := range messages {
		if octets, err = pptp.Append(octets, m); err != nil {
			return fmt.Errorf("encode %s: %w", m.ControlType(), err)
		}
	}
	_, err = to.Write(octets)
	return err
}
