package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// jsonPrinter prints a JSON object a line.
type jsonPrinter struct{ *json.Encoder }

func newJSONPrinter(out io.Writer) *jsonPrinter { return &jsonPrinter{json.NewEncoder(out)} }

// frameJSON is the line of a frame.
type frameJSON struct {
	Frame     uint64        `json:"frame"`
	Time      string        `json:"time"` // RFC 3339 with nanoseconds
	Side      track.Side    `json:"side"`
	Verdict   track.Verdict `json:"verdict"`
	Rewritten bool          `json:"rewritten,omitempty"`
	Reason    track.Reason  `json:"reason"`
	Call      uint64        `json:"call,omitempty"`
	Zone      wire.Zone     `json:"zone"`
}

const rfc3339Nano = "2006-01-02T15:04:05.000000000Z07:00" // time.RFC3339Nano with all nine digits

func (*jsonPrinter) describe([]byte) string { return "" }

func (p *jsonPrinter) frame(o *outcome) error {
	return p.Encode(frameJSON{
		Frame: o.Frame, Time: o.Time.Format(rfc3339Nano), Side: o.Side,
		Verdict: o.Verdict, Rewritten: o.Rewritten, Reason: o.Reason, Call: o.Call, Zone: o.Zone,
	})
}

func (p *jsonPrinter) summary(s *summary) error {
	return p.Encode(struct {
		Summary *summary `json:"summary"`
	}{s})
}

// textPrinter prints a line for people.
type textPrinter struct{ out *bufio.Writer }

func (*textPrinter) describe(data []byte) string {
	f := track.Frame{Data: data}
	wire.Decode(data, &f.Packet)
	return describe(&f)
}

func (p *textPrinter) frame(o *outcome) error {
	call := ""
	if o.Call != 0 {
		call = fmt.Sprintf(" (call %d)", o.Call)
	}
	zone := ""
	if o.Zone != 0 {
		zone = " [" + o.Zone.String() + "]"
	}
	_, err := fmt.Fprintf(p.out, "%d %s %s %s %s%s:%s %s\n",
		o.Frame, o.Time.Format("15:04:05.000000"), o.Side, o.Verdict, o.Reason, call, zone, o.Text)
	return err
}

func (p *textPrinter) summary(s *summary) error {
	fmt.Fprintf(p.out, "\n%s: %d forwarded, %d rewritten, %d dropped\n", plural(s.Frames, "frame"), s.Forwarded, s.Rewritten, s.Dropped)
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(s.Reasons)) {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, s.Reasons[reason]))
	}
	fmt.Fprintf(p.out, "reasons: %s\n%s\n", strings.Join(reasons, ", "), plural(uint64(len(s.Calls)), "call"))
	if len(s.Calls) == 0 {
		return nil
	}
	fmt.Fprintln(p.out)
	return printCalls(p.out, s.Calls)
}
