package main

import (
	"os"
	"time"
)

// pingGrace is how long the last echo request may stay unanswered.
const pingGrace = 2 * time.Second

// tickEvery is how often a line looks at the time.
const tickEvery = 10 * time.Millisecond

// pingPlan says which echo requests to send once PPP is up.
type pingPlan struct {
	count    int // -1: until the end
	sizes    []int
	interval time.Duration
}

// report is a line of output.
type report struct {
	Event     string `json:"event"` // "up", "pinged", "asked" or "end"
	Local     string `json:"local,omitempty"`
	Peer      string `json:"peer,omitempty"`
	Sent      int    `json:"sent"`       // echo requests
	Answered  int    `json:"answered"`   // echo replies to them
	Requests  int    `json:"requests"`   // echo requests of the peer, all answered
	LCPEchoes int    `json:"lcp_echoes"` // LCP Echo-Replies received
	BadFrames int    `json:"bad_frames"` // with a wrong check sequence
	Exit      string `json:"exit,omitempty"`
}

// line runs a session over a terminal: it has the clock.
type line struct {
	session *session
	frames  deframer
	plan    pingPlan
	report  func(report)
	asked   <-chan os.Signal // "how is it?"; nil: nobody asks

	wasUp, pinged bool
	sent          int
	next          time.Time // when the next echo request is due
}

// run carries the session until the input or the link ends, writing fails,
// or stop is closed.
func (l *line) run(input <-chan []byte, stop <-chan struct{}) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for !l.session.ended && l.session.err == nil {
		select {
		case octets, ok := <-input:
			if !ok {
				return
			}
			l.frames.feed(octets, l.session.receive)
		case <-tick.C:
		case <-l.asked:
			l.say("asked")
		case <-stop:
			return
		}
		l.advance(time.Now())
	}
}

func (l *line) advance(now time.Time) {
	l.session.tick(now)
	if !l.session.up() {
		return
	}
	if !l.wasUp {
		l.wasUp, l.next = true, now
		l.say("up")
	}
	endless := l.plan.count < 0
	if l.session.askedAgain && !endless {
		l.startOver(now)
	}
	if (endless || l.sent < l.plan.count) && !now.Before(l.next) {
		l.session.ping(uint16(l.sent), l.plan.sizes[l.sent%len(l.plan.sizes)])
		l.sent++
		l.next = now.Add(l.plan.interval)
	}
	if !endless && !l.pinged && l.sent == l.plan.count && l.answeredOrLate(now) {
		l.pinged = true
		l.session.echo()
		l.say("pinged")
	}
}

// startOver sends all echo requests again: the peer was not up to see them.
func (l *line) startOver(now time.Time) {
	s := l.session
	clear(s.answered)
	s.askedAgain, s.replyCount = false, 0
	l.sent, l.pinged, l.next = 0, false, now
}

func (l *line) answeredOrLate(now time.Time) bool {
	lastSent := l.next.Add(-l.plan.interval)
	return l.session.replyCount >= l.sent || now.Sub(lastSent) > pingGrace
}

func (l *line) say(event string) { l.report(l.state(event)) }

func (l *line) state(event string) report {
	s := l.session
	r := report{
		Event: event, Sent: l.sent, Answered: s.replyCount, Requests: s.requests,
		LCPEchoes: s.lcpEchoes, BadFrames: l.frames.bad,
	}
	if l.wasUp {
		r.Local, r.Peer = s.local.String(), s.remote.String()
	}
	return r
}
