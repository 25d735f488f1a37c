package callid

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// hosts is how many IDs each host on the LAN has, in use or resting.
type hosts struct{ *flow.Table[uint32] }

// Of more hosts at a time than these, those beyond are not counted.
const (
	hostShare = 8 // of the limit of IDs
	hostLeast = 1024
)

func newHosts(limit int, seed uint64) hosts {
	return hosts{flow.NewTable[uint32](min(max(limit/hostShare, hostLeast), limit), seed)}
}

func hostKey(zone wire.Zone, host wire.Addr) flow.Key {
	return flow.Key{Kind: flow.HostKey, Zone: zone, Src: wire.AddrFrom4(host.V4())}
}

// add counts one more of a host's.
func (h hosts) add(zone wire.Zone, host wire.Addr) {
	key := hostKey(zone, host)
	hash := h.Hash(&key)
	s := h.Lock(hash)
	defer s.Unlock()
	if count, _ := s.Insert(hash, &key); count != nil {
		*count++
	}
}

// remove takes back what add has counted, if it has.
func (h hosts) remove(zone wire.Zone, host wire.Addr) {
	key := hostKey(zone, host)
	hash := h.Hash(&key)
	s := h.Lock(hash)
	defer s.Unlock()
	count := s.Find(hash, &key)
	if count == nil {
		return
	}
	if *count--; *count == 0 {
		s.Delete(hash, &key)
	}
}

func (h hosts) count(zone wire.Zone, host wire.Addr) int {
	key := hostKey(zone, host)
	hash := h.Hash(&key)
	s := h.Lock(hash)
	defer s.Unlock()
	if count := s.Find(hash, &key); count != nil {
		return int(*count)
	}
	return 0
}
