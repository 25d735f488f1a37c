package neighbour

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/links"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// Options are the parts of a Box.
type Options struct {
	LAN, WAN  string       // names of the NICs
	Addresses []netip.Addr // the box's own on the WAN side; those of Forwards are, too
	Forwards  []Forward
	Clock     bridge.Clock
	OnEvent   func(track.Event) // is told of address-conflict
	Log       *slog.Logger
	Timing    Timing // zero is DefaultTiming
	Seed      uint64 // of the pauses that are random
}

const (
	// idle is the longest that a Box waits for a frame.
	idle = time.Second
	// retryInterval is how long a NIC that could not be opened is left alone.
	retryInterval = time.Second
	// buffer is what a socket may hold, in octets: some hundreds of messages.
	buffer = 256 << 10
	// maxAsked is how many requests of Resolve may wait.
	maxAsked = 256
)

// Box runs a Table over a socket of its own on each NIC.
type Box struct {
	options   Options
	namespace *nic.Namespace
	sides     [2]*side
	asked     chan place
	asking    atomic.Bool // something was put into asked since it was last emptied

	mu    sync.Mutex // held while the table works, and while what it wants is sent
	table *Table
}

// side is a NIC of the box, and the socket on it.
type side struct {
	name  string
	port  *links.Attachment
	index atomic.Int64 // of the NIC
	lost  atomic.Bool  // the socket failed, and was not opened again yet
	tried track.Time   // when that was last tried
}

// New returns a Box for the NICs of the calling thread's network namespace. It
// has no sockets before Open.
func New(o Options) (*Box, error) {
	if o.Timing == (Timing{}) {
		o.Timing = DefaultTiming()
	}
	namespace, err := nic.CurrentNamespace()
	if err != nil {
		return nil, err
	}
	b := &Box{options: o, namespace: namespace, asked: make(chan place, maxAsked)}
	b.table = NewTable(o.LAN, o.WAN, o.Addresses, o.Forwards, o.Timing, rand.New(rand.NewPCG(o.Seed, 0)))
	for which, name := range [...]string{track.LAN: o.LAN, track.WAN: o.WAN} {
		b.sides[which] = newSide(name, o.Log)
	}
	return b, nil
}

func newSide(name string, log *slog.Logger) *side {
	s := &side{name: name}
	s.port = links.NewAttachment(name, func(err error) {
		s.lost.Store(true)
		log.Debug("the socket for ARP failed", "nic", name, "error", err) // a NIC that is gone is told of by links
	})
	return s
}

// MAC returns the MAC address of a server in a zone, as Table.MAC does.
func (b *Box) MAC(zone wire.Zone, server netip.Addr) (mac [6]byte, ok bool) {
	return b.table.MAC(zone, server)
}

// NIC returns the MAC address of a side's NIC, as Table.NIC does.
func (b *Box) NIC(side track.Side) (mac [6]byte, ok bool) { return b.table.NIC(side) }

// Resolve has the box ask soon where a server is in a zone, as Table.Resolve
// does. It is for the workers: it never waits, and what there is no room for is
// forgotten.
func (b *Box) Resolve(zone wire.Zone, server netip.Addr) {
	select {
	case b.asked <- place{zone, server}:
	default:
	}
	if !b.asking.Swap(true) {
		b.sides[track.LAN].port.Wake()
	}
}

// Open opens a side's NIC, or opens it again. It is for links.Options.OnOpen:
// in the NICs' namespace, once the NIC is the box's.
func (b *Box) Open(which track.Side, index int) error {
	s := b.sides[which]
	s.index.Store(int64(index))
	port, err := openPort(s.name)
	if err != nil {
		return err
	}
	s.lost.Store(false)
	s.port.Attach(port)
	return b.up(which)
}

// Follow takes in what links says about the NICs: link-up, link-down and
// nic-gone. It is for links.Options.OnEvent, in the NICs' namespace.
func (b *Box) Follow(e track.Event) {
	for which, s := range b.sides {
		if e.Cause == s.name {
			b.follow(track.Side(which), e.Kind)
		}
	}
}

func (b *Box) follow(which track.Side, kind track.EventKind) {
	s := b.sides[which]
	switch kind {
	case track.EventLinkUp:
		if s.index.Load() == 0 {
			return // it has just come back; Open is next
		}
		if err := b.up(which); err != nil {
			b.options.Log.Warn("its MAC address is not known", "nic", s.name, "error", err)
		}
	case track.EventLinkDown:
		b.down(which)
	case track.EventNICGone:
		s.index.Store(0)
		s.port.Detach()
	}
}

// up looks for the MAC address anew: a NIC that was down may have another.
func (b *Box) up(which track.Side) error {
	s := b.sides[which]
	ifi, err := net.InterfaceByIndex(int(s.index.Load()))
	if err != nil {
		return err
	}
	if len(ifi.HardwareAddr) != len(MAC{}) {
		return fmt.Errorf("%s is no Ethernet address", ifi.HardwareAddr)
	}
	b.mu.Lock()
	s.port.SetLink(true)
	b.table.Up(which, MAC(ifi.HardwareAddr), b.options.Clock())
	b.mu.Unlock()
	s.port.Wake()
	return nil
}

func (b *Box) down(which track.Side) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sides[which].port.SetLink(false)
	b.table.Down(which)
}

// Run receives and sends until ctx is done.
func (b *Box) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for which := range b.sides {
		group.Go(func() error { return b.serve(ctx, track.Side(which)) })
	}
	defer context.AfterFunc(ctx, func() {
		for _, s := range b.sides {
			s.port.Wake()
		}
	})()
	return group.Wait()
}

// serve deals with what comes in by one side, and with what is due.
func (b *Box) serve(ctx context.Context, which track.Side) error {
	if err := b.namespace.Enter(); err != nil {
		return err
	}
	port := b.sides[which].port
	for ctx.Err() == nil {
		frames, err := port.Receive(b.wait())
		if err != nil && !errors.Is(err, bridge.ErrPortDown) {
			return err
		}
		b.turn(which, frames)
		b.mend(which)
	}
	return nil
}

// wait is how long until something is due.
func (b *Box) wait() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	next, ok := b.table.Next()
	if !ok {
		return idle
	}
	return max(0, min(idle, next.Sub(b.options.Clock())))
}

// turn lets the table work, and does what it says.
func (b *Box) turn(which track.Side, frames []track.Frame) {
	for _, e := range b.work(which, frames) {
		b.options.OnEvent(e)
	}
}

func (b *Box) work(which track.Side, frames []track.Frame) []track.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.options.Clock()
	for i := range frames {
		if !frames[i].Truncated {
			b.table.Receive(which, frames[i].Data, now)
		}
	}
	b.resolve(now)
	b.table.Tick(now)
	outputs, events := b.table.Take()
	b.send(outputs)
	return events
}

// resolve hands the requests of Resolve on.
func (b *Box) resolve(now track.Time) {
	b.asking.Store(false)
	for {
		select {
		case p := <-b.asked:
			b.table.Resolve(p.zone, p.address, now)
		default:
			return
		}
	}
}

// send sends what may be sent. What does not go is sent again, or asked for
// again, by itself.
func (b *Box) send(outputs []Output) {
	var frames [2][]*track.Frame
	for _, o := range outputs {
		frames[o.Side] = append(frames[o.Side], &track.Frame{Data: o.Frame})
	}
	for which, s := range b.sides {
		if len(frames[which]) > 0 {
			_ = s.port.Send(frames[which])
		}
	}
}

// mend opens a NIC again whose socket failed though it has its link. One that
// is gone is opened when links has it again.
func (b *Box) mend(which track.Side) {
	s := b.sides[which]
	now := b.options.Clock()
	if !s.lost.Load() || now.Sub(s.tried) < retryInterval || !b.isUp(which) {
		return
	}
	s.tried = now
	if err := b.Open(which, int(s.index.Load())); err != nil {
		b.options.Log.Warn("ARP is not answered; it is tried again", "nic", s.name, "error", err)
	}
}

func (b *Box) isUp(which track.Side) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table.up[which]
}

// Close closes the sockets. No Run runs then.
func (b *Box) Close() error {
	for _, s := range b.sides {
		s.port.Close()
	}
	return b.namespace.Close()
}
