package control

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/grewire/grewire/track/pptp"
)

// Call is a call that both ends have agreed to.
type Call struct {
	PNS, PAC     netip.Addr
	PNSID, PACID uint16
}

// patience is how long an answer may take.
const patience = 10 * time.Second

// Client is a PNS with one control connection.
type Client struct {
	conn   net.Conn
	in     *bufio.Reader
	server netip.Addr
}

// Dial opens a control connection from one address to another. It must run where
// the first is (a network namespace belongs to the thread).
func Dial(from *net.TCPAddr, server netip.Addr) (*Client, error) {
	// Keep-alive probes of thousands of connections would be traffic of their own.
	d := net.Dialer{LocalAddr: from, Timeout: patience, KeepAlive: -1}
	conn, err := d.Dial("tcp4", netip.AddrPortFrom(server, Port).String())
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, in: bufio.NewReader(conn), server: server}
	if err := c.start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("control connection from %s: %w", conn.LocalAddr(), err)
	}
	return c, nil
}

func (c *Client) start() error {
	request := &pptp.StartControlConnectionRequestMessage{ProtocolVersion: pptp.Version, Capabilities: capabilities}
	if err := c.ask(request); err != nil {
		return err
	}
	m, err := read(c.in)
	if err != nil {
		return err
	}
	if reply, ok := m.(*pptp.StartControlConnectionReplyMessage); !ok || reply.ResultCode != pptp.StartResultOK {
		return fmt.Errorf("answered by %s", m)
	}
	return nil
}

// ask sends messages, and bounds how long the answers may take.
func (c *Client) ask(messages ...pptp.Message) error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return write(c.conn, messages...)
}

// together is how many calls are asked for before the first answer is awaited.
const together = 64

// Call asks for calls with these IDs and returns them in the same order.
func (c *Client) Call(ids []uint16) (calls []Call, err error) {
	for len(ids) > 0 {
		n := min(len(ids), together)
		some, err := c.callSome(ids[:n])
		if err != nil {
			return calls, fmt.Errorf("calls from %s: %w", c.conn.LocalAddr(), err)
		}
		calls, ids = append(calls, some...), ids[n:]
	}
	return calls, nil
}

func (c *Client) callSome(ids []uint16) (calls []Call, err error) {
	var requests []pptp.Message
	for _, id := range ids {
		requests = append(requests, &pptp.OutgoingCallRequestMessage{
			CallID: id, CallSerialNumber: id, MinimumBPS: 2400, MaximumBPS: 1_000_000_000,
			BearerType: pptp.BearerTypeAny, FramingType: pptp.FramingTypeEither, PacketRecvWindowSize: window,
		})
	}
	if err := c.ask(requests...); err != nil {
		return nil, err
	}
	local := c.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	for _, id := range ids {
		m, err := read(c.in)
		if err != nil {
			return nil, err
		}
		reply, ok := m.(*pptp.OutgoingCallReplyMessage)
		if !ok || reply.PeerCallID != id || reply.ResultCode != pptp.OutCallResultConnected {
			return nil, fmt.Errorf("call %d answered by %s", id, m)
		}
		calls = append(calls, Call{PNS: local, PAC: c.server, PNSID: id, PACID: reply.CallID})
	}
	return calls, nil
}

// Close resets the connection: thousands of them are not to linger.
func (c *Client) Close() error {
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // or else it closes as usual
	}
	return c.conn.Close()
}
