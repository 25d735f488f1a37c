package oracle

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// Router is a Linux router whose NAT hides the LAN behind natAddr, with the PPTP
// helper (nf_nat_pptp) attached:
//
//	lan eth0 --- lan|router|wan --- eth0 wan
//
// It is for one goroutine.
type Router struct {
	*Kernel
	macs [2][6]byte // its NICs', by side
}

// Addresses of sequences for translators.
var (
	natAddr  = netip.MustParseAddr("10.2.0.200")
	natHosts = [numHosts]string{Lan1: "10.1.0.1", Lan2: "10.1.0.2", Wan1: "10.2.0.1", Wan2: "10.2.0.2"}
)

// translation lets control connections through, and of GRE what conntrack has
// seen or expects. What tells where the sequence stands is UDP. The router itself
// says nothing.
var translation = [...]string{
	"iptables -t raw -A PREROUTING -p tcp --dport 1723 -j CT --helper pptp",
	"iptables -t nat -A POSTROUTING -o wan -p tcp -j SNAT --to-source 10.2.0.200",
	"iptables -P OUTPUT DROP",
	"iptables -P FORWARD DROP",
	"iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP",
	"iptables -A FORWARD -p tcp -j ACCEPT",
	"iptables -A FORWARD -p udp -j ACCEPT",
	"iptables -A FORWARD -p gre -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
	"ip addr add 10.1.0.254/24 dev lan",
	"ip addr add 10.2.0.200/24 dev wan",
	"sysctl -qw net.ipv4.ip_forward=1",
}

// OpenRouter makes the router in a lab. An error that wraps ErrNoHelper says that
// the machine lacks something.
func OpenRouter(lab *bridgetest.Lab) (*Router, error) {
	r := &Router{Kernel: new(Kernel)}
	err := r.open(lab)
	if err == nil {
		err = r.pickCPU()
	}
	if err == nil {
		err = r.route()
	}
	if err == nil {
		err = r.openTables()
	}
	if err != nil {
		return nil, fmt.Errorf("kernel router: %w", err)
	}
	return r, nil
}

func (r *Router) route() error {
	commands := translation[:]
	for h := range numHosts {
		commands = append(commands, fmt.Sprintf("ip neigh replace %s lladdr %x:%x:%x:%x:%x:%x nud permanent dev %s", natHosts[h],
			macs[h.Side()][0], macs[h.Side()][1], macs[h.Side()][2], macs[h.Side()][3], macs[h.Side()][4], macs[h.Side()][5], h.Side()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, command := range commands {
		words := strings.Fields(command)
		if _, err := r.box.Run(ctx, words[0], words[1:]...); err != nil {
			return fmt.Errorf("%w: %w", ErrNoHelper, err)
		}
	}
	for side := range r.macs {
		r.macs[side] = [6]byte(r.box.HardwareAddr(track.Side(side).String()))
	}
	return nil
}

// Send sends a frame, and returns what came out of it; nil if nothing did.
func (r *Router) Send(side track.Side, frame []byte) (out []byte, err error) {
	r.markers++
	err = r.pinned(func() error {
		return r.sendBatch(side, []*track.Frame{{Data: frame}, {Data: r.mark(side)}})
	})
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		frames, err := r.ports[side.Other()].Receive(time.Until(deadline))
		if err != nil {
			return nil, fmt.Errorf("receive at %s: %w", side.Other(), err)
		}
		for _, f := range frames {
			if bytes.HasSuffix(f.Data, r.count()) {
				return out, nil
			}
			out = bytes.Clone(f.Data)
		}
	}
	return nil, fmt.Errorf("receive at %s: the marker did not come within %v", side.Other(), patience)
}

func (r *Router) count() []byte { return binary.BigEndian.AppendUint64([]byte("marker"), r.markers) }

// mark is a frame that always passes, behind the one to be sent.
func (r *Router) mark(side track.Side) []byte {
	const discard, header = 9, 8
	from, to := Lan1, Wan1
	if side == track.WAN {
		from, to = to, from
	}
	udp := binary.BigEndian.AppendUint16(nil, discard)
	udp = binary.BigEndian.AppendUint16(udp, discard)
	udp = binary.BigEndian.AppendUint16(udp, header+uint16(len(r.count())))
	udp = append(udp, 0, 0) // no checksum
	hosts := r.hosts()
	gateway := *hosts[to]
	gateway.MAC = r.macs[side]
	return tracktest.IP{Proto: unix.IPPROTO_UDP, ID: 1, Payload: append(udp, r.count()...)}.Frame(hosts[from], &gateway)
}

// hosts are those of sequences for translators.
func (r *Router) hosts() (hosts [numHosts]*tracktest.Host) {
	for h := range numHosts {
		hosts[h] = tracktest.NewHost(h.Side(), natHosts[h])
		hosts[h].MAC = macs[h.Side()]
	}
	return hosts
}
