package bridgetest

import (
	"fmt"
	"net"

	"github.com/mdlayher/packet"
)

// Injector sends frames as they are by a NIC of a namespace, as a host there
// would. It receives nothing.
type Injector struct {
	what string
	conn *packet.Conn
}

// Injector returns one for a NIC, to be closed by the caller.
func (ns *Namespace) Injector(nic string) (*Injector, error) {
	i := &Injector{what: "inject by " + nic + " in " + ns.name}
	err := ns.Do(func() error {
		ifi, err := net.InterfaceByName(nic)
		if err == nil {
			i.conn, err = packet.Listen(ifi, packet.Raw, 0, nil)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.what, err)
	}
	return i, nil
}

// Send sends a frame, from its destination MAC address on; at least 14 octets.
func (i *Injector) Send(frame []byte) error {
	to := net.HardwareAddr(frame[:min(6, len(frame))])
	if _, err := i.conn.WriteTo(frame, &packet.Addr{HardwareAddr: to}); err != nil {
		return fmt.Errorf("%s: %d octets: %w", i.what, len(frame), err)
	}
	return nil
}

// Close ends the injector.
func (i *Injector) Close() error { return i.conn.Close() }
