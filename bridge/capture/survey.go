package capture

import (
	"slices"

	"github.com/grewire/grewire/track/flow"
	"github.com/grewire/grewire/track/wire"
)

const (
	portPPTP = 1723

	// maxSurvey bounds what a Survey remembers of each kind; what comes after
	// is judged by the rest of the rule.
	maxSurvey = 1 << 16
)

// Survey reads captures ahead of their replay to find out who is on which
// side. Several files are surveyed in the order they will be replayed in.
type Survey struct {
	sides Sides
	first *ends // the first frame
	// opened and joined are the connections to port 1723, client first: those
	// whose opening is there and those met in mid-stream.
	opened, joined pairs
	stations       map[station]bool
}

// station is a host at a MAC address.
type station struct {
	host host
	mac  mac
}

// pairs is a list without repetitions.
type pairs struct {
	list [][2]host
	seen map[[2]host]bool
}

func (p *pairs) add(client, server host) {
	pair := [2]host{client, server}
	if p.seen[pair] || len(p.list) == maxSurvey {
		return
	}
	if p.seen == nil {
		p.seen = make(map[[2]host]bool)
	}
	p.seen[pair] = true
	p.list = append(p.list, pair)
}

// NewSurvey starts a survey. lan holds the user's IP prefixes and MAC
// addresses of the LAN, if any; the error names the one that is neither.
func NewSurvey(lan []string) (*Survey, error) {
	s := &Survey{
		sides: Sides{
			given:    make(map[mac]bool),
			hosts:    make(map[host]flow.Side),
			stations: make(map[mac]sideSet),
		},
		stations: make(map[station]bool),
	}
	return s, s.sides.parseLAN(lan)
}

// Read surveys one file to its end, a broken one as far as it can be read:
// its replay will find the same fault and report it. It returns what the file
// alone tells about checksums.
func (s *Survey) Read(r *Reader) *Checksums {
	checksums := newChecksums()
	for rec, err := r.Next(); err == nil; rec, err = r.Next() {
		s.add(&rec)
		checksums.add(&rec)
	}
	checksums.conclude()
	s.sides.named = s.sides.named || r.hasInterfaces("lan", "wan")
	return checksums
}

// add takes in what one frame tells.
func (s *Survey) add(rec *Record) {
	e := endsOf(rec.Data)
	if s.first == nil {
		s.first = &e
	}
	if s.sides.ruleTwo() {
		if tells(e.src) {
			s.sides.place(e.srcMAC, s.sides.asGiven(&e))
		}
		return
	}
	if e.kind != wire.TCP || (e.srcPort != portPPTP && e.dstPort != portPPTP) {
		return
	}
	s.connection(&e)
	s.at(station{e.src, e.srcMAC})
	s.at(station{e.dst, e.dstMAC})
}

func (s *Survey) connection(e *ends) {
	opening := e.flags&(wire.SYN|wire.ACK) == wire.SYN && e.dstPort == portPPTP
	switch {
	case opening:
		s.opened.add(e.src, e.dst)
	case e.dstPort == portPPTP:
		s.joined.add(e.src, e.dst)
	default:
		s.joined.add(e.dst, e.src)
	}
}

func (s *Survey) at(st station) {
	if len(s.stations) < maxSurvey {
		s.stations[st] = true
	}
}

// Sides returns what the survey found. The survey is over with it.
func (s *Survey) Sides() *Sides {
	if s.sides.ruleTwo() {
		return &s.sides
	}
	for _, pair := range slices.Concat(s.opened.list, s.joined.list) {
		s.sides.oppose(pair[0], pair[1])
	}
	for st := range s.stations {
		if side, ok := s.sides.hosts[st.host]; ok {
			s.sides.place(st.mac, side)
		}
	}
	if len(s.sides.hosts) == 0 && s.first != nil {
		s.sides.fromFirst(s.first)
	}
	return &s.sides
}

// oppose puts the ends of a connection on opposite sides, the client on the
// LAN if nothing is known of either.
func (s *Sides) oppose(client, server host) {
	clientSide, clientKnown := s.hosts[client]
	serverSide, serverKnown := s.hosts[server]
	switch {
	case client == server, clientKnown && serverKnown:
	case serverKnown:
		s.hosts[client] = serverSide.Other()
	case clientKnown:
		s.hosts[server] = clientSide.Other()
	default:
		s.hosts[client], s.hosts[server] = flow.LAN, flow.WAN
	}
}

// place notes that a station sent from a side. One that was seen on both (a
// router's, or of a capture without MAC addresses) tells nothing.
func (s *Sides) place(at mac, side flow.Side) {
	if at.unicast() && (s.stations[at] != 0 || len(s.stations) < maxSurvey) {
		s.stations[at] |= 1 << side
	}
}

// fromFirst goes by the first frame: its source is on the LAN.
func (s *Sides) fromFirst(e *ends) {
	s.place(e.srcMAC, flow.LAN)
	s.place(e.dstMAC, flow.WAN)
	if tells(e.src) {
		s.hosts[e.src] = flow.LAN
	}
	if tells(e.dst) && !e.dst.addr.IsMulticast() && e.dstMAC[0]&1 == 0 {
		s.hosts[e.dst] = flow.WAN
	}
}
