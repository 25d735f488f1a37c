package track

import (
	"math"
	"sync/atomic"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

// Lane decides about the frames that come in by one side. It belongs to one
// worker.
type Lane struct {
	work
	side      Side
	decided   []*Frame
	fragments fragments
	drops     [NumReasons]dropLimiter
	keymap    *flow.Table[keyEntry] // of its side
	// shard is one of the key map's, still locked from the last frame: data comes
	// in runs, and a lock costs as much as a look-up. Nothing else is locked
	// while it is.
	shard *flow.Shard[keyEntry]

	gate     gate     // segments of translated connections that wait
	goal     goal     // where the last segment's connection is
	octets   []Octets // that change, of all frames of the batch
	byCallID bool     // GRE goes to the owner of its call ID
	early    earlyGRE // GRE of calls that are not agreed yet
	arpAgain Time     // before that ARP says nothing, see learnARP
	late     bool     // what is decided about was held: it is not held again

	ordered       *datagram    // of the last fragment, if parts of it may wait for that
	fragmentCount atomic.Int64 // len(fragments.known), for those who only look
}

// Process decides about a batch of frames that came in by the Lane's side. It
// returns every frame that now has its final verdict, dropped ones too, in the
// order in which they are to leave: a frame that is held is not among them,
// and comes, as a copy, with the batch that releases it. The result is valid
// until the next Process or Flush. Process(nil, now) only lets time pass.
func (l *Lane) Process(frames []Frame, now Time) []*Frame {
	decided, _ := l.process(frames, now, math.MaxInt)
	return decided
}

// ProcessPart is Process for a worker that must not be busy for long: it may stop
// behind any frame, and returns how many of them it took, which is all of them but
// for a batch that is much work. The rest is for the next ProcessPart, after what
// was decided has left.
func (l *Lane) ProcessPart(frames []Frame, now Time) (decided []*Frame, taken int) {
	return l.process(frames, now, partWork)
}

func (l *Lane) process(frames []Frame, now Time, most int) (decided []*Frame, taken int) {
	l.begin(now)
	l.fragments.expire(l.now)
	l.expireHeld(l.now - controlHold)
	l.checkEarly()
	for i := range frames {
		l.decode(&frames[i])
	}
	for i := range frames {
		if frames[i].Packet.Kind == wire.EnhancedGRE {
			frames[i].slot = l.keymap.Touch(frames[i].hash)
		}
	}
	for taken < len(frames) && l.spent < most {
		l.decide(&frames[taken])
		taken++
	}
	l.release()
	return l.decided, taken
}

// Flush gives up the frames that are still held and returns them, dropped.
func (l *Lane) Flush(now Time) []*Frame {
	l.begin(now)
	l.fragments.flush()
	l.expireHeld(1<<63 - 1)
	l.expireEarly(1<<63 - 1)
	return l.decided
}

func (l *Lane) begin(now Time) {
	l.now = max(l.now, now)
	l.settings = l.t.settings.Load()
	l.ending = l.t.endings.count() != 0
	l.spent = 0
	clear(l.decided)
	l.decided = l.decided[:0]
	l.fragments.pen.recycle(l.t)
	l.octets = l.octets[:0]
}

// decode reads the frame and starts to work on its key, ahead of the decision.
func (l *Lane) decode(f *Frame) {
	f.Verdict, f.Reason, f.Call, f.Rewritten = 0, 0, 0, false
	f.Change.What = 0
	wire.Decode(f.Data, &f.Packet)
	if f.Packet.Kind == wire.EnhancedGRE {
		l.setGREKey(&f.key, &f.Packet)
		f.hash = l.keymap.Hash(&f.key)
	} else if f.Offload.GSOType != 0 {
		wire.DecodeSuper(f.Data, &f.Packet)
	}
}

// release unlocks what is still locked of the key map.
func (l *Lane) release() {
	if l.shard != nil {
		l.shard.Unlock()
		l.shard = nil
	}
}

// decide gives the frame its verdict and puts it, unless it is held, and what
// it releases into l.decided.
func (l *Lane) decide(f *Frame) {
	p := &f.Packet
	if p.Kind != wire.EnhancedGRE || p.Fragment {
		l.release()
	}
	switch {
	case f.Truncated:
		f.decide(Drop, ReasonTruncated)
	case p.Kind == wire.LaterFragment:
		l.laterFragment(f)
	default:
		l.judge(f)
	}
	if f.Verdict != Hold {
		l.done(f)
		if p.Fragment && p.FragmentOffset == 0 {
			l.release()
			l.firstFragment(f)
		}
	}
	if l.ordered != nil {
		l.releaseOrdered(l.ordered)
		l.ordered = nil
	}
	if p.Kind != wire.EnhancedGRE {
		l.afterControl()
	}
}

// afterControl decides about what waited for the frame, which may be a segment
// of a control connection.
func (l *Lane) afterControl() {
	if l.goal.serial != 0 {
		l.releaseEarly()
	}
	if len(l.freed) != 0 {
		l.releaseAnswered()
	}
}

// done hands a frame on that has its final verdict.
func (l *Lane) done(f *Frame) {
	if f.Verdict == Drop {
		l.ReportDrop(f)
	}
	l.decided = append(l.decided, f)
}

// judge gives a frame its verdict by what it carries.
func (l *Lane) judge(f *Frame) {
	policy := &l.settings.Policy
	switch f.Packet.Kind {
	case wire.TCP:
		if isControl(&f.Packet) {
			l.control(f)
			return
		}
		l.other(f)
	case wire.EnhancedGRE:
		l.gre(f)
	case wire.PlainGRE:
		l.switchedGRE(f, policy.GREv0, ReasonGREv0, ReasonGREv0Denied)
	case wire.OtherGRE:
		l.switchedGRE(f, policy.GREOther, ReasonGREOther, ReasonGREOtherDenied)
	case wire.OddGRE:
		if !l.stray(f) {
			f.choose(policy.AnyGRE, ReasonAnyGRE, ReasonGREVersion)
		}
	case wire.MalformedGRE:
		f.decide(Drop, ReasonMalformed)
		if f.Packet.Fragment {
			f.decide(Drop, ReasonFragmentTiny)
		}
	case wire.Pause:
		f.decide(Drop, ReasonPause)
	case wire.OtherIP:
		if f.Packet.FirstFragment() && (l.mayHideControl(&f.Packet) || hidesControl(&f.Packet)) {
			f.decide(Drop, ReasonFragmentTiny)
			return
		}
		l.other(f)
	default:
		l.other(f)
	}
}

// hidesControl tells a fragment whose TCP header is cut, but for its ports: of a
// control connection. No sender makes one so short (RFC 1858).
func hidesControl(p *wire.Packet) bool {
	return p.Kind == wire.OtherIP && p.Proto == wire.ProtocolTCP && isControl(p)
}

func isControl(p *wire.Packet) bool { return p.SrcPort == serverPort || p.DstPort == serverPort }

func (f *Frame) decide(v Verdict, r Reason) { f.Verdict, f.Reason = v, r }

// choose lets the frame pass for one reason or drops it for another.
func (f *Frame) choose(pass bool, why, whyNot Reason) {
	if pass {
		f.decide(Forward, why)
	} else {
		f.decide(Drop, whyNot)
	}
}

// gre decides about a GRE packet of RFC 2637: it passes if it belongs to an
// agreed call. One probe of the key map tells.
func (l *Lane) gre(f *Frame) {
	p := &f.Packet
	l.shard = l.keymap.Relock(l.shard, f.hash)
	e := l.shard.FindAt(f.slot, f.hash, &f.key)
	if e == nil || l.ending && l.t.endings.has(e.conn, e.serial) {
		l.unknownGRE(f)
		return
	}
	f.Call = e.serial
	if p.Faults != 0 && l.faulty(f) {
		return
	}
	f.decide(Forward, ReasonCall)
	if e.translates {
		l.translateGRE(f, e)
	}
	if e.take(p, l.now) {
		first := *e
		l.release()
		l.greSeen(&f.key, &first)
	}
}

// switchedGRE decides about GRE that is not PPTP's and that policy has a switch
// for: it passes for one reason or drops for another.
func (l *Lane) switchedGRE(f *Frame, action Action, why, whyNot Reason) {
	switch {
	case l.stray(f):
	case action == ActForward:
		f.decide(Forward, why)
	default:
		f.choose(l.settings.Policy.AnyGRE, ReasonAnyGRE, whyNot)
	}
}

// faulty counts a packet whose header is not as it should be and reports
// whether that drops it.
func (l *Lane) faulty(f *Frame) bool {
	l.count(AnomalyGREHeader)
	if l.settings.Policy.StrictGRE == ActDrop {
		f.decide(Drop, ReasonStrictGRE)
		return true
	}
	return false
}

// unknownGRE decides about GRE of no call that comes in by this side.
func (l *Lane) unknownGRE(f *Frame) {
	l.release()
	if !l.late && l.tooEarly(f) || l.stray(f) {
		return
	}
	if l.settings.Policy.AnyGRE {
		f.decide(Forward, ReasonAnyGRE)
		return
	}
	f.decide(Drop, ReasonNotNegotiated)
	mirrored := l.mirrored(&f.key)
	if e, ok := l.t.entry(&mirrored); ok {
		f.Call = e.serial
		f.decide(Drop, ReasonWrongSide)
		return
	}
	if l.settings.Policy.Adopt {
		l.adopt(f)
	}
	if f.Verdict == Drop {
		l.reportOtherAddress(f)
	}
}
