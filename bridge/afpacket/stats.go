package afpacket

// Plus returns the sum of two ports' counters, or of the same NIC's before and
// after it was opened again.
func (s Stats) Plus(t Stats) Stats {
	s.Received += t.Received
	s.Sent += t.Sent
	s.Truncated += t.Truncated
	s.Drops += t.Drops
	s.Unreadable += t.Unreadable
	s.Refused += t.Refused
	s.Copied += t.Copied
	s.Freezes += t.Freezes
	return s
}
