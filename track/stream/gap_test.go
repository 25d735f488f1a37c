package stream_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
)

// acknowledged tells d that position is acknowledged, and returns what it reads
// behind gaps by that.
func acknowledged(d *stream.Direction, pool *stream.Pool, position uint32) (got []read, missed int) {
	for d.Acknowledged(pool, position) {
		missed++
		if d.State() == stream.Reading {
			got = append(got, feed(d, pool, d.Begin(), nil)...)
		}
	}
	return got, missed
}

// TestReadsBehindAGap has whole messages behind octets that never come.
func TestReadsBehindAGap(t *testing.T) {
	const first = uint32(100)
	types := everyType(t)
	for n, m := range types {
		what := pptp.View(m).ControlType().String()
		pool, next := stream.NewPool(1), types[(n+1)%len(types)]
		d := started(pool, first)
		both := bytes.Join([][]byte{m, next}, nil)
		behind := first + 40
		feed(d, pool, behind, both[:len(both)-3])
		if got, missed := acknowledged(d, pool, first); len(got) != 0 || missed != 0 {
			t.Fatalf("%s: missed %d times and read %d messages before anything is acknowledged", what, missed, len(got))
		}
		got, missed := acknowledged(d, pool, behind)
		expect(t, what, got, behind, m)
		if missed != 1 {
			t.Fatalf("%s: missed %d times", what, missed)
		}
		end := behind + uint32(len(both))
		expect(t, what+", the rest of the next", feed(d, pool, end-3, both[len(both)-3:]), behind+uint32(len(m)), next)
		expect(t, what+", and on", feed(d, pool, end, m), end, m)
		wantUsed(t, what, pool, 0)
	}
}

func TestReadsBehindSeveralGaps(t *testing.T) {
	pool, m := stream.NewPool(1), everyType(t)[4]
	first := nearWrap
	d := started(pool, first)
	var want []read
	for i := range uint32(8) {
		at := first + 20 + 30*i
		feed(d, pool, at, m)
		want = append(want, read{at, m})
	}
	feed(d, pool, first+7, m[3:8]) // in the middle of a message
	got, missed := acknowledged(d, pool, first+20+30*7+16)
	if fmt.Sprint(got) != fmt.Sprint(want) || missed != 8 {
		t.Errorf("missed %d times: %x, want %x", missed, got, want)
	}
	wantUsed(t, "read", pool, 0)
}

// TestBelievesOnlyMessagesBehindAGap has octets there that are none, or of which
// it is not known that they are.
func TestBelievesOnlyMessagesBehindAGap(t *testing.T) {
	m := everyType(t)[6]
	unknown, longer := ofLength(16, 16), ofLength(20, int(pptp.EchoRequest))
	magic := bytes.Clone(m)
	magic[4]++
	for name, data := range map[string][]byte{
		"the middle of a message": m[5:], "one octet late": bytes.Join([][]byte{{0}, m}, nil), "less than a header": m[:11],
		"another cookie": magic, "an unknown type": unknown, "another Length": longer,
		"junk behind a message": bytes.Join([][]byte{m, make([]byte, 12)}, nil),
	} {
		pool := stream.NewPool(1)
		d := started(pool, 0)
		feed(d, pool, 50, data)
		end := 50 + uint32(len(data))
		got, missed := acknowledged(d, pool, end)
		expect(t, name, got, 0)
		if missed != 1 || d.State() != stream.Searching {
			t.Errorf("%s: missed %d times, state %d", name, missed, d.State())
		}
		wantUsed(t, name, pool, 0)
		expect(t, name+", then", feed(d, pool, end, m), end, m)
	}
	pool := stream.NewPool(1)
	d := started(pool, 0)
	feed(d, pool, 50, m)
	if got, missed := acknowledged(d, pool, 49); len(got) != 0 || missed != 1 || d.State() != stream.Searching {
		t.Errorf("what is not acknowledged: %x, missed %d times, state %d", got, missed, d.State())
	}
}

// TestReadsDirectlyAgain has a segment that begins in a message: the ones behind
// it are read where they lie.
func TestReadsDirectlyAgain(t *testing.T) {
	pool := stream.NewPool(1)
	m := everyType(t)[4]
	for n := 1; n < len(m); n++ {
		d := started(pool, 0)
		feed(d, pool, 0, m[:n])
		data := bytes.Repeat(m, 5)[n:]
		reader := d.Segment(pool, uint32(n), data)
		var message stream.Message
		for i := range 5 {
			if !reader.Next(&message) || !bytes.Equal(message.View, m) {
				t.Fatalf("split at %d: message %d is %x", n, i, message.View)
			}
			if at := i*len(m) - n; i > 0 && &message.View[0] != &data[at] {
				t.Errorf("split at %d: message %d was copied", n, i)
			}
		}
		if reader.Next(&message) {
			t.Errorf("split at %d: one more message", n)
		}
		wantUsed(t, "read", pool, 0)
	}
}

// TestGapsAgainstModel has some segments of a connection go another way. What is
// read are the messages before the first gap, and those of each run of octets
// that begins with a message; nothing else, and each once.
func TestGapsAgainstModel(t *testing.T) {
	types := everyType(t)
	rapid.Check(t, func(t *rapid.T) {
		var messages [][]byte
		for size := 0; ; size += len(messages[len(messages)-1]) {
			m := rapid.SampledFrom(types).Draw(t, "message")
			if size+len(m) > stream.BufferSize {
				break
			}
			messages = append(messages, m)
		}
		all, start := bytes.Join(messages, nil), drawStart(t)
		there := make([]bool, len(all))
		pool := stream.NewPool(1)
		d := started(pool, start)
		var got []read
		for at := 0; at < len(all); {
			end := min(at+rapid.SampledFrom([]int{1, 8, 16, 20, 168, 500}).Draw(t, "size"), len(all))
			if rapid.IntRange(0, 3).Draw(t, "crosses") > 0 {
				got = append(got, feed(d, pool, start+uint32(at), all[at:end])...)
				for i := at; i < end; i++ {
					there[i] = true
				}
			}
			at = end
		}
		behind, _ := acknowledged(d, pool, start+uint32(len(all)))
		if got, want := append(got, behind...), readable(messages, there, start); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("read %x, want %x", got, want)
		}
		if d.Close(pool); pool.Used() != 0 {
			t.Fatalf("%d buffers left", pool.Used())
		}
	})
}

// readable are the messages that can be read of a stream of which only some
// octets are there.
func readable(messages [][]byte, there []bool, start uint32) (want []read) {
	thread, at := true, 0
	for _, m := range messages {
		end := at + len(m)
		run := 0 // octets of m that are there from its first on
		for run < len(m) && there[at+run] {
			run++
		}
		begins := at == 0 || !there[at-1]
		if thread = (thread || begins && run >= pptp.HeaderLength) && run == len(m); thread {
			want = append(want, read{start + uint32(at), m})
		}
		at = end
	}
	return want
}

// TestResumesBehindWhatWasRead has a direction resume before the end of what it has
// read: that is not read again.
func TestResumesBehindWhatWasRead(t *testing.T) {
	pool, m := stream.NewPool(1), everyType(t)[4]
	n := uint32(len(m))
	d := started(pool, nearWrap)
	feed(d, pool, nearWrap, m)
	for _, before := range []uint32{0, 1, n - 1, n} {
		d.Resume(pool, nearWrap+n-before)
		expect(t, "what was read", feed(d, pool, nearWrap, m), 0)
	}
	expect(t, "and on", feed(d, pool, nearWrap, bytes.Join([][]byte{m, m}, nil)), nearWrap+n, m)
}

// TestPassRead has octets kept of which another direction has read some: the rest
// is left to be read.
func TestPassRead(t *testing.T) {
	m := everyType(t)[4]
	three := bytes.Join([][]byte{m, m, m}, nil)
	n := uint32(len(m))
	for read := range 4 {
		for _, kept := range []int{len(m), len(m) + 9, 2*len(m) + 9, len(three)} {
			pool := stream.NewPool(2)
			d, other := new(stream.Direction), started(pool, nearWrap)
			feed(other, pool, nearWrap, three[:read*len(m)])
			d.Keep(pool, nearWrap, three[:kept], 0)
			d.PassRead(pool, other)
			at := nearWrap + uint32(read)*n
			if reaches := kept >= read*len(m); reaches != (d.State() == stream.Reading) {
				t.Errorf("%d octets are kept of which %d messages were read: %v", kept, read, d.State())
			} else if reaches && d.Begin() != at {
				t.Errorf("%d octets are kept of which %d messages were read: goes on at %d, want %d", kept, read, d.Begin()-nearWrap, at-nearWrap)
			}
		}
	}
}
