package track

import "github.com/grewire/grewire/track/flow"

// fragments are the fragmented datagrams that a Lane follows.
type fragments struct {
	lane     *Lane
	known    map[flow.Key]*datagram
	waiting  datagramList // first fragment not there, by age
	followed datagramList // first fragment there, by its age
	refused  datagramList // first fragment there, and dropped
	shares   shares       // who has waiting and followed
	spare    []*datagram
	pen      pen
}

// datagramList is a queue of datagrams that any can leave.
type datagramList struct {
	head, tail *datagram
	n          int
}

// listed says which of the lists that a datagram can be in at a time.
type listed uint8

const (
	byAge listed = iota
	byClass
	byPair
	byCall
	lists
)

// inList is a datagram's place in a list.
type inList struct {
	list       *datagramList
	prev, next *datagram
}

func (q *datagramList) push(d *datagram, by listed) {
	q.n++
	d.in[by] = inList{q, q.tail, nil}
	if q.tail != nil {
		q.tail.in[by].next = d
	} else {
		q.head = d
	}
	q.tail = d
}

// unlist takes d out of a list that it is in, if it is.
func (d *datagram) unlist(by listed) {
	at := d.in[by]
	q := at.list
	if q == nil {
		return
	}
	q.n--
	if at.prev != nil {
		at.prev.in[by].next = at.next
	} else {
		q.head = at.next
	}
	if at.next != nil {
		at.next.in[by].prev = at.prev
	} else {
		q.tail = at.prev
	}
	d.in[by] = inList{}
}

func (s *fragments) init(l *Lane) {
	*s = fragments{lane: l, known: make(map[flow.Key]*datagram), shares: shares{known: make(map[shareKey]*share)}}
}

// wait begins to know a datagram whose first fragment is not there. It returns nil
// if its owner has its share.
func (s *fragments) wait(key flow.Key, owner shareKey) *datagram {
	if s.shares.hasMore(owner, s.free(owner)) != nil || !s.makePlace(owner) {
		s.lane.limit("fragments")
		return nil
	}
	d := s.start(key)
	s.shares.enter(d, owner)
	s.enlist(d, &s.waiting)
	return d
}

// follow begins to know a datagram whose first fragment is there, or returns nil if
// there is no place. One that is dropped takes no place that another could have.
func (s *fragments) follow(key flow.Key, owner shareKey, verdict Verdict) *datagram {
	switch {
	case !verdict.Passes():
		if len(s.known) >= s.room() && s.refused.head == nil {
			return nil
		}
		s.dropRefused()
	case !s.makePlace(owner):
		s.lane.limit("fragments")
		return nil
	}
	d := s.start(key)
	s.found(d, owner, verdict)
	return d
}

// found notes that the first fragment of a datagram is there, and whose it is.
func (s *fragments) found(d *datagram, owner shareKey, verdict Verdict) {
	s.shares.hold(d, -d.cost) // what is held leaves with the first
	s.shares.leave(d)
	if !verdict.Passes() {
		s.enlist(d, &s.refused)
		return
	}
	s.shares.enter(d, owner)
	s.enlist(d, &s.followed)
}

func (s *fragments) room() int { return s.lane.settings.fragmentsOfLane() }

// free is how many places an owner of this class could still have.
func (s *fragments) free(owner shareKey) int {
	class, room := &s.shares.class, s.room()
	free := room - class[ours].n - class[strangers].n
	if owner.stranger {
		free = min(free, max(room/2, 1)-class[strangers].n)
	}
	return max(free, 0)
}

// makePlace has a datagram leave, if one has to, for another of this owner. It
// reports false if none can.
func (s *fragments) makePlace(owner shareKey) bool {
	free := s.free(owner)
	if old := s.shares.hasMore(owner, free); old != nil {
		s.evict(old)
	} else if free == 0 {
		old := s.shares.class[classOf(owner.stranger)].head
		if old == nil {
			old = s.shares.class[ours].head
		}
		if old == nil {
			return false
		}
		s.evict(old)
	}
	s.dropRefused()
	return len(s.known) < s.room()
}

// evict gives up a datagram for another.
func (s *fragments) evict(d *datagram) {
	s.lane.limit("fragments")
	s.giveUp(d, ReasonFragmentLimit)
}

// dropRefused gives up the oldest of those that are dropped anyway, if there is no
// place else.
func (s *fragments) dropRefused() {
	if len(s.known) >= s.room() && s.refused.head != nil {
		s.forget(s.refused.head)
	}
}

// start makes the record of a datagram.
func (s *fragments) start(key flow.Key) *datagram {
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

func (s *fragments) enlist(d *datagram, q *datagramList) {
	d.unlist(byAge)
	d.since = s.lane.now
	q.push(d, byAge)
}

// giveUp ends the following of a datagram, and drops what is held of it.
func (s *fragments) giveUp(d *datagram, why Reason) {
	s.orphan(d, why)
	s.forget(d)
}

// forget ends the following of a datagram of which nothing is held.
func (s *fragments) forget(d *datagram) {
	s.shares.leave(d)
	d.unlist(byAge)
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
		s.giveUp(d, ReasonFragmentOrphan)
	}
}

// orphan drops the frames that are held for another part of d.
func (s *fragments) orphan(d *datagram, why Reason) {
	for i, f := range d.held {
		d.held[i] = nil
		s.pen.leave(f)
		f.decide(Drop, why)
		s.lane.done(f)
	}
	s.emptied(d)
}

// emptied takes note that nothing is held any more, and keeps little room.
func (s *fragments) emptied(d *datagram) {
	s.shares.hold(d, -d.cost)
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
