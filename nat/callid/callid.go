package callid

import (
	"sync/atomic"
	"time"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// Dead is the ID that is never given out. It stands for no call: a call that
// got no ID is refused by it.
const Dead = 0xffff

// Pair names a pool: the address that the WAN sees, and the peer there. Host is
// the one on the LAN whose IDs they are that are taken from it, IPv4: each host's
// are counted.
type Pair struct {
	Zone              wire.Zone
	Alias, Peer, Host wire.Addr
}

func (p *Pair) key() flow.Key {
	return flow.Key{Kind: flow.PairKey, Src: p.Alias, Dst: p.Peer, Zone: p.Zone}
}

// Pools are the pools of all pairs. All methods may be called at once; each
// pool is guarded by the lock of its shard of the index.
type Pools struct {
	index *flow.Table[ref]
	pools *slab[pool]
	trees trees
	rests *rests
	hosts hosts
	dice  *dice
	pause time.Duration

	limit, used atomic.Int64
	most        int64
}

// New returns Pools that have at most limit IDs in use or resting, all pools
// together, and let an ID rest for pause. The seed hides from strangers which
// pools share a lock and which IDs are drawn.
func New(limit int, pause time.Duration, seed uint64) *Pools {
	limit = max(limit, 0)
	p := &Pools{
		index: flow.NewTable[ref](limit, seed),
		pools: newSlab[pool](limit),
		trees: trees{newSlab[node](limit), newSlab[leaf](limit)},
		rests: newRests(limit),
		hosts: newHosts(limit, seed),
		dice:  newDice(seed),
		pause: pause,
		most:  int64(limit),
	}
	p.limit.Store(p.most)
	return p
}

// Used returns how many IDs are in use or resting.
func (p *Pools) Used() int { return int(p.used.Load()) }

// Limit returns how many may be.
func (p *Pools) Limit() int { return int(p.limit.Load()) }

// SetLimit changes how many may be, up to what New was told. IDs beyond a lower
// limit stay; there are no new ones until enough are back.
func (p *Pools) SetLimit(limit int) { p.limit.Store(min(max(int64(limit), 0), p.most)) }

// UsedBy returns how many IDs of a host are in use or resting.
func (p *Pools) UsedBy(zone wire.Zone, host wire.Addr) int { return int(p.hosts.use(zone, host).ids) }

// AskedBy returns for how many of them no call was agreed, and how many there may
// be of a host's: an ID that rests counts until its rest is over.
func (p *Pools) AskedBy(zone wire.Zone, host wire.Addr) (asked, most int) {
	return int(p.hosts.use(zone, host).asked), askedMost(p.Limit())
}

// Take gives out the ID want, if it is free, or else another, for a call that is
// asked for. It fails, with Dead, if the limit is reached, every ID of the pool is
// in use or resting, or the host has as many as it may that were not agreed.
func (p *Pools) Take(pair Pair, want uint16, now flow.Time) (id uint16, ok bool) {
	p.expire(now, lazily)
	if asked, most := p.AskedBy(pair.Zone, pair.Host); asked >= most {
		return Dead, false
	}
	one := hostUse{ids: 1, asked: 1}
	held, o := p.enter(&pair, one)
	if o == nil {
		return Dead, false
	}
	defer held.Unlock()
	if p.trees.take(o, want, asked) {
		return want, true
	}
	if id, ok = p.trees.takeAny(o, p.dice.draw()); !ok {
		p.uncount(pair.Zone, pair.Host, one)
	}
	return id, ok
}

// Agree notes that a call is agreed which has this ID.
func (p *Pools) Agree(pair Pair, id uint16) {
	key := pair.key()
	hash := p.index.Hash(&key)
	held := p.index.Lock(hash)
	defer held.Unlock()
	at := held.Find(hash, &key)
	if at == nil {
		return
	}
	if l := p.trees.find(p.pools.at(*at), id); l != nil && l.state(id) == asked {
		l.set(id, agreed)
		p.hosts.add(pair.Zone, pair.Host, hostUse{asked: -1})
	}
}

// Claim takes exactly this ID, for a call that was agreed. It reports
// false if the ID is in use or resting, is Dead, or the limit is reached.
func (p *Pools) Claim(pair Pair, id uint16) bool {
	if id == Dead {
		return false
	}
	one := hostUse{ids: 1}
	held, o := p.enter(&pair, one)
	if o == nil {
		return false
	}
	defer held.Unlock()
	ok := p.trees.take(o, id, agreed)
	if !ok {
		p.uncount(pair.Zone, pair.Host, one)
	}
	return ok
}

// Put lets an ID rest until the pause is over. It does nothing if the ID is not
// in use.
func (p *Pools) Put(pair Pair, id uint16, now flow.Time) {
	p.expire(now, lazily)
	if r, ok := p.endUse(&pair, id); ok {
		r.until = now.Add(p.pause)
		p.rests.push(r)
	}
}

// Free gives back an ID that need not rest. It does nothing if the ID is not in
// use.
func (p *Pools) Free(pair Pair, id uint16) {
	if r, ok := p.endUse(&pair, id); ok {
		p.free(r)
	}
}

// endUse makes an ID rest and reports whether it was in use. The ID keeps its
// pool where it is.
func (p *Pools) endUse(pair *Pair, id uint16) (r rest, ok bool) {
	key := pair.key()
	hash := p.index.Hash(&key)
	held := p.index.Lock(hash)
	defer held.Unlock()
	at := held.Find(hash, &key)
	if at == nil {
		return rest{}, false
	}
	l := p.trees.find(p.pools.at(*at), id)
	if l == nil || l.state(id) != asked && l.state(id) != agreed {
		return rest{}, false
	}
	r = rest{pool: *at, id: id, host: pair.Host.V4(), asked: l.state(id) == asked}
	l.set(id, resting)
	return r, true
}

// So many IDs whose rest is over are freed in passing by Take and Put, and at a
// time by Tick.
const (
	lazily = 8
	paced  = 256
)

// Tick frees IDs whose rest is over, and reports whether there are more. Take
// and Put do that, too, but only a few each: if very many calls end at once
// and no new ones come, their IDs take up room until Tick has seen to them.
func (p *Pools) Tick(now flow.Time) (more bool) {
	p.expire(now, paced)
	return p.rests.due(now)
}

// Due is when Tick has something to do, at the earliest.
func (p *Pools) Due() flow.Time { return flow.Time(p.rests.soonest.Load()) }

// enter counts one more ID and returns the pool that it is to come from, made
// if there was none, and the pool's lock, held; no pool if there is no room.
// A pool that was just made has every ID.
func (p *Pools) enter(pair *Pair, by hostUse) (held *flow.Shard[ref], o *pool) {
	if p.used.Add(1) > p.limit.Load() {
		p.used.Add(-1)
		return nil, nil
	}
	p.hosts.add(pair.Zone, pair.Host, by)
	key := pair.key()
	hash := p.index.Hash(&key)
	held = p.index.Lock(hash)
	at, found := held.Insert(hash, &key)
	if at == nil {
		held.Unlock()
		p.uncount(pair.Zone, pair.Host, by)
		return nil, nil
	}
	if !found {
		*at = p.pools.get()
		*p.pools.at(*at) = pool{pair: *pair}
	}
	return held, p.pools.at(*at)
}

// uncount takes back what enter counted.
func (p *Pools) uncount(zone wire.Zone, host wire.Addr, by hostUse) {
	p.hosts.add(zone, host, hostUse{-by.ids, -by.asked})
	p.used.Add(-1)
}

// expire frees at most so many IDs whose rest is over.
func (p *Pools) expire(now flow.Time, most int) {
	for ; most > 0 && p.rests.due(now); most-- {
		if r, ok := p.rests.pop(now); ok {
			p.free(r)
		}
	}
}

// free frees an ID that has rested. It holds its pool in place until then. It
// is uncounted last: so there are never more pools, or parts of their trees,
// than IDs counted.
func (p *Pools) free(r rest) {
	o := p.pools.at(r.pool)
	key, zone := o.pair.key(), o.pair.Zone
	hash := p.index.Hash(&key)
	held := p.index.Lock(hash)
	p.trees.free(o, r.id)
	if o.top == (node{}) {
		held.Delete(hash, &key)
		p.pools.put(r.pool)
	}
	held.Unlock()
	by := hostUse{ids: 1}
	if r.asked {
		by.asked = 1
	}
	p.uncount(zone, wire.AddrFrom4(r.host), by)
}
