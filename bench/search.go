package bench

import (
	"context"
	"fmt"
)

// Search says how a search for a rate ends.
type Search struct {
	// Tolerance is how far the found rate may be below the highest that passes, as
	// a share of it.
	Tolerance float64 `json:"tolerance"`
	// Loss is the share of frames that may be lost; 0 is RFC 2544's throughput.
	Loss float64 `json:"loss"`
	// Again is how often a trial with loss is repeated: it passes if one of the
	// repetitions does (binary search with loss verification, ETSI GS NFV-TST 009,
	// section 12.3.3). A shared machine stops for some milliseconds now and then,
	// which is no property of the device.
	Again int `json:"again"`
}

// String says it to somebody who reads what was found.
func (s Search) String() string {
	return fmt.Sprintf("rates within %.3g %%, %.3g %% loss allowed, up to %d repetitions of a trial with more", 100*s.Tolerance, 100*s.Loss, s.Again)
}

// Found is the outcome of a search.
type Found struct {
	Trial Trial // the one with the highest rate that passed
	// Limited: the sender could not send more than the device carries.
	Limited bool
	Trials  int
}

// maxTrials bounds a search, whatever its tolerance; one that is repeated has as many again.
const maxTrials = 40

// senderFails is the share of a rate that a sender is to reach at least: if it does
// not, nothing is known of that rate.
const senderFails = 0.95

// better is the trial with the higher rate.
func better(a, b Trial) Trial {
	if a.Rate > b.Rate {
		return a
	}
	return b
}

// disturbed is the share of what came through under overload below which a found rate
// is looked for once more: a machine that has something else to do for a second has
// all trials of that second fail, and what is above a failed trial is not tried again.
const disturbed = 0.8

// Throughput searches the highest rate with no more loss than allowed. try runs a
// trial at a rate, 0 for as fast as possible, which is where it begins.
func (s Search) Throughput(ctx context.Context, try func(rate float64) (Trial, error)) (f Found, err error) {
	flood, err := try(0)
	f.Trials++
	if err != nil || ctx.Err() != nil {
		return f, err
	}
	if flood.Loss() <= s.Loss && flood.Received > 0 {
		// What came later than it was sent waited in a queue that was not yet full.
		f.Trial, f.Limited = flood, flood.Rate >= senderFails*flood.Offered
		return f, nil
	}
	tested, err := s.narrow(ctx, flood, try, &f)
	if err == nil && f.Trial.Rate < disturbed*flood.Rate && ctx.Err() == nil {
		tested, err = s.narrow(ctx, flood, try, &f)
	}
	if err == nil && f.Trial.Received == 0 && ctx.Err() == nil {
		err = fmt.Errorf("no rate without loss found down to %.0f frames/s in %d trials", tested, f.Trials)
	}
	return f, err
}

// narrow closes in on the highest rate that passes, below that of a flood that did
// not. It returns the lowest rate that did not pass.
func (s Search) narrow(ctx context.Context, flood Trial, try func(rate float64) (Trial, error), f *Found) (high float64, err error) {
	low, high := 0.0, flood.Offered
	most := f.Trials + maxTrials
	for next := min(flood.Rate, 0.95*high); high-low > s.Tolerance*high && f.Trials < most && ctx.Err() == nil; {
		t, pass, reached, err := s.attempt(ctx, next, try, f)
		if err != nil {
			return high, err
		}
		if pass {
			low, f.Trial = max(low, min(next, t.Offered)), better(f.Trial, t)
		}
		if !reached {
			high = next
		}
		next = s.next(low, high)
	}
	return high, nil
}

// attempt tries a rate until it passes and the sender has reached it.
func (s Search) attempt(ctx context.Context, rate float64, try func(rate float64) (Trial, error), f *Found) (best Trial, pass, reached bool, err error) {
	for n := 0; n <= s.Again && !reached; n++ {
		t, err := try(rate)
		if err != nil || ctx.Err() != nil {
			return t, false, false, err
		}
		f.Trials++
		if t.Received > 0 && t.Loss() <= s.Loss {
			best, pass, reached = better(best, t), true, t.Offered >= senderFails*rate
		}
	}
	return best, pass, reached, nil
}

// next is the rate to try between one that passed and one that did not. What is
// received under overload, where the search begins, is close to the result: the
// steps away from it grow.
func (s Search) next(low, high float64) float64 {
	const step = 0.9
	if low == 0 {
		return high * step
	}
	return min((low+high)/2, low*(2-step))
}

// Longest searches the largest number that passes, between 1 and most (RFC 2544,
// section 26.4, back-to-back frames): 0 if even 1 does not.
func Longest(ctx context.Context, most uint64, passes func(n uint64) (bool, error)) (uint64, error) {
	low, high := uint64(0), most+1
	for n := most; high-low > 1+low/100 && ctx.Err() == nil; n = (low + high) / 2 {
		pass, err := passes(n)
		if err != nil {
			return low, err
		}
		if pass {
			low = n
		} else {
			high = n
		}
	}
	return low, ctx.Err()
}
