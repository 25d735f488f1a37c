package track_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
)

// TestRestoreAgainstModel starts the box anew at any time of random
// conversations: the model, which knows of no restart, holds all the same.
func TestRestoreAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newTheatre(t)
		for range rapid.IntRange(1, 8).Draw(t, "lives") {
			for range rapid.IntRange(1, 30).Draw(t, "steps") {
				p.step(t)
			}
			p.restart(t)
		}
		p.w.CheckEmpty()
	})
}

// restart starts the box anew, and checks that it lists the same calls. What was
// closed is not known to it any more, so nothing is to be said there.
func (p *theatre) restart(t *rapid.T) {
	calls, saved := p.w.Tracker.Calls(), p.w.Save()
	p.w.Restart(saved, 0)
	if diff := diffOf(calls, p.w.Tracker.Calls()); diff != "" {
		t.Fatalf("calls (-before +after):\n%s", diff)
	}
	p.m.restart()
	for i := range p.m.conns {
		if c := &p.m.conns[i]; c.closed {
			c.fin = [2]bool{true, true}
		}
	}
}

// FuzzRestore restores whatever there is to be read: nothing may break, no limit
// be exceeded, and nothing be left behind.
func FuzzRestore(f *testing.F) {
	w := tracktest.New(f)
	c := w.Dial(w.Client, w.Server)
	c.OutCall(1, 11).Both()
	c.InCall(2, 12)
	c.Say(w.Client, tracktest.OutRequest(5))
	f.Add(encodeSaved(w.Save()), int64(time.Second))
	f.Fuzz(func(t *testing.T, data []byte, elapsed int64) {
		w := tracktest.New(t)
		saved := decodeSaved(data)
		got := w.Restart(saved, time.Duration(elapsed))
		if n := len(w.Tracker.Calls()); n != got.Calls || got.Calls+got.LeftOut != len(saved.Calls) {
			t.Errorf("restored %+v of %d, %d calls are listed", got, len(saved.Calls), n)
		}
		again := w.Save()
		if len(again.Calls) != got.Calls || len(again.Connections) != got.Connections {
			t.Errorf("restored %+v, saved again %d connections with %d calls", got, len(again.Connections), len(again.Calls))
		}
		for i := range min(len(saved.Connections), 4) {
			playRestored(w, &saved.Connections[i])
		}
		w.Advance(time.Second)
		w.CheckEmpty()
		if hosts, keys := w.Tracker.TableSizes(); hosts != 0 || keys != 0 || w.Tracker.ControlKeys() != 0 {
			t.Errorf("%d hosts, %d keys and %d connections left over", hosts, keys, w.Tracker.ControlKeys())
		}
	})
}

// playRestored sends segments of both ends of a connection, in the window and
// out of it.
func playRestored(w *tracktest.World, s *track.SavedConnection) {
	lan, wan := *w.Client, *w.Server
	lan.Addr, wan.Addr = s.LANAddr.Netip(), s.WANAddr.Netip()
	if lan.Addr.Is4() != wan.Addr.Is4() {
		return
	}
	c := w.NewConn(&lan, &wan)
	for i, port := range []uint16{s.LANPort, s.WANPort} {
		c.Ends[i].Port, c.Ends[i].Next, c.Ends[1-i].Got = port, s.Ends[i].End, s.Ends[i].End
	}
	for range 2 {
		c.Say(&lan, tracktest.EchoRequest(1), tracktest.OutRequest(77))
		c.Say(&wan, tracktest.EchoReply(1), tracktest.OutReply(78, 77, okOut))
		w.GRE(&lan, &wan, 78)
		w.Away = true
		c.Say(&lan, tracktest.LinkInfo(1))
		c.Say(&wan, tracktest.LinkInfo(1))
		w.Away = false
	}
}

func encodeSaved(s *track.Saved) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(s.Now))
	b = binary.BigEndian.AppendUint64(b, s.Serial)
	b = append(b, byte(len(s.Connections)))
	b, _ = binary.Append(b, binary.BigEndian, s.Connections)
	b, err := binary.Append(b, binary.BigEndian, s.Calls)
	if err != nil {
		panic(fmt.Sprint("a Saved has no fixed size: ", err))
	}
	return b
}

func decodeSaved(b []byte) *track.Saved {
	s := new(track.Saved)
	r := bytes.NewReader(b)
	var head struct {
		Now         track.Time
		Serial      uint64
		Connections uint8
	}
	if binary.Read(r, binary.BigEndian, &head) != nil {
		return s
	}
	s.Now, s.Serial = head.Now, head.Serial
	for range head.Connections {
		var c track.SavedConnection
		if binary.Read(r, binary.BigEndian, &c) != nil {
			return s
		}
		s.Connections = append(s.Connections, c)
	}
	for {
		var k track.SavedCall
		if binary.Read(r, binary.BigEndian, &k) != nil {
			return s
		}
		s.Calls = append(s.Calls, k)
	}
}
