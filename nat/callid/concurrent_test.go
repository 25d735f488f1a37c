package callid_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/grewire/grewire/nat/callid"
	"github.com/grewire/grewire/track/flow"
)

// TestConcurrent lets goroutines take and put back IDs of the same pools, so
// few that they get in each other's way, while another ticks. Nobody may get
// an ID that another has or that rests.
func TestConcurrent(t *testing.T) {
	const workers, pairs, limit = 4, 3, 200
	rounds := 100_000
	if testing.Short() {
		rounds = 10_000
	}
	p := newPools(t, limit)
	free := new([pairs][1 << 16]atomic.Int64) // when an ID is free again
	var clock atomic.Int64
	clock.Store(int64(start))
	var players, ticker sync.WaitGroup
	for worker := range uint64(workers) {
		players.Go(func() {
			player{t, p, free[:], &clock, rand.New(rand.NewPCG(1, worker)), nil}.play(rounds)
		})
	}
	var over atomic.Bool
	ticker.Go(func() {
		for !over.Load() {
			p.Tick(flow.Time(clock.Add(int64(pause) / 50)))
		}
	})
	players.Wait()
	over.Store(true)
	ticker.Wait()
	drain(p, flow.Time(clock.Load())+flow.Time(pause))
	checkEmpty(t, p)
}

// player is one of several users of the same pools.
type player struct {
	t      *testing.T
	pools  *callid.Pools
	free   [][1 << 16]atomic.Int64
	clock  *atomic.Int64
	random *rand.Rand
	have   []place
}

const taken = 1<<63 - 1

func (p player) play(rounds int) {
	for range rounds {
		if n := len(p.have); n > 0 && p.random.IntN(60) < n {
			p.put(p.random.IntN(n))
		} else {
			p.take(place{p.random.IntN(len(p.free)), uint16(p.random.IntN(40))})
		}
	}
	for len(p.have) > 0 {
		p.put(0)
	}
}

func (p *player) take(at place) {
	now := p.clock.Load()
	id, ok := p.pools.Take(pair(at.pair), at.id, flow.Time(now))
	if !ok {
		return
	}
	at.id = id
	// The clock runs on: what is free later than now may be so by now.
	if until := p.free[at.pair][id].Swap(taken); until > p.clock.Load() {
		p.t.Errorf("%v is given out %d ns before it is free", at, until-now)
	}
	p.have = append(p.have, at)
}

func (p *player) put(i int) {
	at := p.have[i]
	p.have[i] = p.have[len(p.have)-1]
	p.have = p.have[:len(p.have)-1]
	now := p.clock.Load()
	p.free[at.pair][at.id].Store(now + int64(pause))
	p.pools.Put(pair(at.pair), at.id, flow.Time(now))
}
