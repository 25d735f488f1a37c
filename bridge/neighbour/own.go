package neighbour

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/grewire/grewire/track"
)

// maxZones bounds the VLANs in which an address is probed for and announced. It
// is answered for in all of them.
const maxZones = 16

// own is an address of the box on the WAN side.
type own struct {
	address netip.Addr
	tags    []string // of the VLANs in which it is asked for: the first is none, the last was the last

	sent int        // of the probes and announcements since the NIC came up
	next track.Time // when the next one is due; 0: none is

	defended track.Time // 0: never
	reported track.Time // 0: never
	rival    MAC        // who was reported
}

// probing reports whether nothing was announced yet.
func (o *own) probing() bool { return o.next != 0 && o.sent <= probeCount }

// begin has the address probed for from now on.
func (o *own) begin(now track.Time, t *Timing, r *rand.Rand) {
	o.sent, o.next = 0, now.Add(within(r, t.ProbeWait))
}

// step returns the probes or announcements that are due now.
func (o *own) step(mac MAC, now track.Time, t *Timing, r *rand.Rand) (frames [][]byte) {
	o.sent++
	for _, tags := range o.tags {
		if o.sent <= probeCount {
			frames = append(frames, probe(mac, broadcast, tags, o.address))
		} else {
			frames = append(frames, announcement(mac, tags, o.address))
		}
	}
	switch {
	case o.sent < probeCount:
		o.next = now.Add(t.ProbeMin + within(r, t.ProbeMax-t.ProbeMin))
	case o.sent == probeCount:
		o.next = now.Add(t.AnnounceWait)
	case o.sent < probeCount+announceCount:
		o.next = now.Add(t.AnnounceInterval)
	default:
		o.next = 0
	}
	return frames
}

// askedIn notes in which VLAN the address was asked for, and reports whether
// there was room for that.
func (o *own) askedIn(tags string) bool {
	i := slices.Index(o.tags, tags)
	switch {
	case i > 0:
		o.tags = append(slices.Delete(o.tags, i, i+1), tags)
	case i < 0 && len(o.tags) < maxZones:
		o.tags = append(o.tags, tags)
	case i < 0:
		return false
	}
	return true
}

// full reports whether a VLAN is new, and there is no room for it.
func (o *own) full(tags string) bool {
	return len(o.tags) == maxZones && !slices.Contains(o.tags, tags)
}

// evict gives up the VLAN in which the address was asked for the longest ago.
func (o *own) evict() (tags string) {
	tags = o.tags[1]
	o.tags = slices.Delete(o.tags, 1, 2)
	return tags
}

// defend reports whether to announce the address now against another host's
// claim (RFC 5227, section 2.4, (c)). While it is being probed for, the
// announcements are still to come.
func (o *own) defend(now track.Time, t *Timing) bool {
	if o.probing() || o.defended != 0 && now.Sub(o.defended) < t.DefendInterval {
		return false
	}
	o.defended = now
	return true
}

// report reports whether to tell of a conflict with that host: at once if it is
// another one than before, though not of one after another without end.
func (o *own) report(rival MAC, now track.Time, t *Timing) bool {
	wait := t.DefendInterval
	if rival == o.rival {
		wait = t.ReportAgain
	}
	if o.reported != 0 && now.Sub(o.reported) < wait {
		return false
	}
	o.reported, o.rival = now, rival
	return true
}

// conflict is the event of a conflict with who sent a message.
func (o *own) conflict(m *message, nic string, now track.Time) track.Event {
	return track.Event{
		Time: now, Kind: track.EventAddressConflict, NIC: nic, Zone: m.zone, Address: o.address, MAC: m.senderMAC.String(),
		Detail: []string{fmt.Sprintf("give that host another address, or the box (nat.address, nat.forward); until then calls over %s reach now one, now the other", o.address)},
	}
}
