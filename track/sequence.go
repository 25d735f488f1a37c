package track

// sequence follows the sequence numbers of one direction of a call: they start
// anywhere and grow by one per packet with payload (RFC 2637, section 4.1).
// Packets are never dropped for their number; they are counted.
type sequence struct {
	seen      uint64 // bit n: top-n was seen; 0 before the first
	top       uint32 // the highest number seen
	lost      uint32 // numbers skipped and not seen since
	reordered uint32 // numbers seen late, each filling a gap
	repeated  uint32 // numbers seen twice, or too late to tell
	jumps     uint32 // steps too far to be loss: a restart, or a forgery
	ack       uint32 // the last acknowledgement number; 0 before the first
}

// allSeen is where numbering starts: nothing before the first number is missed.
const allSeen = ^uint64(0)

// maxGap is how far numbers may step forward and still count as loss.
const maxGap = 1 << 16

func (s *sequence) packet(number uint32) {
	if s.seen == 0 {
		s.top, s.seen = number, allSeen
		return
	}
	switch step := int32(number - s.top); {
	case isJump(step):
		s.jumps++
		s.top, s.seen = number, allSeen
	case step > 0:
		s.lost += uint32(step) - 1
		s.seen = s.seen<<uint(step) | 1
		s.top = number
	default:
		s.late(uint(-step))
	}
}

// acknowledge takes an acknowledgement number: it follows the numbers of the
// other direction, so that what steps too far for those does for this one.
func (s *sequence) acknowledge(number uint32) {
	if s.ack != 0 && isJump(int32(number-s.ack)) {
		s.jumps++
	}
	s.ack = number
}

func isJump(step int32) bool { return step > maxGap || step < -maxGap }

// late takes a packet whose number is back below the top.
func (s *sequence) late(back uint) {
	bit := uint64(1) << back // 0 from 64 on
	if bit == 0 || s.seen&bit != 0 {
		s.repeated++
		return
	}
	s.seen |= bit
	s.lost--
	s.reordered++
}
