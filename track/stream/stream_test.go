package stream_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/stream"
)

// everyType has one message of each type, in order. Its octets differ, so that
// one that is taken for another shows.
func everyType(t testing.TB) (messages [][]byte) {
	for _, m := range []pptp.Message{
		&pptp.StartControlConnectionRequestMessage{ProtocolVersion: pptp.Version},
		&pptp.StartControlConnectionReplyMessage{ResultCode: 1},
		&pptp.StopControlConnectionRequestMessage{Reason: 1},
		&pptp.StopControlConnectionReplyMessage{ResultCode: 1},
		&pptp.EchoRequestMessage{Identifier: 0x1a2b3c4d}, // looks like the cookie
		&pptp.EchoReplyMessage{Identifier: 7},
		&pptp.OutgoingCallRequestMessage{CallID: 1},
		&pptp.OutgoingCallReplyMessage{CallID: 2, PeerCallID: 1},
		&pptp.IncomingCallRequestMessage{CallID: 3},
		&pptp.IncomingCallReplyMessage{CallID: 4, PeerCallID: 3},
		&pptp.IncomingCallConnectedMessage{PeerCallID: 4},
		&pptp.CallClearRequestMessage{CallID: 1},
		&pptp.CallDisconnectNotifyMessage{CallID: 2},
		&pptp.WANErrorNotifyMessage{PeerCallID: 1},
		&pptp.SetLinkInfoMessage{PeerCallID: 2},
	} {
		messages = append(messages, encode(t, m))
	}
	return messages
}

func encode(t testing.TB, m pptp.Message) []byte {
	t.Helper()
	b, err := pptp.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	for i := pptp.HeaderLength + 4; i < len(b); i++ {
		b[i] = byte(i * 7)
	}
	return b
}

// ofLength is a message with the given Length and control type.
func ofLength(length, controlType int) []byte {
	b := make([]byte, max(length, pptp.HeaderLength))
	binary.BigEndian.PutUint16(b, uint16(length))
	binary.BigEndian.PutUint16(b[2:], uint16(pptp.ControlMessage))
	binary.BigEndian.PutUint32(b[4:], pptp.MagicCookie)
	binary.BigEndian.PutUint16(b[8:], uint16(controlType))
	return b
}

// read is what a Direction yielded.
type read struct {
	position uint32
	octets   []byte
}

// feed gives d a segment and returns what it yields.
func feed(d *stream.Direction, pool *stream.Pool, position uint32, data []byte) (got []read) {
	reader := d.Segment(pool, position, data)
	for m := new(stream.Message); reader.Next(m); {
		got = append(got, read{m.Position, bytes.Clone(m.View)})
	}
	return got
}

// expect compares what was yielded with messages that stand one after the
// other from position on.
func expect(t testing.TB, what string, got []read, position uint32, messages ...[]byte) {
	t.Helper()
	if len(got) != len(messages) {
		t.Fatalf("%s: %d messages, want %d", what, len(got), len(messages))
	}
	for i, m := range messages {
		if got[i].position != position || !bytes.Equal(got[i].octets, m) {
			t.Fatalf("%s: message %d at %d is %x, want at %d %x", what, i, got[i].position, got[i].octets, position, m)
		}
		position += uint32(len(m))
	}
}

func started(pool *stream.Pool, position uint32) *stream.Direction {
	d := new(stream.Direction)
	d.Start(pool, position)
	return d
}

func wantUsed(t testing.TB, what string, pool *stream.Pool, want int) {
	t.Helper()
	if got := pool.Used(); got != want {
		t.Fatalf("%s: %d buffers in use, want %d", what, got, want)
	}
}

// nearWrap is a position from which every message runs across 2^32.
const nearWrap = ^uint32(0) - 9

func TestWholeMessages(t *testing.T) {
	pool := stream.NewPool(1)
	d, position := started(pool, nearWrap), nearWrap
	for _, m := range everyType(t) {
		expect(t, "whole", feed(d, pool, position, m), position, m)
		wantUsed(t, "whole", pool, 0)
		position += uint32(len(m))
	}
	all := bytes.Join(everyType(t), nil)
	expect(t, "all in one segment", feed(d, pool, position, all), position, everyType(t)...)
	wantUsed(t, "all in one segment", pool, 0)
}

func TestSplitAtEveryOctet(t *testing.T) {
	pool := stream.NewPool(1)
	tail := everyType(t)[4]
	for _, m := range everyType(t) {
		for n := 1; n < len(m); n++ {
			what := fmt.Sprintf("%v split at %d", pptp.View(m).ControlType(), n)
			d := started(pool, nearWrap)
			expect(t, what, feed(d, pool, nearWrap, m[:n]), nearWrap)
			wantUsed(t, what, pool, 1)
			expect(t, what, feed(d, pool, nearWrap+uint32(n), bytes.Join([][]byte{m[n:], tail}, nil)), nearWrap, m, tail)
			wantUsed(t, what, pool, 0)

			d.Start(pool, nearWrap)
			expect(t, what+", last part first", feed(d, pool, nearWrap+uint32(n), m[n:]), nearWrap)
			expect(t, what+", last part first", feed(d, pool, nearWrap, m[:n]), nearWrap, m)
			wantUsed(t, what, pool, 0)
		}
	}
}

func TestOctetByOctet(t *testing.T) {
	pool := stream.NewPool(1)
	all := bytes.Join(everyType(t), nil)
	d := started(pool, nearWrap)
	var got []read
	for i := range all {
		got = append(got, feed(d, pool, nearWrap+uint32(i), all[i:i+1])...)
	}
	expect(t, "octet by octet", got, nearWrap, everyType(t)...)
	wantUsed(t, "octet by octet", pool, 0)
}

// TestEveryOtherOctet leaves as many gaps as there can be.
func TestEveryOtherOctet(t *testing.T) {
	pool := stream.NewPool(1)
	all := bytes.Join(everyType(t), nil)
	d := started(pool, nearWrap)
	for i := len(all) - 1; i > 0; i -= 2 {
		expect(t, "gaps", feed(d, pool, nearWrap+uint32(i), all[i:i+1]), nearWrap)
	}
	expect(t, "one retransmission", feed(d, pool, nearWrap, all), nearWrap, everyType(t)...)
	wantUsed(t, "one retransmission", pool, 0)
}

func TestFirstCopyWins(t *testing.T) {
	pool := stream.NewPool(1)
	m := everyType(t)[7]
	forged := bytes.Clone(m)
	for i := pptp.HeaderLength; i < len(m); i++ {
		forged[i] ^= 0xff
	}
	d := started(pool, 100)
	feed(d, pool, 100, m[:14])
	expect(t, "behind it", feed(d, pool, 120, m[20:24]), 100)
	want := bytes.Join([][]byte{m[:14], forged[14:20], m[20:24], forged[24:]}, nil)
	expect(t, "another copy", feed(d, pool, 100, forged), 100, want)
	expect(t, "what was read already", feed(d, pool, 100, m), 100)
	expect(t, "half of it read already", feed(d, pool, 110, bytes.Join([][]byte{m[10:], m}, nil)), 132, m)
	wantUsed(t, "first copy", pool, 0)
}

func TestLost(t *testing.T) {
	good := everyType(t)[4]
	magic := bytes.Clone(good)
	magic[7]++
	for name, bad := range map[string][]byte{
		"Length 0": ofLength(0, 5), "Length 11": ofLength(11, 5), "Length 513": ofLength(513, 5), "Length 65535": ofLength(65535, 5)[:600], "magic": magic,
	} {
		for n := range len(bad) {
			what := fmt.Sprintf("%s, split at %d", name, n)
			pool := stream.NewPool(1)
			d := started(pool, 0)
			both := bytes.Join([][]byte{good, bad, good}, nil)
			got := feed(d, pool, 0, both[:16+n])
			got = append(got, feed(d, pool, uint32(16+n), both[16+n:])...)
			expect(t, what, got, 0, good)
			if d.State() != stream.Lost {
				t.Fatalf("%s: state %d", what, d.State())
			}
			expect(t, what+", later", feed(d, pool, uint32(len(both)), good), 0)
			if d.Acknowledged(pool, 10000) || d.State() != stream.Lost {
				t.Fatalf("%s: an acknowledgment helps", what)
			}
			wantUsed(t, what, pool, 0)
		}
	}
}

// TestLostGivesTheBufferBack has the bad header in the buffer already when the
// message before it becomes whole.
func TestLostGivesTheBufferBack(t *testing.T) {
	pool := stream.NewPool(1)
	good := everyType(t)[4]
	d := started(pool, 0)
	feed(d, pool, 16, ofLength(0, 5))
	expect(t, "gap filled", feed(d, pool, 0, good), 0, good)
	if d.State() != stream.Lost {
		t.Fatalf("state %d", d.State())
	}
	wantUsed(t, "lost", pool, 0)
}

func TestSoundLengths(t *testing.T) {
	pool := stream.NewPool(1)
	for _, controlType := range []int{0, 1, 16, 65535} {
		for _, length := range []int{pptp.HeaderLength, 13, pptp.MaxMessageLength, pptp.MaxMessageLength + 1, stream.MaxLength} {
			d, m := started(pool, 5), ofLength(length, controlType)
			what := fmt.Sprintf("type %d, Length %d", controlType, length)
			expect(t, what, feed(d, pool, 5, m), 5, m)
			expect(t, what+" split", feed(d, pool, 5+uint32(length), m[:length-1]), 5)
			expect(t, what+" split", feed(d, pool, 4+2*uint32(length), m[length-1:]), 5+uint32(length), m)
		}
	}
	wantUsed(t, "sound lengths", pool, 0)
}

func TestSearching(t *testing.T) {
	pool := stream.NewPool(1)
	good := everyType(t)
	management, unknown, longer := bytes.Clone(good[0]), ofLength(16, 16), ofLength(20, int(pptp.EchoRequest))
	management[3] = 2
	for name, data := range map[string][]byte{
		"nothing": nil, "middle of a message": good[0][10:], "one octet late": bytes.Join([][]byte{{0}, good[0]}, nil),
		"less than a header": good[0][:11], "a management message": management, "an unknown type": unknown, "a Length that is not its type's": longer,
	} {
		var d stream.Direction
		expect(t, name, feed(&d, pool, 77, data), 77)
		if d.State() != stream.Searching {
			t.Fatalf("%s: state %d", name, d.State())
		}
		wantUsed(t, name, pool, 0)
	}
	for _, m := range good {
		var d stream.Direction
		expect(t, "header", feed(&d, pool, 1000, m[:12]), 1000)
		expect(t, "rest", feed(&d, pool, 1012, m[12:]), 1000, m)
	}
	wantUsed(t, "resumed", pool, 0)
}

func TestAcknowledged(t *testing.T) {
	pool := stream.NewPool(1)
	m := everyType(t)[6]
	d := started(pool, 0)
	feed(d, pool, 0, m[:100])
	for _, position := range []uint32{0, 50, 100, ^uint32(0)} {
		if d.Acknowledged(pool, position) {
			t.Fatalf("%d octets acknowledged: nothing is missed", position)
		}
	}
	expect(t, "rest", feed(d, pool, 100, m[100:]), 0, m)
	if d.Acknowledged(pool, uint32(len(m))) {
		t.Fatal("the message acknowledged: nothing is missed")
	}

	feed(d, pool, 300, m[5:]) // 168 to 300 go another way
	wantUsed(t, "gap", pool, 1)
	if !d.Acknowledged(pool, 463) || d.State() != stream.Searching {
		t.Fatalf("acknowledged over a gap: state %d", d.State())
	}
	wantUsed(t, "gap", pool, 0)
	expect(t, "middle of a message", feed(d, pool, 463, m[5:]), 0)
	expect(t, "old octets", feed(d, pool, 200, m), 0)
	if d.State() != stream.Searching {
		t.Fatalf("old octets: state %d", d.State())
	}
	expect(t, "next header", feed(d, pool, 700, m), 700, m)
}

// TestSearchingFromTheMiddleOfASegment resumes where the acknowledged octets
// end, even if the segment begins before that.
func TestSearchingFromTheMiddleOfASegment(t *testing.T) {
	pool := stream.NewPool(1)
	m := everyType(t)[4]
	d := started(pool, 0)
	if !d.Acknowledged(pool, 16) {
		t.Fatal("nothing missed")
	}
	forged := ofLength(16, int(pptp.StopControlConnectionRequest))
	expect(t, "both", feed(d, pool, 0, bytes.Join([][]byte{forged, m}, nil)), 16, m)
}

func TestPoolExhausted(t *testing.T) {
	pool := stream.NewPool(1)
	m := everyType(t)[6]
	a, b := started(pool, 0), started(pool, 0)
	feed(a, pool, 0, m[:1])
	expect(t, "no buffer", feed(b, pool, 0, m[:20]), 0)
	expect(t, "no buffer", feed(b, pool, 20, m[20:]), 0)
	wantUsed(t, "no buffer", pool, 1)
	if !b.Acknowledged(pool, uint32(len(m))) {
		t.Fatal("what could not be kept was not missed")
	}
	expect(t, "whole messages need none", feed(b, pool, uint32(len(m)), m), uint32(len(m)), m)
	expect(t, "the other", feed(a, pool, 1, m[1:]), 0, m)
	expect(t, "a retransmission needs none", feed(started(pool, 0), pool, 0, m), 0, m)
	wantUsed(t, "all read", pool, 0)
	if pool.Limit() != 1 {
		t.Fatalf("limit %d", pool.Limit())
	}
}

func TestClose(t *testing.T) {
	pool := stream.NewPool(1)
	m := everyType(t)[6]
	d := started(pool, 0)
	feed(d, pool, 0, m[:20])
	d.Close(pool)
	d.Close(pool)
	wantUsed(t, "closed", pool, 0)
	if d.State() != stream.Searching {
		t.Fatalf("closed: state %d", d.State())
	}
	d.Start(pool, 0)
	expect(t, "another's octets are gone", feed(d, pool, 5, m[5:]), 0)
	d.Start(pool, 0)
	wantUsed(t, "started anew", pool, 0)
	expect(t, "nothing is left over", feed(d, pool, 0, m[:5]), 0)
	expect(t, "nothing is left over", feed(d, pool, 5, m[5:]), 0, m)
}

// TestFarAway gives positions that no window allows.
func TestFarAway(t *testing.T) {
	pool := stream.NewPool(1)
	m := everyType(t)[0]
	for _, away := range []uint32{stream.BufferSize, 1<<31 - 1, 1 << 31, 1<<31 + 1, ^uint32(0) - 155} {
		d := started(pool, nearWrap)
		expect(t, "far away", feed(d, pool, nearWrap+away, m), 0)
		wantUsed(t, fmt.Sprintf("%d away", away), pool, 0)
		expect(t, "in order", feed(d, pool, nearWrap, m), nearWrap, m)
	}
	d := started(pool, 0)
	expect(t, "the last octet there is room for", feed(d, pool, stream.BufferSize-1, m), 0)
	wantUsed(t, "the last octet there is room for", pool, 1)
	d.Close(pool)
}

// TestLongSegment has more octets than a buffer, behind a split message.
func TestLongSegment(t *testing.T) {
	pool := stream.NewPool(1)
	m := everyType(t)[8]
	var want [][]byte
	for range 64000 / len(m) {
		want = append(want, m)
	}
	all := bytes.Join(want, nil)
	d := started(pool, nearWrap)
	feed(d, pool, nearWrap, all[:1])
	expect(t, "long", feed(d, pool, nearWrap+1, all[1:]), nearWrap, want...)
	wantUsed(t, "long", pool, 0)
}

// TestSharedPool has connections of two workers take and give back buffers at
// the same time.
func TestSharedPool(t *testing.T) {
	pool := stream.NewPool(2)
	m := everyType(t)[8]
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var d stream.Direction
			d.Start(pool, 0)
			for i := range 2000 {
				position, cut := uint32(i*len(m)), 1+i%(len(m)-1)
				got := feed(&d, pool, position+uint32(cut), m[cut:])
				got = append(got, feed(&d, pool, position, m[:cut])...)
				if len(got) != 1 || got[0].position != position || !bytes.Equal(got[0].octets, m) {
					t.Errorf("round %d: %v", i, got)
					return
				}
			}
		})
	}
	wg.Wait()
	wantUsed(t, "both done", pool, 0)
}

func TestSegmentDoesNotAllocate(t *testing.T) {
	pool := stream.NewPool(1)
	m := everyType(t)[6]
	d, position := started(pool, 0), uint32(0)
	var message stream.Message
	for name, cuts := range map[string][]int{"whole": {0, 168}, "split": {0, 60, 168}} {
		yielded := 0
		n := testing.AllocsPerRun(100, func() {
			for i := range len(cuts) - 1 {
				reader := d.Segment(pool, position+uint32(cuts[i]), m[cuts[i]:cuts[i+1]])
				for reader.Next(&message) {
					yielded++
				}
			}
			position += uint32(len(m))
			d.Acknowledged(pool, position)
		})
		if n != 0 || yielded != 101 {
			t.Errorf("%s: %v allocations, %d messages", name, n, yielded)
		}
	}
}

func BenchmarkSegment(b *testing.B) {
	m := everyType(b)[6]
	three := bytes.Join([][]byte{m, m, m}, nil)
	for _, c := range []struct {
		name     string
		segments [][]byte
	}{
		{"whole", [][]byte{m}},
		{"three-in-one", [][]byte{three}},
		{"split-in-two", [][]byte{m[:100], m[100:]}},
		{"split-over-three-messages", [][]byte{three[:100], three[100:400], three[400:]}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			pool := stream.NewPool(1)
			d, position := started(pool, 0), uint32(0)
			var message stream.Message
			for b.Loop() {
				for _, segment := range c.segments {
					reader := d.Segment(pool, position, segment)
					for reader.Next(&message) {
					}
					position += uint32(len(segment))
				}
			}
		})
	}
}
