package flow_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/grewire/grewire/track/flow"
)

func key(n uint64) flow.Key {
	k := flow.Key{Kind: flow.GREKey, DstID: uint16(n)}
	k.Src.Lo = n
	return k
}

// TestTableAgainstMap plays random operations on a table and on a map.
func TestTableAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 300).Draw(t, "limit")
		table := flow.NewTable[uint64](limit, rapid.Uint64().Draw(t, "seed"))
		model := map[flow.Key]uint64{}
		for range rapid.IntRange(1, 800).Draw(t, "operations") {
			k := key(rapid.Uint64Range(0, 400).Draw(t, "key"))
			switch rapid.IntRange(0, 2).Draw(t, "operation") {
			case 0:
				insert(t, table, model, k, limit)
			case 1:
				remove(t, table, model, k)
			case 2:
				find(t, table, model, k)
			}
			if table.Len() != len(model) {
				t.Fatalf("table has %d entries, want %d", table.Len(), len(model))
			}
		}
		for n := range uint64(401) {
			find(t, table, model, key(n))
		}
		sweepAll(t, table, model)
	})
}

func insert(t *rapid.T, table *flow.Table[uint64], model map[flow.Key]uint64, k flow.Key, limit int) {
	hash := table.Hash(&k)
	s := table.Lock(hash)
	defer s.Unlock()
	v, found := s.Insert(hash, &k)
	if _, want := model[k]; found != want {
		t.Fatalf("Insert(%v) found %v, want %v", k, found, want)
	}
	if v == nil {
		if len(model) < limit {
			t.Fatalf("Insert refused with %d of %d entries", len(model), limit)
		}
		return
	}
	if !found && len(model) == limit {
		t.Fatalf("Insert beyond the limit of %d", limit)
	}
	if !found && *v != 0 {
		t.Fatalf("a new value is %d, want zero", *v)
	}
	*v++
	model[k]++
}

func remove(t *rapid.T, table *flow.Table[uint64], model map[flow.Key]uint64, k flow.Key) {
	hash := table.Hash(&k)
	s := table.Lock(hash)
	defer s.Unlock()
	_, want := model[k]
	if got := s.Delete(hash, &k); got != want {
		t.Fatalf("Delete(%v) = %v, want %v", k, got, want)
	}
	delete(model, k)
}

func find(t *rapid.T, table *flow.Table[uint64], model map[flow.Key]uint64, k flow.Key) {
	hash := table.Hash(&k)
	s := table.Lock(hash)
	defer s.Unlock()
	v := s.Find(hash, &k)
	want, there := model[k]
	if (v != nil) != there || v != nil && *v != want {
		t.Fatalf("Find(%v) = %v, want %d (%v)", k, v, want, there)
	}
	for _, guess := range []int{table.Touch(hash), -1, 0, table.Slots()} {
		if at := s.FindAt(guess, hash, &k); at != v {
			t.Fatalf("FindAt(%d, %v) = %p, Find gives %p", guess, k, at, v)
		}
	}
}

func sweepAll(t *rapid.T, table *flow.Table[uint64], model map[flow.Key]uint64) {
	seen := map[flow.Key]uint64{}
	for visited := 0; visited < table.Slots(); visited += 7 {
		table.Sweep(min(7, table.Slots()-visited), func(k *flow.Key, v *uint64) { seen[*k] = *v })
	}
	if fmt.Sprint(len(seen)) != fmt.Sprint(len(model)) {
		t.Fatalf("a lap of Sweep saw %d entries, want %d", len(seen), len(model))
	}
}

// secret draws a seed and prints it.
func secret(t *testing.T) uint64 {
	s := rand.Uint64()
	t.Logf("secret %#x", s)
	return s
}

// TestTableConcurrent lets goroutines count into shared entries.
func TestTableConcurrent(t *testing.T) {
	const workers, rounds, keys = 4, 5000, 97
	table := flow.NewTable[uint64](keys, secret(t))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range rounds {
				k := key(uint64(i % keys))
				hash := table.Hash(&k)
				s := table.Lock(hash)
				v, _ := s.Insert(hash, &k)
				*v++
				s.Unlock()
			}
		})
	}
	wg.Wait()
	var sum uint64
	table.Sweep(table.Slots(), func(_ *flow.Key, v *uint64) { sum += *v })
	if sum != workers*rounds {
		t.Fatalf("counted %d, want %d", sum, workers*rounds)
	}
}

// TestTableHoldsItsLimit fills tables of many sizes to the brim: the spread of
// the hash over the shards must never refuse an entry before the limit.
func TestTableHoldsItsLimit(t *testing.T) {
	for _, limit := range []int{1, 7, 64, 65, 1000, 4096, 70000} {
		table := flow.NewTable[uint32](limit, secret(t))
		for n := range limit + 1 {
			k := key(uint64(n))
			hash := table.Hash(&k)
			s := table.Lock(hash)
			v, _ := s.Insert(hash, &k)
			s.Unlock()
			if (v != nil) != (n < limit) {
				t.Fatalf("limit %d: entry %d accepted: %v", limit, n+1, v != nil)
			}
		}
	}
}

func TestTableAllocatesNothing(t *testing.T) {
	table := flow.NewTable[uint64](100, 1)
	k := key(5)
	hash := table.Hash(&k)
	allocs := testing.AllocsPerRun(100, func() {
		s := table.Lock(hash)
		s.Insert(hash, &k)
		s.Find(hash, &k)
		s.Delete(hash, &k)
		s.Unlock()
	})
	if allocs != 0 {
		t.Errorf("%v allocations per insert, find and delete", allocs)
	}
}

// TestHashSpreads sees that every field of a key moves its hash, whatever the
// seed, zero included.
func TestHashSpreads(t *testing.T) {
	for _, seed := range []uint64{0, 1, rand.Uint64()} {
		t.Logf("seed %#x", seed)
		seed := flow.NewSeed(seed)
		base := flow.Key{Kind: flow.GREKey}
		seen := map[uint64]string{base.Hash(&seed): "none"}
		for name, change := range map[string]func(k *flow.Key){
			"Src.Hi": func(k *flow.Key) { k.Src.Hi++ }, "Src.Lo": func(k *flow.Key) { k.Src.Lo++ },
			"Dst.Hi": func(k *flow.Key) { k.Dst.Hi++ }, "Dst.Lo": func(k *flow.Key) { k.Dst.Lo++ },
			"Zone": func(k *flow.Key) { k.Zone++ }, "SrcID": func(k *flow.Key) { k.SrcID++ }, "DstID": func(k *flow.Key) { k.DstID++ },
			"Kind": func(k *flow.Key) { k.Kind++ }, "Side": func(k *flow.Key) { k.Side++ }, "Proto": func(k *flow.Key) { k.Proto++ },
		} {
			k := base
			change(&k)
			if other, found := seen[k.Hash(&seed)]; found {
				t.Errorf("changing %s gives the hash of changing %s", name, other)
			}
			seen[k.Hash(&seed)] = name
		}
	}
}

// TestNoChosenCollisions tries keys that cancel the constants of the hash.
func TestNoChosenCollisions(t *testing.T) {
	seed := flow.NewSeed(secret(t))
	seen := map[uint64]bool{}
	for _, word := range []uint64{0, ^uint64(0), 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb} {
		for hi := range uint64(1000) {
			k := flow.Key{Kind: flow.GREKey}
			k.Src.Hi, k.Src.Lo = hi, word
			seen[k.Hash(&seed)] = true
		}
	}
	if len(seen) != 5*1000 {
		t.Errorf("5000 keys have %d hashes", len(seen))
	}
}
