package oracle

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// macs are the MAC addresses of the hosts by side: the same in every sequence,
// so that a bridge learns them once.
var macs = [...][6]byte{track.LAN: {2, 0, 0, 0, 0, 1}, track.WAN: {2, 0, 0, 0, 0, 2}}

// Hosts returns the hosts of the n-th sequence. No two of 2^22 sequences share
// an address, so that none sees what conntrack remembers of another.
func Hosts(n int) (hosts [numHosts]*tracktest.Host) {
	for h := range numHosts {
		addr := netip.AddrFrom4([4]byte{10, byte(n >> 14), byte(n >> 6), byte(n<<2) | byte(h)})
		hosts[h] = tracktest.NewHost(h.Side(), addr.String())
		hosts[h].MAC = macs[h.Side()]
	}
	return hosts
}

// hostOf finds the host with an address; nobody's is numHosts.
func hostOf(hosts [numHosts]*tracktest.Host, addr netip.Addr) Host {
	for h := range numHosts {
		if hosts[h].Addr == addr {
			return h
		}
	}
	return numHosts
}

// between is how much of grewire's time passes from frame to frame.
const between = 100 * time.Microsecond

// playGrewire plays steps through a tracker.
func playGrewire(hosts [numHosts]*tracktest.Host, steps []Step) (out outcome) {
	notes := new(notes)
	defer func() {
		out.problems = notes.texts
		if r := recover(); r != nil && r != any(notes) {
			panic(r)
		}
	}()
	w := tracktest.New(notes)
	for i := range steps {
		w.Now = w.Now.Add(between)
		frame := bytes.Clone(steps[i].Frame)
		r := w.Send(steps[i].Side, frame)
		if !r.Passed() {
			frame = nil
		}
		out.frames = append(out.frames, frame)
		if w.Held() > 0 {
			// One side may have released what the other holds. Tick would let calls in
			// that wait for the ID of one which has ended, when it comes to them.
			for _, side := range [...]track.Side{track.LAN, track.WAN} {
				w.Released = append(w.Released, w.Batch(side, nil)...)
			}
		}
		out.release(w)
	}
	w.Flush()
	out.release(w)
	out.tables = tablesOf(notes, w.Tracker, hosts)
	return out
}

// release puts frames that were held where they belong.
func (o *outcome) release(w *tracktest.World) {
	for _, r := range w.Released {
		if r.Passed() {
			o.frames[r.Number-1] = r.Out
		}
	}
	w.Released = nil
}

// notes keeps what a World has to complain about. It is what Fatalf panics
// with.
type notes struct{ texts []string }

func (*notes) Helper() {}

func (n *notes) Errorf(format string, args ...any) {
	n.texts = append(n.texts, fmt.Sprintf(format, args...))
}

func (n *notes) Fatalf(format string, args ...any) {
	n.Errorf(format, args...)
	panic(n)
}

// tablesOf returns what the kernel would list of the tracker's calls: a call
// whose GRE was seen, or two expectations of one whose GRE was not.
func tablesOf(n *notes, t *track.Tracker, hosts [numHosts]*tracktest.Host) map[string]bool {
	tables := make(map[string]bool)
	expected := make(map[uint64][]track.Expectation)
	for _, e := range t.Expectations() {
		expected[e.Call] = append(expected[e.Call], e)
	}
	for _, c := range t.Calls() {
		out := tuple{hostOf(hosts, c.PNS.Addr), hostOf(hosts, c.PAC.Addr), c.PNS.CallID, c.PAC.CallID}
		for _, e := range expected[c.ID] {
			way := out
			if e.Src == c.PAC.Addr {
				way = out.inverse()
			}
			if hostOf(hosts, e.Dst) != way.dst || e.CallID != way.dstKey || e.Side != way.src.Side() {
				n.Errorf("%+v does not fit %+v", e, c)
			}
			tables[expectLine(way)] = true
		}
		// A call that was asked for but not agreed has no GRE and expects none.
		if expected[c.ID] == nil && c.LANToWAN.Packets+c.WANToLAN.Packets > 0 {
			tables[flowLine(out)] = true
		}
	}
	return tables
}
