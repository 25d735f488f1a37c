package track

import "github.com/grewire/grewire/track/flow"

// fragments are the fragmented datagrams that a Lane follows.
type fragments struct {
	lane     *Lane
	known    map[flow.Key]*datagram
	waiting  datagramList // first fragment not there, by age
	followed datagramList // first fragment there, by its age
	refused  datagramList // first fragment there, and dropped
	ofCalls  int          // how many of followed are GRE of a call
	spare    []*datagram
	pen      pen
}

// datagramList is a queue of datagrams that any can leave.
type datagramList struct {
	head, tail *datagram
	n          int
}

func (q *datagramList) push(d *datagram) {
	q.n++
	d.list, d.prev, d.next = q, q.tail, nil
	if q.tail != nil {
		q.tail.next = d
	} else {
		q.head = d
	}
	q.tail = d
}

// unlist takes d out of the list it is in, if any.
func (d *datagram) unlist() {
	q := d.list
	if q == nil {
		return
	}
	q.n--
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		q.head = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		q.tail = d.prev
	}
	d.list, d.prev, d.next = nil, nil, nil
}

func (s *fragments) init(l *Lane) {
	*s = fragments{lane: l, known: make(map[flow.Key]*datagram)}
}

// start begins to know a datagram, or returns nil if the limit is reached.
// Datagrams that are dropped anyway make room for others. Those of strangers,
// which wait or pass and are no GRE of a call, have half of the room: anybody
// can make them.
func (s *fragments) start(key flow.Key, stranger bool) *datagram {
	room := s.lane.settings.fragmentsOfLane()
	full := len(s.known) >= room
	crowded := stranger && s.waiting.n+s.followed.n-s.ofCalls >= max(room/2, 1)
	if crowded || full && s.refused.head == nil {
		s.lane.limit("fragments")
		return nil
	}
	if full {
		s.forget(s.refused.head)
	}
	var d *datagram
	if n := len(s.spare); n > 0 {
		d, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		d = new(datagram)
	}
	*d = datagram{key: key, held: d.held[:0]}
	s.known[key] = d
	s.lane.fragmentCount.Store(int64(len(s.known)))
	return d
}

// wait puts a datagram among those whose first fragment is not there.
func (s *fragments) wait(d *datagram) { s.enlist(d, &s.waiting) }

// follow puts a datagram among those whose first fragment is there.
func (s *fragments) follow(d *datagram) {
	if d.verdict == Drop {
		s.enlist(d, &s.refused)
	} else {
		s.enlist(d, &s.followed)
	}
}

func (s *fragments) enlist(d *datagram, q *datagramList) {
	d.unlist()
	d.since = s.lane.now
	q.push(d)
}

// forget ends the following of a datagram.
func (s *fragments) forget(d *datagram) {
	d.unlist()
	if d.gre.Kind != 0 {
		s.ofCalls--
	}
	delete(s.known, d.key)
	s.spare = append(s.spare, d)
	s.lane.fragmentCount.Store(int64(len(s.known)))
}

// expire gives up datagrams whose time is over, soon those whose first
// fragment did not come, later those that are not whole.
func (s *fragments) expire(now Time) {
	s.expireList(&s.waiting, now-fragmentHold)
	s.expireList(&s.followed, now-fragmentTimeout)
	s.expireList(&s.refused, now-fragmentTimeout)
}

// flush gives up all of them.
func (s *fragments) flush() {
	const end = Time(1<<63 - 1)
	s.expireList(&s.waiting, end)
	s.expireList(&s.followed, end)
	s.expireList(&s.refused, end)
}

func (s *fragments) expireList(q *datagramList, until Time) {
	for d := q.head; d != nil && d.since <= until; d = q.head {
		s.orphan(d)
		s.forget(d)
	}
}

// orphan drops the frames that are held for d's first fragment.
func (s *fragments) orphan(d *datagram) {
	for i, f := range d.held {
		d.held[i] = nil
		s.pen.leave(f)
		f.decide(Drop, ReasonFragmentOrphan)
		s.lane.done(f)
	}
	d.emptied()
}

// emptied takes note that nothing is held any more, and keeps little room.
func (d *datagram) emptied() {
	if d.held = d.held[:0]; cap(d.held) > maxPieces {
		d.held = nil
	}
}

// fragmentsUsed is the number of fragmented datagrams that are followed.
func (t *Tracker) fragmentsUsed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := int64(0)
	for _, l := range t.lanes {
		n += l.fragmentCount.Load()
	}
	return int(n)
}
