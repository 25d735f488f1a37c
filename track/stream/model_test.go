package stream_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/track/stream"
)

// sender plays one end of a connection: it sends the octets of sent in
// segments of any size and order, some of them again and changed, but never
// more than BufferSize ahead of the first octet of an unfinished message.
type sender struct {
	sent   []byte // what the first copies are
	first  []bool // which octets were sent
	edge   int    // octets before it were all sent
	unread int    // where the first unfinished message starts
	start  uint32 // stream position of the first
}

// segment draws the next segment. Octets that were sent before are changed at
// will: a receiver that has them does not look.
func (s *sender) segment(t *rapid.T) (at int, data []byte) {
	limit := min(len(s.sent), s.unread+stream.BufferSize)
	switch rapid.IntRange(0, 3).Draw(t, "segment") {
	case 0: // what comes next
		at = s.edge
	case 1: // again, or across what was sent
		at = rapid.IntRange(max(0, s.edge-300), s.edge).Draw(t, "at")
	default: // ahead
		at = rapid.IntRange(s.edge, limit-1).Draw(t, "at")
	}
	size := rapid.SampledFrom([]int{1, 2, 11, 100, 600, stream.BufferSize}).Draw(t, "size")
	data = bytes.Clone(s.sent[at:min(at+size, limit)])
	changed := rapid.Byte().Draw(t, "change")
	for i := range data {
		if s.first[at+i] {
			data[i] ^= changed
		}
		s.first[at+i] = true
	}
	for s.edge < len(s.sent) && s.first[s.edge] {
		s.edge++
	}
	return at, data
}

// TestAgainstModel sends random messages in random segments and expects
// exactly them.
func TestAgainstModel(t *testing.T) {
	types := everyType(t)
	rapid.Check(t, func(t *rapid.T) {
		pool := stream.NewPool(1)
		messages := drawMessages(t, types)
		s := &sender{sent: bytes.Join(messages, nil), start: drawStart(t)}
		s.first = make([]bool, len(s.sent))
		var d stream.Direction
		d.Start(pool, s.start)
		next, position := 0, s.start
		for s.edge < len(s.sent) {
			at, data := s.segment(t)
			for _, got := range feed(&d, pool, s.start+uint32(at), data) {
				if next == len(messages) || got.position != position || !bytes.Equal(got.octets, messages[next]) {
					t.Fatalf("message %d at %d is %x, want at %d %x", next, got.position, got.octets, position, messages[next:])
				}
				position += uint32(len(got.octets))
				next++
				s.unread += len(got.octets)
			}
			if whole := position + lengthOf(messages, next); int32(s.start+uint32(s.edge)-whole) >= 0 && next < len(messages) {
				t.Fatalf("message %d is there and was not yielded", next)
			}
			if d.Acknowledged(pool, s.start+uint32(s.edge)) {
				t.Fatalf("octet %d is there and was missed", s.edge)
			}
			if pool.Used() > 1 {
				t.Fatalf("%d buffers for one direction", pool.Used())
			}
		}
		if next != len(messages) || pool.Used() != 0 || d.State() != stream.Reading {
			t.Fatalf("%d of %d messages, %d buffers in use, state %d", next, len(messages), pool.Used(), d.State())
		}
	})
}

func lengthOf(messages [][]byte, n int) uint32 {
	if n == len(messages) {
		return 0
	}
	return uint32(len(messages[n]))
}

// drawMessages draws messages of known types, and of others with any Length.
func drawMessages(t *rapid.T, types [][]byte) (messages [][]byte) {
	for range rapid.IntRange(1, 20).Draw(t, "messages") {
		if n := rapid.IntRange(0, len(types)).Draw(t, "type"); n < len(types) {
			messages = append(messages, types[n])
			continue
		}
		messages = append(messages, ofLength(rapid.IntRange(12, stream.MaxLength).Draw(t, "Length"), rapid.IntRange(16, 65535).Draw(t, "unknown type")))
	}
	return messages
}

func drawStart(t *rapid.T) uint32 {
	if rapid.Bool().Draw(t, "wraps") {
		return -rapid.Uint32Range(1, 4000).Draw(t, "before the wrap")
	}
	return rapid.Uint32().Draw(t, "start")
}

// FuzzStream cuts random octets into random segments of two connections.
func FuzzStream(f *testing.F) {
	all := bytes.Join(everyType(f), nil)
	f.Add(uint32(0), all, []byte{0, 0, 200, 0, 200, 200})
	f.Add(nearWrap, all, []byte{1, 100, 100, 0, 0, 100, 4, 40, 10})
	f.Add(uint32(1<<31), all[:300], []byte{7, 128, 128, 5, 9, 255, 6, 0, 0})
	f.Fuzz(func(t *testing.T, start uint32, octets, script []byte) {
		pool := stream.NewPool(2)
		directions := [2]stream.Direction{}
		directions[0].Start(pool, start)
		for ; len(script) >= 3; script = script[3:] {
			act(t, &directions[script[0]&1], pool, start, octets, script[0]>>1, int(script[1]), int(script[2]))
			if pool.Used() > 2 {
				t.Fatalf("%d buffers for two directions", pool.Used())
			}
		}
		for i := range directions {
			if directions[i].State() == stream.Lost {
				used := pool.Used()
				if directions[i].Close(pool); pool.Used() != used {
					t.Fatal("a Direction that is Lost held a buffer")
				}
			}
			directions[i].Close(pool)
		}
		if pool.Used() != 0 {
			t.Fatalf("%d buffers left", pool.Used())
		}
	})
}

// act does one thing to d: mostly it gives it size octets from at on.
func act(t *testing.T, d *stream.Direction, pool *stream.Pool, start uint32, octets []byte, what byte, at, size int) {
	position := start + uint32(at)*8
	switch what {
	case 126:
		d.Start(pool, position)
	case 125:
		d.Close(pool)
	case 124:
		wellFormed(t, first(acknowledged(d, pool, position)))
	case 123:
		feed(d, pool, position+1<<31, octets)
	default:
		from := min(at*8, len(octets))
		to := min(from+size*8+int(what), len(octets))
		wellFormed(t, feed(d, pool, position, octets[from:to]))
	}
}

func first(got []read, _ int) []read { return got }

func wellFormed(t *testing.T, yielded []read) {
	t.Helper()
	for _, got := range yielded {
		if n := len(got.octets); n < 12 || n > stream.MaxLength || int(got.octets[0])<<8+int(got.octets[1]) != n {
			t.Fatalf("yielded %d octets: %x", n, got.octets)
		}
	}
}
