package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// natReport is what came of a story.
type natReport struct {
	kernel, grewire []natStep
	rules           map[string]int // differences that a rule explains
	problems        []string
}

// compareNAT looks at what the two made of a story: both have to be right by
// themselves, where no rule says otherwise, and alike.
func compareNAT(s natStory, kernel, grewire []natStep) *natReport {
	r := &natReport{kernel: kernel, grewire: grewire, rules: make(map[string]int)}
	if len(kernel) != len(grewire) {
		r.problem("the kernel plays %d steps, and grewire %d", len(kernel), len(grewire))
		return r
	}
	for i := range kernel {
		r.step(s, i)
	}
	r.unique()
	return r
}

func (r *natReport) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *natReport) step(s natStory, i int) {
	k, g := &r.kernel[i], &r.grewire[i]
	r.right(i, g)
	if k.out != nil && !soundFrame(k.out) {
		r.problem("step %d: the kernel's checksums are wrong: % x", i+1, k.out)
	}
	d := natDifference{kernel: k, grewire: g, others: s.conns}
	for _, f := range r.fields(k, g) {
		d.field = f
		at := slices.IndexFunc(natRules[:], func(rule natRule) bool { return rule.is(&d) })
		if at < 0 {
			r.problem("step %d: %s differs without a name", i+1, f)
			continue
		}
		r.rules[natRules[at].name]++
	}
}

// fields returns what differs: between what came out, and between what the kernel
// was given and what it made of it beyond what translation changes.
func (r *natReport) fields(k, g *natStep) (all []natField) {
	if k.reached != g.reached {
		all = append(all, fieldReached)
	}
	if k.out != nil && g.out != nil {
		all = append(all, differing(k.out, g.out)...)
	}
	if k.out != nil {
		for _, f := range differing(k.in, k.out) {
			if !slices.Contains(all, f) && !translates(k.side, f) {
				all = append(all, f)
			}
		}
	}
	return all
}

// translates reports whether masquerade may change a field of a frame from a side
// (design: the LAN's end has other names on the WAN, and nothing else changes).
func translates(side track.Side, f natField) bool {
	switch f {
	case fieldIPSum, fieldTCPSum:
		return true
	case fieldSrc, fieldIPSrc, fieldSrcPort, fieldCallID:
		return side == track.LAN
	case fieldDst, fieldIPDst, fieldDstPort, fieldPeerID, fieldGREKey:
		return side == track.WAN
	}
	return false
}

// right checks what grewire has made of a deed: it gets to the other end, if its
// call lives, and only what translation changes is changed.
func (r *natReport) right(i int, g *natStep) {
	if want := g.deed.act != natGRE || g.after == natSYN; g.reached != want {
		r.problem("step %d: grewire lets it reach the other end: %v, want %v", i+1, g.reached, want)
	}
	if g.out == nil {
		return
	}
	for _, f := range differing(g.in, g.out) {
		if !translates(g.side, f) {
			r.problem("step %d: grewire changes %s", i+1, f)
		}
	}
	if !soundFrame(g.out) {
		r.problem("step %d: grewire's checksums are wrong: % x", i+1, g.out)
	}
}

// unique checks that a peer on the WAN gets a different ID for every call that
// grewire makes known to it.
func (r *natReport) unique() {
	type name struct {
		peer Host
		id   uint16
	}
	has := make(map[name]int)
	for i, g := range r.grewire {
		if g.side != track.LAN || g.out == nil || g.deed.act < natSay || !assigns(read(packetOf(g.out)[tcpData:]).kind) {
			continue
		}
		n := name{g.conn.Answerer, value(g.out, fieldCallID)}
		if other, taken := has[n]; taken && other != g.deed.conn {
			r.problem("step %d: grewire gives %s the ID %d once more", i+1, n.peer, n.id)
		}
		has[n] = g.deed.conn
	}
}

// tcpData is where the data of a segment starts in the frames of stories.
const tcpData = ethernetHeader + 20 + 20

// soundFrame reports whether the checksums of IP and TCP are right.
func soundFrame(frame []byte) bool {
	var p wire.Packet
	wire.Decode(frame, &p)
	sum := uint32(0)
	for header := frame[p.L3:p.L4]; len(header) > 1; header = header[2:] {
		sum += uint32(binary.BigEndian.Uint16(header))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return sum == 0xffff && (p.Kind != wire.TCP || wire.TCPChecksumOK(frame, &p))
}

// String returns the story, a line for each deed, and what is wrong with it.
func (r *natReport) String() string {
	var b bytes.Buffer
	for i := range r.kernel {
		fmt.Fprintf(&b, "%4d %s: kernel %s", i+1, r.kernel[i].what(), r.kernel[i].fate())
		if i < len(r.grewire) {
			fmt.Fprintf(&b, "; grewire %s", r.grewire[i].fate())
		}
		b.WriteByte('\n')
	}
	for _, p := range r.problems {
		fmt.Fprintln(&b, "PROBLEM:", p)
	}
	return b.String()
}

// what says what a deed is.
func (s *natStep) what() string {
	text := [...]string{"SYN", "SYN ACK", "ACK", "FIN", "RST", "GRE"}[min(s.deed.act, natGRE)]
	if s.deed.act >= natSay {
		text = read(packetOf(s.in)[tcpData:]).String()
	}
	return fmt.Sprintf("#%d %s > %s %s", s.deed.conn, s.conn.At(s.deed.from), s.conn.At(s.deed.from.Other()), text)
}

// fate says what became of it.
func (s *natStep) fate() string {
	if s.out == nil {
		return "drops it"
	}
	text := "passes it"
	if !s.reached {
		text += " amiss"
	}
	var ids []string
	for _, f := range [...]natField{fieldCallID, fieldPeerID, fieldGREKey} {
		if from, to := value(s.in, f), value(s.out, f); from != to {
			ids = append(ids, fmt.Sprintf("%s %d is %d", f, from, to))
		}
	}
	return strings.TrimSpace(text + " " + strings.Join(ids, ", "))
}
