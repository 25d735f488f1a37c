package afpacket

import (
	"testing"
	"time"
)

// spinning is a spinner with a clock that the test moves.
type spinning struct {
	spinner
	at time.Duration
}

func newSpinning() *spinning {
	s := &spinning{at: time.Hour}
	s.now = func() time.Duration { return s.at }
	return s
}

// next lets a frame come after gap and returns how much of the gap was spent
// looking, in steps of 10 us, by a Receive that sleeps through the rest.
func (s *spinning) next(gap time.Duration) (spun time.Duration) {
	const step = 10 * time.Microsecond
	end := s.at + gap
	for s.at < end && s.again(time.Second) {
		s.at += step
		spun += step
	}
	s.at = end
	s.got()
	return spun
}

func TestSpinning(t *testing.T) {
	const many = 1000
	tests := []struct {
		name        string
		gaps        []time.Duration // over and over, 1,000 times
		least, most float64         // share of the time that is spent looking
	}{
		{"10,000 frames a second", []time.Duration{100 * time.Microsecond}, 0.98, 1},
		{"1,000 frames a second", []time.Duration{time.Millisecond}, 0.98, 1},
		{"1,000 a second, one of 20 late", append(repeat(time.Millisecond, 19), 5*time.Millisecond), 0.8, 0.95},
		{"100 a second", []time.Duration{10 * time.Millisecond}, 0, 0},
		{"one a second", []time.Duration{time.Second}, 0, 0},
		{"a handshake a second", append(repeat(50*time.Microsecond, 6), time.Second), 0, 0},
		{"a burst of 100 a second", append(repeat(50*time.Microsecond, 100), time.Second), 0.005, 0.01},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSpinning()
			spun, all := time.Duration(0), time.Duration(0)
			for i := range many * len(tt.gaps) {
				gap := tt.gaps[i%len(tt.gaps)]
				spun, all = spun+s.next(gap), all+gap
			}
			if share := float64(spun) / float64(all); share < tt.least || share > tt.most {
				t.Errorf("looked for %.4f of the time, want %v to %v", share, tt.least, tt.most)
			}
		})
	}
}

func repeat(gap time.Duration, n int) (gaps []time.Duration) {
	for range n {
		gaps = append(gaps, gap)
	}
	return gaps
}

// A look that takes long was interrupted: the CPU is left to who wants it.
func TestSpinningGivesWay(t *testing.T) {
	s := newSpinning()
	for range spinCredit {
		s.next(time.Microsecond)
	}
	s.at += 900 * time.Microsecond // the box's own work with the frames
	if !s.again(time.Second) {
		t.Fatal("does not look")
	}
	s.at += spinStolen + 1
	if s.again(time.Second) {
		t.Error("looks on though it was interrupted")
	}
	for end := s.rested; s.at < end-time.Millisecond; {
		if s.next(time.Millisecond) != 0 {
			t.Fatal("looks while it should rest")
		}
	}
	s.next(time.Millisecond)
	if s.next(time.Millisecond) != time.Millisecond {
		t.Error("does not look after the rest")
	}
}

// Frames that came while it was interrupted do not hide that it was.
func TestSpinningGivesWayThoughFramesCame(t *testing.T) {
	s := newSpinning()
	for range spinCredit {
		s.next(time.Millisecond)
	}
	s.again(time.Second)
	s.at += spinStolen + 1
	s.got()
	if s.again(time.Second) {
		t.Error("looks on though it was interrupted")
	}
	s.at = s.rested
	s.got()
	s.at += 10 * time.Microsecond
	if !s.again(time.Second) {
		t.Error("does not look after the rest")
	}
}

func TestNoSpinningInShortWaits(t *testing.T) {
	s := newSpinning()
	for range spinCredit {
		s.next(time.Microsecond)
	}
	if !s.again(spinLimit) || s.again(spinLimit-1) || s.again(0) || s.again(-1) {
		t.Error("a Receive that waits less than spinLimit would outlast its wait")
	}
}

// A spinner that is put aside again and again looks less and less often.
func TestSpinningRestsLonger(t *testing.T) {
	s := newSpinning()
	want := spinRest
	for range 10 {
		for s.next(time.Millisecond) == 0 {
		}
		from := s.at
		s.again(time.Second)
		s.at += spinStolen + 1
		if s.again(time.Second) {
			t.Fatal("looks on though it was interrupted")
		}
		if got := s.rested - from - spinStolen - 1; got != want {
			t.Fatalf("rests for %v, want %v", got, want)
		}
		want = min(2*want, spinRestMost)
	}
	for end := s.at + 4*spinRestMost; s.at < end; {
		s.next(time.Millisecond)
	}
	s.again(time.Second)
	s.at += spinStolen + 1
	if s.again(time.Second) || s.rest != spinRest {
		t.Errorf("rests for %v after a long time without an interruption, want %v", s.rest, spinRest)
	}
}
