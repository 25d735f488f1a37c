package callid

import (
	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// hosts is how many IDs each host on the LAN has. That of no host, the zero Addr,
// is not counted.
type hosts struct{ *flow.Table[hostUse] }

// hostUse counts a host's IDs: all that are in use or resting, and those of them
// whose call was never agreed.
type hostUse struct{ ids, asked int32 }

// Of more hosts at a time than these, those beyond are not counted.
const (
	hostShare = 8 // of the limit of IDs
	hostLeast = 1024
)

// A host has this share of the IDs at most, of those that there may be and of
// those of a pool, for calls that are not agreed: to ask and never be answered
// costs nothing. It is more than a host asks for while 30 seconds' IDs rest, at a
// hundred calls a second that nobody answers.
const (
	askedShare = 16
	askedLeast = 8
	poolIDs    = 1 << 16
)

// askedMost is that share of a limit.
func askedMost(limit int) int { return max(min(limit, poolIDs)/askedShare, askedLeast) }

func newHosts(limit int, seed uint64) hosts {
	return hosts{flow.NewTable[hostUse](min(max(limit/hostShare, hostLeast), limit), seed)}
}

func hostKey(zone wire.Zone, host wire.Addr) flow.Key {
	return flow.Key{Kind: flow.HostKey, Zone: zone, Src: wire.AddrFrom4(host.V4())}
}

// add counts IDs of a host's, less if they are negative.
func (h hosts) add(zone wire.Zone, host wire.Addr, by hostUse) {
	if host.V4() == 0 {
		return
	}
	key := hostKey(zone, host)
	hash := h.Hash(&key)
	s := h.Lock(hash)
	defer s.Unlock()
	use, _ := s.Insert(hash, &key)
	if use == nil {
		return
	}
	use.ids, use.asked = max(use.ids+by.ids, 0), max(use.asked+by.asked, 0)
	if *use == (hostUse{}) {
		s.Delete(hash, &key)
	}
}

func (h hosts) use(zone wire.Zone, host wire.Addr) hostUse {
	key := hostKey(zone, host)
	hash := h.Hash(&key)
	s := h.Lock(hash)
	defer s.Unlock()
	if use := s.Find(hash, &key); use != nil {
		return *use
	}
	return hostUse{}
}
