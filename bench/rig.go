package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bench/control"
	"github.com/grewire/grewire/bench/dut"
	"github.com/grewire/grewire/bench/load"
)

// Rig is a device with calls across it and a path for each direction.
type Rig struct {
	Site *dut.Site

	server  *control.Server
	clients []*control.Client
	calls   []control.Call
	paths   [2]*load.Path // LAN to WAN, WAN to LAN
	cpus    []int
	each    int // calls per connection
}

// The directions of a rig's paths.
const (
	toWAN = 0
	toLAN = 1
)

// NewRig makes a rig of a site, which goes with it. A control connection carries
// up to callsEach calls.
func NewRig(site *dut.Site, callsEach int) (*Rig, error) {
	switch {
	case site.Device.OneCallEach:
		callsEach = 1
	case site.Device.Blind:
		callsEach = callsPerHost
	}
	r := &Rig{Site: site, each: max(1, callsEach)}
	if err := r.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", site.Device.Name, err), r.Close())
	}
	return r, nil
}

// sockets is how many the calls of some devices may need, two for each connection.
const sockets = 1 << 18

// allowSockets lets this process have that many files, or as many as it may.
func allowSockets() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= sockets {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: sockets, Max: max(sockets, limit.Max)}); err == nil {
		return nil
	}
	limit.Cur = limit.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

func (r *Rig) open() (err error) {
	if err := allowSockets(); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if r.cpus, err = allowedCPUs(); err != nil {
		return err
	}
	lan := load.End{NIC: r.Site.LAN.NIC, Do: r.Site.LAN.Namespace.Do}
	wan := load.End{NIC: r.Site.WAN.NIC, Do: r.Site.WAN.Namespace.Do}
	if r.paths[toWAN], err = load.Open(lan, wan); err != nil {
		return err
	}
	if r.paths[toLAN], err = load.Open(wan, lan); err != nil {
		return err
	}
	return r.Site.WAN.Namespace.Do(func() (err error) {
		r.server, err = control.Listen(r.Site.WAN.Addr)
		return err
	})
}

// Close ends the calls and takes the device away.
func (r *Rig) Close() error {
	for _, c := range r.clients {
		c.Close()
	}
	var errs []error
	if r.server != nil {
		errs = append(errs, r.server.Close())
	}
	for _, p := range r.paths {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(append(errs, r.Site.Close())...)
}

// callsPerHost is how many calls a client's address has, so that many calls are
// of many hosts, as they would be.
const callsPerHost = 500

// Dial sets up calls until there are n, in order: the last one is the device's
// newest. Those that are there stay. A frame of every new call crosses both ways,
// which shows that the device lets all of them pass, and makes whatever it keeps
// of a call; the kernel's helper has room for a few thousand calls without.
func (r *Rig) Dial(ctx context.Context, n int) error {
	hosts := func(calls int) int { return (calls + callsPerHost - 1) / callsPerHost }
	if err := r.Site.AddClients(hosts(len(r.calls)), hosts(n)); err != nil {
		return err
	}
	for old := len(r.calls); old < n; old = len(r.calls) {
		for len(r.calls) < min(n, old+callsPerHost) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := errors.Join(r.dialOne(n), r.server.Err()); err != nil {
				return fmt.Errorf("%s: call %d of %d: %w", r.Site.Device.Name, len(r.calls)+1, n, err)
			}
		}
		if err := r.setFlows(); err != nil {
			return err
		}
		if err := r.warm(ctx, old); err != nil {
			return fmt.Errorf("%s: %w", r.Site.Device.Name, err)
		}
	}
	return nil
}

// dialOne opens a connection with as many calls as one may have.
func (r *Rig) dialOne(n int) error {
	host, index := len(r.calls)/callsPerHost, len(r.calls)%callsPerHost
	each := r.each
	if n > manyCalls && !r.Site.Device.OneCallEach {
		each = max(each, eachOfMany)
	}
	var ids []uint16
	for len(ids) < min(each, n-len(r.calls), callsPerHost-index) {
		ids = append(ids, uint16(index+len(ids)+1))
	}
	var c *control.Client
	err := r.Site.LAN.Namespace.Do(func() (err error) {
		local := &net.TCPAddr{IP: dut.ClientAddr(host).AsSlice()}
		c, err = control.Dial(local, r.Site.WAN.Addr)
		return err
	})
	if err != nil {
		return err
	}
	r.clients = append(r.clients, c)
	calls, err := c.Call(ids)
	r.calls = append(r.calls, calls...)
	return err
}

// With more than manyCalls in all a connection carries at least eachOfMany calls:
// two sockets for each call would be more than a process may have.
const (
	manyCalls  = 8192
	eachOfMany = 100
)

// setFlows tells the paths of the calls, each as its sender sees them and as they
// are to arrive.
func (r *Rig) setFlows() error {
	var sent, expected [2][]load.Flow
	for _, c := range r.calls {
		pns := r.server.Peer(c.PACID)
		if own := (control.Peer{Addr: c.PNS, ID: c.PNSID}); pns != own && !r.Site.Device.Translates {
			return fmt.Errorf("%s: call %d of %s is call %d of %s behind a device that does not translate", r.Site.Device.Name, own.ID, own.Addr, pns.ID, pns.Addr)
		}
		sent[toWAN] = append(sent[toWAN], flow(c.PNS, c.PAC, c.PACID))
		expected[toWAN] = append(expected[toWAN], flow(pns.Addr, c.PAC, c.PACID))
		sent[toLAN] = append(sent[toLAN], flow(c.PAC, pns.Addr, pns.ID))
		expected[toLAN] = append(expected[toLAN], flow(c.PAC, c.PNS, c.PNSID))
	}
	if err := r.address(sent[toLAN][0].Destination); err != nil {
		return err
	}
	for way, p := range r.paths {
		if err := p.SetFlows(sent[way], expected[way]); err != nil {
			return err
		}
	}
	return nil
}

// address has frames to the LAN go to the Ethernet address that the server's IP
// stack has for a client: the box's, if it has an address on the WAN's side.
func (r *Rig) address(client netip.Addr) error {
	mac, err := r.Site.WAN.Neighbour(client)
	if err != nil {
		return err
	}
	return r.paths[toLAN].SetDestination(mac)
}

func flow(from, to netip.Addr, id uint16) load.Flow {
	return load.Flow{Source: from, Destination: to, CallID: id}
}

// warmRate is what any device carries, in frames a second.
const warmRate = 10_000

// warm sends a frame of every call from the first-th on, both ways, until each has
// crossed.
func (r *Rig) warm(ctx context.Context, first int) error {
	const attempts = 3
	n := len(r.calls) - first
	for way, p := range r.paths {
		if err := p.SetSizes([]int{load.MinSize}); err != nil {
			return err
		}
		var c load.Counts
		for range attempts {
			if err := p.Begin(); err != nil {
				return err
			}
			sent, err := p.Send(ctx, load.Load{
				Sender: load.Packet, Rate: warmRate, Lasting: time.Hour, Limit: uint64(n), First: first, Count: n, CPU: r.senderCPU(way),
			})
			if err != nil {
				return err
			}
			if c, err = settle(p, sent.Frames); err != nil {
				return err
			}
			if c.Received == uint64(n) && c.Wrong() == 0 {
				break
			}
		}
		if c.Received != uint64(n) || c.Wrong() > 0 {
			return fmt.Errorf("frames of %d calls were sent %s, %d came, %d of them wrong", n, wayNames[way], c.Received, c.Wrong())
		}
	}
	return nil
}

var wayNames = [2]string{"to the WAN", "to the LAN"}

// senderCPU is where the sender of a direction runs: the last CPU for the first,
// since devices that choose begin with the first.
func (r *Rig) senderCPU(way int) int {
	return r.cpus[(2*len(r.cpus)-1-way)%len(r.cpus)]
}

// Bounds of the wait for frames that are still on their way.
const (
	settleEvery = 5 * time.Millisecond
	settleStill = 100 * time.Millisecond
	settleMost  = 3 * time.Second
)

// settle waits until all that was sent has come, or nothing more does.
func settle(p *load.Path, sent uint64) (c load.Counts, err error) {
	began := time.Now()
	for still, last := time.Now(), uint64(0); ; <-time.After(settleEvery) {
		if c, err = p.Counts(); err != nil || c.Received >= sent {
			return c, err
		}
		if c.Received != last {
			still, last = time.Now(), c.Received
		}
		if time.Since(still) > settleStill || time.Since(began) > settleMost {
			return c, nil
		}
	}
}
