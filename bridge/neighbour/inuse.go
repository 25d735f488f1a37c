package neighbour

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/track"
)

// InUse asks on a NIC for addresses, as a host does before it takes them
// (RFC 5227, section 2.1.1), but in a second or less, and outside of any VLAN.
// It returns who else has one. It answers for none, and does no harm to a box that
// runs on the NIC. It needs CAP_NET_RAW.
func InUse(name string, addresses []netip.Addr, wait time.Duration) (map[netip.Addr]MAC, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	if len(ifi.HardwareAddr) != len(MAC{}) {
		return nil, fmt.Errorf("%s has no Ethernet address", name)
	}
	port, err := openPort(name)
	if err != nil {
		return nil, err
	}
	defer port.Close()
	from, found := MAC(ifi.HardwareAddr), make(map[netip.Addr]MAC)
	var frames []*track.Frame
	for _, a := range addresses {
		frames = append(frames, &track.Frame{Data: probe(from, broadcast, "", a)})
		found[a] = from // nobody else, so far
	}
	for range probeCount {
		err := errors.Join(port.Send(frames), collect(port, from, wait/probeCount, found))
		if err != nil && !errors.Is(err, bridge.ErrPortDown) {
			return nil, err
		}
	}
	maps.DeleteFunc(found, func(_ netip.Addr, who MAC) bool { return who == from })
	return found, nil
}

func openPort(name string) (*afpacket.Port, error) {
	port, err := afpacket.Open(name, afpacket.Options{Backend: afpacket.MMsg, ReceiveBuffer: buffer, SendBuffer: buffer, Filter: Filter()})
	if err != nil {
		return nil, fmt.Errorf("a socket for ARP: %w", err)
	}
	return port, nil
}

// collect notes for a while who says to have which address.
func collect(port *afpacket.Port, own MAC, wait time.Duration, found map[netip.Addr]MAC) error {
	for end := time.Now().Add(wait); time.Now().Before(end); {
		frames, err := port.Receive(time.Until(end))
		if err != nil {
			return err
		}
		for i := range frames {
			m, ok := parse(frames[i].Data)
			if _, asked := found[m.sender]; ok && asked && m.senderMAC != own && m.zone == 0 {
				found[m.sender] = m.senderMAC
			}
		}
	}
	return nil
}
