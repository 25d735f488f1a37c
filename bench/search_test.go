package bench

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/bench/load"
)

// fakeDevice carries so many frames a second for a second, and no more; a sender
// sends so many at most.
type fakeDevice struct {
	carries, sender float64
	trials          int
	stallEvery      int // loses a frame in every n-th trial whatever the rate; 0: never
}

func (d *fakeDevice) try(rate float64) (Trial, error) {
	d.trials++
	if rate == 0 || rate > d.sender {
		rate = d.sender
	}
	through := min(rate, d.carries)
	t := Trial{Sent: uint64(rate), Received: uint64(through), Offered: rate, Rate: through}
	if d.stallEvery > 0 && d.trials%d.stallEvery == 0 && t.Received > 0 {
		t.Received--
	}
	return t, nil
}

func TestThroughputFindsTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &fakeDevice{carries: rapid.Float64Range(1000, 1e7).Draw(t, "carries"), sender: rapid.Float64Range(1000, 1e7).Draw(t, "sender")}
		s := Search{Tolerance: rapid.Float64Range(0.005, 0.1).Draw(t, "tolerance"), Again: rapid.IntRange(0, 2).Draw(t, "again")}
		f, err := s.Throughput(context.Background(), d.try)
		if err != nil {
			t.Fatal(err)
		}
		want := min(d.carries, d.sender)
		// What is lost of less than a frame nobody sees.
		if f.Limited != (uint64(d.carries) >= uint64(d.sender)) || f.Trial.Rate > want+1 || f.Trial.Rate < want*(1-2*s.Tolerance)-1 {
			t.Errorf("found %.0f (limited by the sender: %v) in %d trials, want %.0f", f.Trial.Rate, f.Limited, f.Trials, want)
		}
		if f.Trials > maxTrials+s.Again {
			t.Errorf("%d trials", f.Trials)
		}
	})
}

func TestThroughputForgivesAStall(t *testing.T) {
	d := &fakeDevice{carries: 500_000, sender: 1e6, stallEvery: 3}
	f, err := Search{Tolerance: 0.02, Again: 1}.Throughput(context.Background(), d.try)
	if err != nil || math.Abs(f.Trial.Rate-d.carries) > 0.04*d.carries {
		t.Errorf("found %.0f, %v; want about %.0f though every third trial loses a frame", f.Trial.Rate, err, d.carries)
	}
}

// TestThroughputForgivesADisturbance has all trials fail for a while.
func TestThroughputForgivesADisturbance(t *testing.T) {
	for length := range 20 {
		d := &fakeDevice{carries: 500_000, sender: 1e6}
		f, err := Search{Tolerance: 0.02, Again: 1}.Throughput(context.Background(), func(rate float64) (Trial, error) {
			t, err := d.try(rate)
			if d.trials > 1 && d.trials <= 1+length {
				t.Received /= 2
			}
			return t, err
		})
		if err != nil || f.Trial.Rate < 0.8*d.carries || f.Trial.Rate > d.carries {
			t.Errorf("%d trials disturbed: found %.0f, %v; want at most a fifth less than %.0f", length, f.Trial.Rate, err, d.carries)
		}
	}
}

func TestThroughputOfADeadDevice(t *testing.T) {
	f, err := Search{Tolerance: 0.02}.Throughput(context.Background(), (&fakeDevice{sender: 1e6}).try)
	if err == nil {
		t.Errorf("a device that carries nothing carries %.0f frames/s", f.Trial.Rate)
	}
	broken := errors.New("broken")
	if _, err := (Search{}).Throughput(context.Background(), func(float64) (Trial, error) { return Trial{}, broken }); !errors.Is(err, broken) {
		t.Errorf("err = %v, want the trial's", err)
	}
}

func TestThroughputIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	d := &fakeDevice{carries: 1, sender: 1e6}
	_, err := Search{Tolerance: 0.001, Again: 2}.Throughput(ctx, func(rate float64) (Trial, error) {
		if d.trials == 3 {
			cancel()
		}
		return d.try(rate)
	})
	if err != nil || d.trials > 4 {
		t.Errorf("%v after %d trials, want an end without an error after 4", err, d.trials)
	}
}

func TestLongest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.Uint64Range(1, 1e6).Draw(t, "most")
		want := rapid.Uint64Range(0, most).Draw(t, "longest")
		got, err := Longest(context.Background(), most, func(n uint64) (bool, error) { return n <= want, nil })
		if err != nil || got > want || float64(got) < 0.98*float64(want)-1 {
			t.Errorf("found %d of %d, %v; want %d", got, most, err, want)
		}
	})
}

func TestSummarise(t *testing.T) {
	if _, ok := Summarise(nil); ok {
		t.Error("no rounds have a median")
	}
	for _, row := range []struct {
		values           []float64
		median, min, max float64
	}{{[]float64{3}, 3, 3, 3}, {[]float64{4, 1}, 2.5, 1, 4}, {[]float64{9, 1, 5}, 5, 1, 9}} {
		s, ok := Summarise(row.values)
		if !ok || s.Median != row.median || s.Min != row.min || s.Max != row.max || s.Rounds != len(row.values) {
			t.Errorf("%v: %+v", row.values, s)
		}
	}
}

// TestEngine compares the least times of several rounds: those that nothing else on
// the machine disturbed.
func TestEngine(t *testing.T) {
	const rounds = 20
	for _, calls := range []int{1, 250} {
		r, err := Engine(t.Context(), calls, 64, rounds, 2*time.Millisecond)
		if err != nil || r.PerFrame.Rounds != rounds || r.PerFrame.Min <= r.Harness.Min || r.Harness.Min <= 0 {
			t.Errorf("%d calls: %+v, %v", calls, r, err)
		}
	}
	if _, err := Engine(t.Context(), 0, 64, 1, time.Millisecond); err == nil {
		t.Error("an engine without calls was measured")
	}
}

// TestRateOfAQueue has frames come that were sent long before.
func TestRateOfAQueue(t *testing.T) {
	for _, row := range []struct {
		span time.Duration // from the first to the last
		want float64
	}{{0, 1000}, {900 * time.Millisecond, 1000}, {time.Second, 1000}, {2 * time.Second, 500}} {
		c := load.Counts{Received: 1000, First: 5e9, Last: 5e9 + int64(row.span)}
		if got := rate(c, time.Second); got != row.want {
			t.Errorf("1000 frames of a second in %v: %g frames/s, want %g", row.span, got, row.want)
		}
	}
	if got := rate(load.Counts{}, 0); got != 0 {
		t.Errorf("no frames in no time: %g frames/s", got)
	}
}

// TestThroughputOfAQueue has a device that loses nothing, but is late.
func TestThroughputOfAQueue(t *testing.T) {
	f, err := Search{Tolerance: 0.02}.Throughput(context.Background(), func(float64) (Trial, error) {
		return Trial{Sent: 1000, Received: 1000, Offered: 1000, Rate: 500}, nil
	})
	if err != nil || f.Limited || f.Trial.Rate != 500 {
		t.Errorf("%+v, %v: want 500 frames/s, not limited by the sender", f, err)
	}
}
