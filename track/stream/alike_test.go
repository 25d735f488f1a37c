package stream_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/track/stream"
)

// TestPassAlike passes over messages with the header of the last at random, in
// random segments: the messages that are passed over have that header, those
// that are read are the others, in order, and nothing is lost.
func TestPassAlike(t *testing.T) {
	types := everyType(t)
	rapid.Check(t, func(t *rapid.T) {
		var messages [][]byte
		for range rapid.IntRange(1, 8).Draw(t, "runs") {
			m := rapid.SampledFrom(types).Draw(t, "message")
			for n := range rapid.IntRange(1, 9).Draw(t, "run") {
				m = bytes.Clone(m)
				m[len(m)-1] = byte(n)
				messages = append(messages, m)
			}
		}
		all, start := bytes.Join(messages, nil), drawStart(t)
		pool, d, next := stream.NewPool(1), stream.Direction{}, 0
		d.Start(pool, start)
		for at := 0; at < len(all); {
			end := min(at+rapid.SampledFrom([]int{1, 7, 16, 100, 1460}).Draw(t, "size"), len(all))
			r := d.Segment(pool, start+uint32(at), all[at:end])
			for m := new(stream.Message); r.Next(m); {
				if next == len(messages) || !bytes.Equal(m.View, messages[next]) {
					t.Fatalf("message %d is %x, want %x", next, m.View, messages[next:])
				}
				header := bytes.Clone(m.View[:10])
				next++
				if !rapid.Bool().Draw(t, "pass") {
					continue
				}
				for range r.PassAlike(m) {
					if next == len(messages) || !bytes.Equal(messages[next][:10], header) {
						t.Fatalf("message %d was passed over, behind %x", next, header)
					}
					next++
				}
			}
			at = end
		}
		if next != len(messages) || pool.Used() != 0 || d.Begin() != start+uint32(len(all)) {
			t.Fatalf("%d of %d messages, %d buffers in use, at %d", next, len(messages), pool.Used(), d.Begin()-start)
		}
	})
}
