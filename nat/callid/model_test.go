package callid_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/nat/callid"
	"github.com/grewire/grewire/track/flow"
)

// place is an ID of a pair, by the pair's number.
type place struct {
	pair int
	id   uint16
}

// model is what Pools should do, as plainly as possible.
type model struct {
	*callid.Pools
	now     flow.Time
	resting map[place]bool // what is taken, and whether it rests
	taken   [3]int         // how many of each pair
	order   []place        // what rests
	until   []flow.Time    // as order
	ids     *rapid.Generator[uint16]
}

const modelPause = 100

func newModel(t *rapid.T, limit int) *model {
	return &model{
		Pools: callid.New(limit, modelPause*time.Nanosecond, rapid.Uint64().Draw(t, "seed")),
		now:   start, resting: map[place]bool{},
		ids: rapid.OneOf(rapid.Uint16Range(0, 3), rapid.Uint16Range(0xfffd, 0xffff), rapid.Uint16Range(254, 258), rapid.Uint16()),
	}
}

// expire frees at most so many.
func (m *model) expire(most int) {
	for ; most > 0 && len(m.order) > 0 && m.until[0] <= m.now; most-- {
		delete(m.resting, m.order[0])
		m.taken[m.order[0].pair]--
		m.order, m.until = m.order[1:], m.until[1:]
	}
}

// free reports whether an ID may be given out.
func (m *model) free(at place) bool {
	_, taken := m.resting[at]
	return !taken && at.id != callid.Dead && len(m.resting) < m.Limit()
}

// room reports whether any ID of a pair may be given out.
func (m *model) room(pair int) bool { return m.taken[pair] < all && len(m.resting) < m.Limit() }

func (m *model) given(at place) {
	m.resting[at] = false
	m.taken[at.pair]++
}

func (m *model) draw(t *rapid.T) place {
	return place{rapid.IntRange(0, len(m.taken)-1).Draw(t, "pair"), m.ids.Draw(t, "ID")}
}

func (m *model) take(t *rapid.T) {
	at := m.draw(t)
	m.expire(callid.Lazily)
	id, ok := m.Take(pair(at.pair), at.id, m.now)
	switch given := (place{at.pair, id}); {
	case ok != m.room(at.pair):
		t.Fatalf("Take(%v) = %d, %v with %d of %d IDs taken", at, id, ok, len(m.resting), m.Limit())
	case !ok && id != callid.Dead:
		t.Fatalf("a Take that fails gives %d", id)
	case ok && !m.free(given):
		t.Fatalf("Take(%v) = %d, which is in use, resting or Dead", at, id)
	case ok && id != at.id && m.free(at):
		t.Fatalf("Take(%v) = %d, though %d is free", at, id, at.id)
	case ok:
		m.given(given)
	}
}

func (m *model) claim(t *rapid.T) {
	at := m.draw(t)
	want := m.free(at)
	if got := m.Claim(pair(at.pair), at.id); got != want {
		t.Fatalf("Claim(%v) = %v with %d of %d IDs taken", at, got, len(m.resting), m.Limit())
	}
	if want {
		m.given(at)
	}
}

// put puts back an ID, if there is one that is in use near the one drawn.
func (m *model) put(t *rapid.T) {
	at := m.draw(t)
	for range 300 {
		if _, taken := m.resting[at]; taken {
			break
		}
		at.id++
	}
	m.expire(callid.Lazily)
	m.Put(pair(at.pair), at.id, m.now)
	if resting, taken := m.resting[at]; taken && !resting {
		m.resting[at] = true
		m.order, m.until = append(m.order, at), append(m.until, m.now+modelPause)
	}
}

func (m *model) tick(t *rapid.T) {
	m.expire(callid.Paced)
	more := len(m.order) > 0 && m.until[0] <= m.now
	if got := m.Tick(m.now); got != more {
		t.Fatalf("Tick = %v with %d IDs resting", got, len(m.order))
	}
}

func (m *model) wait(t *rapid.T) {
	m.now += rapid.SampledFrom([]flow.Time{1, modelPause / 4, modelPause - 1, modelPause}).Draw(t, "wait")
}

// play does what it likes, many times.
func (m *model) play(t *rapid.T) {
	check := func(t *rapid.T) {
		if m.Used() != len(m.resting) {
			t.Fatalf("%d IDs are in use or resting, want %d", m.Used(), len(m.resting))
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"": check, "take": m.take, "take again": m.take, "claim": m.claim, "put": m.put, "put again": m.put, "tick": m.tick, "wait": m.wait,
	})
}

// end puts back everything, and sees that nothing is left of the pools.
func (m *model) end(t *rapid.T) {
	for at := range m.resting {
		m.Put(pair(at.pair), at.id, m.now)
	}
	drain(m.Pools, m.now+modelPause)
	checkEmpty(t, m.Pools)
}

// TestAgainstModel plays with pools of few IDs, up to their limit.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t, rapid.IntRange(0, 40).Draw(t, "limit"))
		m.play(t)
		m.end(t)
	})
}

// TestNearlyFull plays with a pool that has but a few IDs free, or none.
func TestNearlyFull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t, all+10)
		holes := map[uint16]bool{}
		for _, id := range rapid.SliceOfN(m.ids, 0, 6).Draw(t, "free IDs") {
			holes[id] = true
		}
		for id := range uint16(all) {
			if holes[id] {
				continue
			}
			if !m.Claim(pair(0), id) {
				t.Fatalf("%d cannot be claimed", id)
			}
			m.given(place{0, id})
		}
		m.play(t)
	})
}
