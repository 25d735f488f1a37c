package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/nat"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// natOptions is what a configuration says to the translator. A name outlasts its
// call by a while, so that there may be more of them than calls.
func natOptions(c *config.Config, seed uint64) nat.Options {
	o := nat.Options{
		CallID:    c.NAT.Mode == config.NATCallID,
		FirstPort: c.NAT.Ports.First,
		LastPort:  c.NAT.Ports.Last,
		CallIDs:   2 * c.Limits.Calls,
		Seed:      seed,
	}
	if c.NAT.Mode == config.NATMasquerade {
		o.Address = c.NAT.Address
	}
	for _, f := range c.NAT.Forward {
		o.Forwards = append(o.Forwards, nat.Forward{Address: f.Address, To: f.To})
	}
	return o
}

// translate makes the tracker's options have the translator that c asks for, and
// returns it; nil if there is nothing to translate. seed is that of its choices.
// neighbour tells MAC addresses of hosts on the LAN; nil if nobody does.
func translate(o *track.Options, c *config.Config, seed uint64, neighbour func(wire.Zone, netip.Addr) ([6]byte, bool)) *nat.Translator {
	no := natOptions(c, seed)
	no.Neighbour = neighbour
	t := nat.New(no)
	if t != nil {
		o.Translation = t
	}
	return t
}

// learnMAC tells the translator the MAC address of a side's NIC.
func learnMAC(t *nat.Translator, side track.Side, index int) error {
	nic, err := net.InterfaceByIndex(index)
	if err != nil {
		return fmt.Errorf("the MAC address of the NIC on the %s side: %w", side, err)
	}
	if len(nic.HardwareAddr) != 6 {
		return fmt.Errorf("%s has no Ethernet MAC address", nic.Name)
	}
	t.SetNIC(side, [6]byte(nic.HardwareAddr))
	return nil
}
