package track

import (
	"sync"
	"sync/atomic"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/stream"
)

// Tracker follows every PPTP control connection and call that crosses the
// box. It is safe for concurrent use; frames go through Lanes.
type Tracker struct {
	settings atomic.Pointer[settings]
	changing sync.Mutex // held while the settings change
	made     Limits     // what the tables were made for

	keymap [flow.Sides]*flow.Table[keyEntry] // GREKey, by the side it comes in: directions of agreed calls
	hosts  *flow.Table[hostUse]              // HostKey: calls per host

	controls    *flow.Table[ref] // ControlKey, ConfirmedKey -> connection; AnyZoneKey -> how many
	connections *slab[connection]
	calls       *slab[call]
	index       callNodes // of calls
	locks       [lockStripes]connectionLock
	asked       *askedTable
	answers     atomic.Uint64      // how many of them were answered for which GRE was held
	pairs       *flow.Table[ports] // PairKey -> connection that adopts
	adoptees    adoptees           // directions that may be of calls agreed before
	unconfirmed *ageing
	closed      *ageing
	others      *recent[otherFlow] // ControlKey: with port 1723 at one end, but no control connections
	awaited     *awaited           // AnySourceKey -> GREKey of a direction that was not seen yet
	endings     *endings           // calls that ended with their connection
	buffers     *stream.Pool
	nat         *aliases // nil if nothing is translated

	serial           atomic.Uint64 // of the last call
	connectionSerial atomic.Uint64 // of the last connection
	expectations     atomic.Int64  // directions of agreed calls without GRE yet
	heldBytes        atomic.Int64  // of frames that wait for others

	mu    sync.Mutex
	lanes []*Lane
	ticks sweeper
}

// settings are the options a Lane works by, read once per batch, and for a
// control segment once more under its connection's lock: who changes them and
// then takes that lock knows that nothing of the connection goes by the old
// ones any more.
type settings struct{ Options }

// A lock guards the connections whose hash it is picked by, and their calls.
// Table shards are locked inside of it, one at a time; two of these locks are
// never held together.
type connectionLock struct {
	sync.Mutex
	_ [56]byte // one cache line each
}

const lockStripes = 256

func (t *Tracker) lock(hash uint64) *connectionLock {
	l := &t.locks[hash%lockStripes]
	l.Lock()
	return l
}

// New returns a Tracker whose tables are as large as o.Limits say.
func New(o Options) *Tracker {
	t := &Tracker{
		made:        o.Limits,
		hosts:       flow.NewTable[hostUse](o.Limits.Connections+max(o.Limits.Calls, o.Limits.Connections), o.Seed),
		controls:    flow.NewTable[ref](3*o.Limits.Connections, o.Seed),
		connections: newSlab[connection](o.Limits.Connections),
		calls:       newSlab[call](o.Limits.Calls),
		endings:     newEndings(&o.Limits, endedAtOnce),
		index:       newCallNodes(&o),
		asked:       newAskedTable(askedFor(&o.Limits)),
		pairs:       flow.NewTable[ports](o.Limits.Connections, o.Seed),
		unconfirmed: newAgeing(o.Limits.Connections, func(p phase) bool { return p < open }),
		closed:      newAgeing(o.Limits.Connections, func(p phase) bool { return p == closed }),
		others:      newRecent[otherFlow](&o),
		awaited:     &awaited{seed: flow.NewSeed(o.Seed)},
		buffers:     stream.NewPool(buffersIn(&o.Limits)),
		nat:         newAliases(&o),
	}
	for side := range t.keymap {
		t.keymap[side] = newKeymap(&o)
	}
	t.settings.Store(&settings{o})
	t.ticks.t = t
	return t
}

// Lane returns what one worker needs to decide about the frames that come in
// by side. A Lane is for one goroutine.
func (t *Tracker) Lane(side Side) *Lane {
	l := &Lane{work: work{t: t}, side: side, keymap: t.keymap[side]}
	l.settings = t.settings.Load()
	l.fragments.init(l)
	l.byCallID = side == WAN && t.nat != nil && t.nat.ByCallID()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lanes = append(t.lanes, l)
	return l
}

// work is the state of one goroutine that acts on connections and calls.
type work struct {
	t         *Tracker
	now       Time
	settings  *settings
	events    []Event
	contests  []contest
	displaced []displaced
	alike     alike // what becomes of messages like the last
	evicted   []aged
	freed     []flow.Key // of GRE that was held for calls which were answered
	anomalies [NumAnomalies]atomic.Uint64
	limited   map[string]Time // when a limit was last reported
	ending    bool            // the key map may have entries of calls that have ended
	spent     int             // what the batch has cost so far, see partWork
}

// Events returns what happened since the last call. The slice is valid until
// the next Process or Flush.
func (w *work) Events() []Event {
	events := w.events
	w.events = emptied(events)
	return events
}

// maxSpareEvents is how many events there is room kept for.
const maxSpareEvents = 1024

// emptied is the room of events for the next ones, unless it is much.
func emptied(events []Event) []Event {
	if cap(events) > maxSpareEvents {
		return nil
	}
	return events[:0]
}

// limitReportInterval is how often one limit is reported at most.
const limitReportInterval = Time(10e9)

// limit reports that a limit of the configuration was reached.
func (w *work) limit(name string) {
	w.count(AnomalyLimit)
	if last, ok := w.limited[name]; ok && w.now-last < limitReportInterval {
		return
	}
	if w.limited == nil {
		w.limited = make(map[string]Time)
	}
	w.limited[name] = w.now
	w.events = append(w.events, Event{Time: w.now, Kind: EventLimitReached, Cause: name})
}

func (w *work) controlEvent(kind EventKind, c *connection, cause string) {
	w.events = append(w.events, Event{Time: w.now, Kind: kind, Cause: cause, Control: c.control(), Zone: c.key.Zone})
}

func (w *work) callEvent(kind EventKind, c *connection, k *call) {
	snapshot := w.t.snapshot(&c.identity, k)
	w.events = append(w.events, Event{Time: w.now, Kind: kind, Call: &snapshot})
}
