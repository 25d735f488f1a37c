package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/neighbour"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// openNeighbour makes what answers ARP for the addresses that the WAN dials;
// nil if there are none. It has no sockets yet.
func openNeighbour(conf *config.Config, hub *bridge.Hub, clock bridge.Clock, log *slog.Logger) (*neighbour.Box, error) {
	addresses := conf.NAT.Translated()
	if len(addresses) == 0 {
		return nil, nil
	}
	return neighbour.New(neighbour.Options{
		LAN: conf.Bridge.LAN, WAN: conf.Bridge.WAN, Addresses: addresses, Forwards: forwardsOf(&conf.NAT),
		Clock: clock, OnEvent: hub.Publish, Log: log, Seed: randomSeed(),
	})
}

func forwardsOf(n *config.NAT) []neighbour.Forward {
	var forwards []neighbour.Forward
	for _, f := range n.Forward {
		forwards = append(forwards, neighbour.Forward(f))
	}
	return forwards
}

// attach puts onto a NIC that was just opened what the box has there besides
// its port.
func (b *runningBox) attach(side track.Side, index int) error {
	err := b.attachBypass(side, index)
	if b.names != nil {
		err = errors.Join(err, learnMAC(b.names, side, index))
	}
	if b.neighbour != nil {
		err = errors.Join(err, b.neighbour.Open(side, index))
	}
	return err
}

// onLink publishes an event of the NICs, of which the neighbour is told first.
func (b *runningBox) onLink(publish func(track.Event)) func(track.Event) {
	return func(e track.Event) {
		if b.neighbour != nil {
			b.neighbour.Follow(e)
		}
		publish(e)
	}
}

// answerARP runs the neighbour, if there is one.
func (b *runningBox) answerARP(ctx context.Context) error {
	if b.neighbour == nil {
		return nil
	}
	b.log.Info("answering ARP on the WAN side", "addresses", b.conf.NAT.Translated(), "nic", b.conf.Bridge.WAN)
	return b.neighbour.Run(ctx)
}

// hostMAC returns the MAC address of a host on the LAN, if it is known, and else
// has it asked for.
func (b *runningBox) hostMAC(zone wire.Zone, addr netip.Addr) (mac [6]byte, ok bool) {
	if b.neighbour == nil {
		return mac, false
	}
	if mac, ok = b.neighbour.MAC(zone, addr); !ok {
		b.neighbour.Resolve(zone, addr)
	}
	return mac, ok
}

func (b *runningBox) closeNeighbour() error {
	if b.neighbour == nil {
		return nil
	}
	return b.neighbour.Close()
}

// answerJSON is an address that the box answers ARP for on the WAN side.
type answerJSON struct {
	Address netip.Addr `json:"address"`
	InUseBy string     `json:"in_use_by,omitempty"` // the MAC address of a host that has it, too
}

// askFor is how long check waits for hosts that have an address of the box's.
const askFor = 900 * time.Millisecond

// addNAT takes in what translation needs of the machine and of the network.
// That somebody has an address may be over by the time the box runs: it is a
// warning.
func (r *report) addNAT(conf *config.Config, m *machine) {
	warn := func(nicName, message, advice string) {
		r.Problems = append(r.Problems, problemJSON{nic.Warning.String(), nicName, message, advice})
	}
	if conf.NAT.Active() && conf.Bridge.Fail == config.FailOpen {
		warn("", `with bridge.fail = "open", frames that go past the box are not translated`,
			`translated calls stop meanwhile, and the WAN sees the LAN's own addresses; use "closed" to keep those in`)
	}
	for _, key := range unusedByNAT(&conf.NAT) {
		warn("", fmt.Sprintf("%s has no effect with nat.mode = %q", key, conf.NAT.Mode), `mode "masquerade" uses it`)
	}
	addresses := conf.NAT.Translated()
	used := make(map[netip.Addr]neighbour.MAC)
	if len(addresses) > 0 && m.wan.Exists && m.wan.Up {
		var err error
		if used, err = neighbour.InUse(m.wan.Name, addresses, askFor); err != nil {
			warn(m.wan.Name, "whether a host has one of the addresses is not known: "+err.Error(), "")
		}
	}
	for _, a := range addresses {
		answer := answerJSON{Address: a}
		if mac, found := used[a]; found {
			answer.InUseBy = mac.String()
			warn(m.wan.Name, fmt.Sprintf("%s is in use by %s", a, mac), "give that host another address, or the box (nat.address, nat.forward)")
		}
		r.Answers = append(r.Answers, answer)
	}
}

// unusedByNAT returns the keys that are set for a mode that is not.
func unusedByNAT(n *config.NAT) (keys []string) {
	if n.Mode == config.NATMasquerade {
		return nil
	}
	if n.Address.IsValid() {
		keys = append(keys, "nat.address")
	}
	if n.Ports != config.Default().NAT.Ports {
		keys = append(keys, "nat.ports")
	}
	return keys
}

// printAnswers says what is answered for, in a line.
func (r *report) printAnswers(out io.Writer) error {
	if len(r.Answers) == 0 {
		return nil
	}
	addresses := make([]string, len(r.Answers))
	for i, a := range r.Answers {
		addresses[i] = a.Address.String()
	}
	_, err := fmt.Fprintf(out, "answers ARP on %s for %s\n\n", r.NICs["wan"].Name, strings.Join(addresses, ", "))
	return err
}
