package oracle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// ErrNoHelper says that this machine cannot be the oracle.
var ErrNoHelper = errors.New("this kernel cannot track PPTP")

// Kernel is a Linux bridge whose IPv4 goes through conntrack with the PPTP
// helper:
//
//	lan eth0 --- lan|br0|wan --- eth0 wan
//
// It is for one goroutine.
type Kernel struct {
	box     *bridgetest.Namespace
	ports   [2]*afpacket.Port
	tables  *netlink.Handle
	markers uint64
	cpu     unix.CPUSet
}

// rules let control connections through and attach the helper to them, and of
// GRE only what conntrack has seen or expects. Bridged frames pass them by
// bridge-nf-call-iptables.
var firewall = [...]string{
	"-t raw -A PREROUTING -p tcp --dport 1723 -j CT --helper pptp",
	"-P FORWARD DROP",
	"-A FORWARD -p tcp --dport 1723 -j ACCEPT",
	"-A FORWARD -p tcp --sport 1723 -j ACCEPT",
	"-A FORWARD -p gre -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
}

// OpenKernel makes the bridge in a lab. An error that wraps ErrNoHelper says
// that the machine lacks something.
func OpenKernel(lab *bridgetest.Lab) (*Kernel, error) {
	k := &Kernel{}
	if err := k.build(lab); err != nil {
		return nil, fmt.Errorf("kernel oracle: %w", err)
	}
	if err := k.filter(); err != nil {
		return nil, fmt.Errorf("kernel oracle: %w", err)
	}
	return k, nil
}

func (k *Kernel) build(lab *bridgetest.Lab) error {
	if err := k.open(lab); err != nil {
		return err
	}
	if err := k.box.Bridge("br0", "lan", "wan"); err != nil {
		return err
	}
	return k.pickCPU()
}

// open makes the namespaces, and opens a port at each side.
func (k *Kernel) open(lab *bridgetest.Lab) (err error) {
	if k.box, err = lab.Namespace("oracle"); err != nil {
		return err
	}
	for side, nic := range [...]string{track.LAN: "lan", track.WAN: "wan"} {
		host, err := lab.Namespace(nic)
		if err != nil {
			return err
		}
		if err := lab.Veth(host, bridgetest.HostNIC, k.box, nic, bridgetest.VethOption{OffloadsOff: true}); err != nil {
			return err
		}
		open := func() (err error) {
			k.ports[side], err = afpacket.Open(bridgetest.HostNIC, afpacket.Options{})
			return err
		}
		if err := host.Do(open); err != nil {
			return err
		}
	}
	return nil
}

// filter sets up what the bridged frames pass.
func (k *Kernel) filter() error {
	if err := k.box.Sysctl("net.bridge.bridge-nf-call-iptables", "1"); err != nil {
		return fmt.Errorf("%w: no br_netfilter: %w", ErrNoHelper, err)
	}
	if _, err := exec.LookPath("iptables"); err != nil {
		return fmt.Errorf("%w: %w", ErrNoHelper, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, rule := range firewall {
		if _, err := k.box.Run(ctx, "iptables", strings.Fields(rule)...); err != nil {
			return fmt.Errorf("%w: %w", ErrNoHelper, err)
		}
	}
	return k.openTables()
}

// openTables makes conntrack's tables be at hand.
func (k *Kernel) openTables() error {
	err := k.box.Do(func() (err error) {
		k.tables, err = netlink.NewHandle(unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoHelper, err)
	}
	return nil
}

// Close closes the sockets; the rest goes with the lab.
func (k *Kernel) Close() error {
	if k.tables != nil {
		k.tables.Close()
	}
	var errs []error
	for _, p := range k.ports {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

// pickCPU picks the CPU on which everything is sent, and thereby bridged: a
// virtual NIC queues what a thread sends on the CPU that the thread runs on,
// so that the frames of both sides stay in order.
func (k *Kernel) pickCPU() error {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	for cpu := 0; k.cpu.Count() == 0; cpu++ {
		if allowed.IsSet(cpu) {
			k.cpu.Set(cpu)
		}
	}
	return nil
}

// pinned calls f on the kernel's CPU.
func (k *Kernel) pinned(f func() error) error {
	runtime.LockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &k.cpu); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	err := f()
	if unix.SchedSetaffinity(0, &before) == nil {
		runtime.UnlockOSThread()
	} // else the thread ends with the goroutine
	return err
}

// play plays steps through a bridge that has seen nothing of their hosts.
func (k *Kernel) play(hosts [numHosts]*tracktest.Host, steps []Step) (out outcome, err error) {
	if out.frames, err = k.Play(steps); err != nil {
		return out, err
	}
	if out.tables, err = k.Tables(hosts); err != nil {
		return out, err
	}
	return out, k.Flush()
}

// Play sends the frames of a sequence, in order, and returns what came out for
// each of them: nil if nothing did. No frame is longer in the bridge than the
// call of Play.
func (k *Kernel) Play(steps []Step) ([][]byte, error) {
	k.markers++
	if err := k.pinned(func() error { return k.send(steps) }); err != nil {
		return nil, err
	}
	out := make([][]byte, len(steps))
	for side := range k.ports {
		if err := k.collect(track.Side(side), steps, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// send sends steps and behind them a marker from each side.
func (k *Kernel) send(steps []Step) error {
	for i := 0; i < len(steps); {
		var batch []*track.Frame
		side := steps[i].Side
		for ; i < len(steps) && steps[i].Side == side && len(batch) < bridge.BatchSize; i++ {
			batch = append(batch, &track.Frame{Data: steps[i].Frame})
		}
		if err := k.sendBatch(side, batch); err != nil {
			return err
		}
	}
	for side := range macs {
		marker := &track.Frame{Data: k.marker(track.Side(side))}
		if err := k.sendBatch(track.Side(side), []*track.Frame{marker}); err != nil {
			return err
		}
	}
	return nil
}

func (k *Kernel) sendBatch(side track.Side, batch []*track.Frame) error {
	if err := k.ports[side].Send(batch); err != nil {
		return fmt.Errorf("send from %s: %w", side, err)
	}
	for _, f := range batch {
		if f.Verdict == track.Drop {
			return fmt.Errorf("send from %s: a frame was not taken (%s)", side, f.Reason)
		}
	}
	return nil
}

// typeMarker is the ethertype for local experiments (IEEE 802, clause 9.2.4).
// The bridge passes it by iptables.
const typeMarker = 0x88b5

// marker is a frame from side that always passes, the last of this Play.
func (k *Kernel) marker(side track.Side) []byte {
	to := macs[side.Other()]
	h := tracktest.Host{MAC: macs[side]}
	return h.Ethernet(to, typeMarker, binary.BigEndian.AppendUint64(nil, k.markers))
}

// patience bounds every wait for the kernel.
const patience = 20 * time.Second

// collect takes what came out at side until the marker.
func (k *Kernel) collect(side track.Side, steps []Step, out [][]byte) error {
	end := k.marker(side.Other())
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		frames, err := k.ports[side].Receive(time.Until(deadline))
		if err != nil {
			return fmt.Errorf("receive at %s: %w", side, err)
		}
		for _, f := range frames {
			if bytes.Equal(f.Data, end) {
				return nil
			}
			n := number(f.Data) - 1
			if n < 0 || n >= len(steps) || steps[n].Side == side || out[n] != nil {
				return fmt.Errorf("received at %s: a frame that nobody sent: % x", side, f.Data)
			}
			out[n] = bytes.Clone(f.Data)
		}
	}
	return fmt.Errorf("receive at %s: the marker did not come within %v", side, patience)
}

const (
	ethernetHeader = 14
	typeIPv4       = 0x0800
)

// number reads a frame's number from where the renderer put it.
func number(frame []byte) int {
	if len(frame) < ethernetHeader+20 || binary.BigEndian.Uint16(frame[12:]) != typeIPv4 {
		return 0
	}
	return int(binary.BigEndian.Uint16(frame[ethernetHeader+4:]))
}
