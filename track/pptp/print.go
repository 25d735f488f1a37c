package pptp

import "fmt"

// Verbose returns m as tcpdump -v prints it: like String, with the header's
// fields first and a text beside every code.
func Verbose(m Message) string { return render(m, true) }

// render prints m on one line of printable ASCII.
func render(m Message, verbose bool) string {
	p := printer{verbose: verbose, b: []byte("pptp")}
	if verbose {
		p.b = fmt.Appendf(p.b, " Length=%d CTRL-MSG Magic-Cookie=%08x", encodedLength(m), uint32(MagicCookie))
	}
	p.b = fmt.Appendf(p.b, " CTRL_MSGTYPE=%s", m.ControlType().Abbreviation())
	p.number(reserved0, 2, uint32(m.common().Reserved0))
	m.walk(&p)
	return string(p.b)
}

// printer is the walker that makes a line of text.
type printer struct {
	b       []byte
	verbose bool
}

func (p *printer) number(f *field, _ int, value uint32) uint32 {
	switch {
	case f.tag != "":
		p.b = fmt.Appendf(p.b, " %s(%s)", f.tag, f.text(value, p.verbose))
	case value != 0:
		p.b = fmt.Appendf(p.b, " [ERROR: reserved=%d must be zero]", value)
	}
	return value
}

func (f *field) text(value uint32, verbose bool) string {
	if f.format == nil {
		return formatDecimal(value)
	}
	return f.format(value, verbose)
}

func (p *printer) octets(f *field, b []byte, shown int) {
	p.b = fmt.Appendf(p.b, " %s(", f.tag)
	p.b = appendEscaped(p.b, beforeZero(b[:min(shown, len(b))]))
	p.b = append(p.b, ')')
}
