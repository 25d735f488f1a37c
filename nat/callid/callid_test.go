package callid_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/grewire/grewire/nat/callid"
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

const (
	start = flow.Time(1_000_000_000)
	pause = time.Minute
	after = start + flow.Time(pause)
	all   = 1<<16 - 1 // the IDs of a pool
)

// pair is the nth of many pairs.
func pair(n int) callid.Pair {
	const mapped = 0xffff << 32
	return callid.Pair{
		Alias: wire.Addr{Lo: mapped | 0xc0000201},
		Peer:  wire.Addr{Lo: mapped | 0xc6330000 + uint64(n/2)},
		Zone:  wire.Zone(n%2) << 48,
	}
}

// newPools makes Pools of a random seed, and prints it.
func newPools(t *testing.T, limit int) *callid.Pools {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	return callid.New(limit, pause, seed)
}

// take is a Take that must give an ID.
func take(t *testing.T, p *callid.Pools, n int, want uint16, now flow.Time) uint16 {
	t.Helper()
	id, ok := p.Take(pair(n), want, now)
	if !ok || id == callid.Dead {
		t.Fatalf("Take(%d) = %#x, %v with %d of %d IDs taken", want, id, ok, p.Used(), p.Limit())
	}
	return id
}

// refused is a Take that must give none.
func refused(t *testing.T, p *callid.Pools, n int, now flow.Time) {
	t.Helper()
	if id, ok := p.Take(pair(n), 1, now); ok || id != callid.Dead {
		t.Fatalf("Take = %#x, %v, want none", id, ok)
	}
}

func checkUsed(t *testing.T, p *callid.Pools, want int) {
	t.Helper()
	if p.Used() != want {
		t.Fatalf("%d IDs are in use or resting, want %d", p.Used(), want)
	}
}

// drain ends the rest of all that is due.
func drain(p *callid.Pools, now flow.Time) {
	for p.Tick(now) {
	}
}

// checkEmpty sees that nothing is left of pools without IDs.
func checkEmpty(t interface {
	Helper()
	Fatalf(string, ...any)
}, p *callid.Pools) {
	t.Helper()
	if p.Used() != 0 || p.Held() != (callid.Held{}) {
		t.Fatalf("%d IDs and %+v left over", p.Used(), p.Held())
	}
}

// TestWantedID has hosts that all want the same ID.
func TestWantedID(t *testing.T) {
	p := newPools(t, 10)
	if id := take(t, p, 0, 7, start); id != 7 {
		t.Errorf("a free ID is refused, and %d given", id)
	}
	if id := take(t, p, 0, 7, start); id == 7 {
		t.Error("an ID is given twice")
	}
	for n := 1; n < 4; n++ {
		if id := take(t, p, n, 7, start); id != 7 {
			t.Errorf("pair %d gets %d, because another pair has 7", n, id)
		}
	}
	checkUsed(t, p, 5)
}

func TestDead(t *testing.T) {
	p := newPools(t, 10)
	if p.Claim(pair(0), callid.Dead) {
		t.Error("Dead is claimed")
	}
	p.Put(pair(0), callid.Dead, start)
	checkEmpty(t, p)
	id := take(t, p, 0, callid.Dead, start)
	take(t, p, 0, callid.Dead-1, start) // its neighbour is an ID like others
	p.Put(pair(0), callid.Dead, start)
	p.Put(pair(0), callid.Dead-1, start)
	p.Put(pair(0), id, start)
	drain(p, after)
	checkEmpty(t, p)
}

// TestRest lets an ID rest.
func TestRest(t *testing.T) {
	p := newPools(t, 10)
	take(t, p, 0, 7, start)
	p.Put(pair(0), 7, start)
	if id := take(t, p, 0, 7, after-1); id == 7 {
		t.Error("an ID is given that rests")
	}
	if p.Claim(pair(0), 7) {
		t.Error("an ID is claimed that rests")
	}
	checkUsed(t, p, 2)
	if id := take(t, p, 0, 7, after); id != 7 {
		t.Error("an ID is not given after its rest")
	}
}

// TestPutTwice puts back what was put back already: it must not rest twice, or
// its next owner would lose it to the second rest's end.
func TestPutTwice(t *testing.T) {
	p := newPools(t, 10)
	take(t, p, 0, 7, start)
	p.Put(pair(0), 7, start)
	p.Put(pair(0), 7, start+1)
	p.Put(pair(0), 8, start)
	p.Put(pair(1), 7, start)
	take(t, p, 0, 7, after)
	drain(p, after+flow.Time(pause))
	checkUsed(t, p, 1)
	if p.Claim(pair(0), 7) {
		t.Error("an ID is claimed that is in use")
	}
}

// TestFree gives back an ID that need not rest.
func TestFree(t *testing.T) {
	p := newPools(t, 2)
	take(t, p, 0, 7, start)
	take(t, p, 0, 8, start)
	p.Free(pair(0), 7)
	p.Free(pair(0), 7)
	take(t, p, 0, 7, start)
	p.Put(pair(0), 8, start)
	p.Free(pair(0), 8) // it rests: nobody has it who could free it
	refused(t, p, 0, after-1)
	p.Free(pair(0), 7)
	drain(p, after)
	checkEmpty(t, p)
}

// TestUsedBy counts the IDs of hosts.
func TestUsedBy(t *testing.T) {
	p := newPools(t, 4)
	one, two := pair(0), pair(0)
	one.Host, two.Host = wire.AddrFrom4(1), wire.AddrFrom4(2)
	check := func(ones, twos int) {
		t.Helper()
		for host, want := range map[wire.Addr]int{one.Host: ones, two.Host: twos} {
			if got := p.UsedBy(one.Zone, host); got != want {
				t.Errorf("%s has %d IDs, want %d", host.Netip(), got, want)
			}
		}
	}
	for id, host := range []callid.Pair{one, one, two} {
		p.Take(host, uint16(id), start)
	}
	check(2, 1)
	p.Claim(two, 1) // which is one's
	p.Claim(two, 3)
	check(2, 2)
	p.Take(two, 4, start) // beyond the limit
	p.Put(one, 0, start)
	check(2, 2)
	p.Free(one, 1)
	check(1, 2)
	drain(p, after)
	check(0, 2)
	other := one.Zone + 1
	if got := p.UsedBy(other, two.Host); got != 0 {
		t.Errorf("in another zone it has %d", got)
	}
	p.Free(two, 2)
	p.Free(two, 3)
	check(0, 0)
	checkEmpty(t, p)
}

// TestClaim restores calls of before a restart.
func TestClaim(t *testing.T) {
	p := newPools(t, 2)
	for _, c := range []struct {
		n    int
		id   uint16
		want bool
	}{{0, 7, true}, {0, 7, false}, {1, 7, true}, {0, 8, false}, {2, 7, false}} {
		if got := p.Claim(pair(c.n), c.id); got != c.want {
			t.Errorf("Claim(%d, %d) = %v with %d of 2 IDs in use", c.n, c.id, got, p.Used())
		}
	}
	checkUsed(t, p, 2)
}

func TestLimit(t *testing.T) {
	p := newPools(t, 3)
	for n := range 3 {
		take(t, p, n, 7, start)
	}
	refused(t, p, 3, start)
	p.Put(pair(0), 7, start)
	refused(t, p, 3, after-1) // what rests counts
	take(t, p, 3, 7, after)
	checkUsed(t, p, 3)
	p.SetLimit(1)
	p.Put(pair(1), 7, after)
	p.Put(pair(2), 7, after)
	drain(p, after+flow.Time(pause))
	checkUsed(t, p, 1)
	refused(t, p, 1, after+flow.Time(pause))
	if p.SetLimit(100); p.Limit() != 3 {
		t.Errorf("the limit is %d, more than there is room for", p.Limit())
	}
	take(t, p, 1, 7, after+flow.Time(pause))
}

// TestNoRoomAtAll has limits that allow nothing.
func TestNoRoomAtAll(t *testing.T) {
	for _, limit := range []int{0, -1} {
		p := newPools(t, limit)
		refused(t, p, 0, start)
		p.SetLimit(-5)
		p.Put(pair(0), 1, start)
		checkEmpty(t, p)
	}
}

// TestWholePool takes every ID of a pool, all under the same wish, and then
// all of them again when they have rested.
func TestWholePool(t *testing.T) {
	p := newPools(t, 2*all)
	for round := range flow.Time(2) {
		now := start + round*flow.Time(pause)
		taken := make(map[uint16]bool, all)
		for range all {
			taken[take(t, p, 0, 1000, now)] = true
		}
		if len(taken) != all || taken[callid.Dead] {
			t.Fatalf("%d different IDs, want %d", len(taken), all)
		}
		refused(t, p, 0, now)
		take(t, p, 1, 1000, now) // another pool is none the fuller
		p.Put(pair(1), 1000, now)
		for id := range taken {
			p.Put(pair(0), id, now)
		}
		refused(t, p, 0, now+flow.Time(pause)-1)
		drain(p, now+flow.Time(pause))
		checkEmpty(t, p)
	}
}

// TestDrawnIDs draws IDs as for hosts that all want the same one. Each 16th of
// the IDs is as likely as the others, and another seed gives others.
func TestDrawnIDs(t *testing.T) {
	const draws = 16 << 10
	var first [2][draws]uint16
	for i := range first {
		p := callid.New(draws+1, pause, uint64(i))
		take(t, p, 0, 1, start)
		var drawn [16]int
		for at := range draws {
			first[i][at] = take(t, p, 0, 1, start)
			drawn[first[i][at]>>12]++
		}
		for part, n := range drawn {
			if n < 800 || n > 1250 { // 7 deviations
				t.Errorf("%d of %d IDs start with %#x", n, draws, part)
			}
		}
	}
	same := 0
	for at := range draws {
		if first[0][at] == first[1][at] {
			same++
		}
	}
	if same > 20 {
		t.Errorf("of %d IDs %d are the same under another seed", draws, same)
	}
}

// TestLazily frees what has rested in passing, a few at a time.
func TestLazily(t *testing.T) {
	const many = callid.Paced + 3*callid.Lazily
	p := newPools(t, many+2)
	for id := range uint16(many) {
		take(t, p, 0, id, start)
		p.Put(pair(0), id, start)
	}
	checkUsed(t, p, many)
	take(t, p, 1, 7, after)
	checkUsed(t, p, many-callid.Lazily+1)
	p.Put(pair(1), 7, after)
	checkUsed(t, p, many-2*callid.Lazily+1)
	if !p.Tick(after) {
		t.Error("Tick says that nothing more is due")
	}
	checkUsed(t, p, callid.Lazily+1)
	if p.Tick(after) {
		t.Error("Tick says that more is due")
	}
	checkUsed(t, p, 1)
}

// TestNoAllocation has pools that stay, that come and go, and that are full.
func TestNoAllocation(t *testing.T) {
	p := newPools(t, all+100)
	for range all - 1 {
		take(t, p, 0, 1, start)
	}
	take(t, p, 1, 1, start)
	now := start
	if n := testing.AllocsPerRun(10_000, func() {
		for n := range 3 {
			id, ok := p.Take(pair(n), 1, now)
			if !ok {
				t.Fatal("no ID")
			}
			p.Put(pair(n), id, now)
			now += flow.Time(pause) / 2
			p.Tick(now)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestAskedBy has a host take IDs for calls that are not agreed, in use and at
// rest, in several pools: there are few of them. Those that are agreed do not count.
func TestAskedBy(t *testing.T) {
	const limit, most = 1600, 100
	p := callid.New(limit, pause, 1)
	host := wire.AddrFrom4(1)
	of := func(n int) callid.Pair {
		at := pair(n)
		at.Zone, at.Host = pair(0).Zone, host
		return at
	}
	check := func(what string, want int) {
		t.Helper()
		if got, limit := p.AskedBy(pair(0).Zone, host); got != want || limit != most {
			t.Errorf("%s: %d of %d IDs are not agreed, want %d of %d", what, got, limit, want, most)
		}
	}
	for id := range uint16(most) {
		if _, ok := p.Take(of(int(id)%3), id, start); !ok {
			t.Fatalf("no ID %d", id)
		}
	}
	check("asked for", most)
	if id, ok := p.Take(of(5), 7, start); ok || id != callid.Dead {
		t.Errorf("one more: %d, %v", id, ok)
	}
	other := of(5)
	other.Host = wire.AddrFrom4(2)
	if _, ok := p.Take(other, 7, start); !ok {
		t.Error("another host gets none")
	}
	p.Put(of(0), 0, start)
	check("one rests", most)
	p.Agree(of(1), 1)
	p.Agree(of(1), 1)
	p.Agree(of(1), 2000) // nobody's
	check("one is agreed", most-1)
	p.Put(of(1), 1, start)
	check("and rests", most-1)
	p.Free(of(2), 2)
	check("one was never said", most-2)
	p.Tick(start.Add(pause))
	check("rested", most-3)
	if got := p.UsedBy(pair(0).Zone, host); got != most-3 {
		t.Errorf("%d IDs are used, want %d", got, most-3)
	}
	if !p.Claim(of(0), 0) {
		t.Error("no claim")
	}
	check("claimed", most-3)
}
