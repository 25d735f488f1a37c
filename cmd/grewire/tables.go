package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

func newTable(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) }

const clock = "2006-01-02 15:04:05"

func printCalls(out io.Writer, calls []track.Call) error {
	table := newTable(out)
	fmt.Fprintln(table, "CALL\tZONE\tSTATE\tKIND\tPNS\tPAC\tALIAS\tLAN>WAN\tWAN>LAN\tLOST\tREORDERED\tSTARTED (UTC)\tFOR\tCONTROL (LAN, WAN)")
	for _, c := range calls {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n",
			c.ID, zoneText(c.Zone), c.State, printable(c.Kind), partyOf(&c, c.PNS), partyOf(&c, c.PAC), aliasText(c.Alias), traffic(c.LANToWAN), traffic(c.WANToLAN),
			c.Lost, c.Reordered, c.Started.UTC().Format(clock), span(c.LastSeen.Sub(c.Started)), connection(c.Control))
	}
	return table.Flush()
}

func printExpectations(out io.Writer, expectations []track.Expectation) error {
	table := newTable(out)
	fmt.Fprintln(table, "CALL\tZONE\tFROM\tSOURCE\tDESTINATION\tCALL ID\tALIAS\tEXPIRES (UTC)")
	for _, e := range expectations {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
			e.Call, zoneText(e.Zone), e.Side, e.Src, e.Dst, e.CallID, aliasText(e.Alias), e.Expires.UTC().Format(clock))
	}
	return table.Flush()
}

// aliasText is what the WAN sees of the LAN's end: "203.0.113.7#7".
func aliasText(a *track.Alias) string {
	if a == nil {
		return "-"
	}
	return fmt.Sprintf("%s#%d", a.Addr, a.CallID)
}

func zoneText(zone wire.Zone) string {
	if zone == 0 {
		return "-"
	}
	return zone.String()
}

// partyOf is an end of a call: "lan 192.0.2.1#7", with its call ID, or
// "lan 192.0.2.1#-" as long as it has assigned none.
func partyOf(c *track.Call, p track.Party) string {
	id := strconv.Itoa(int(p.CallID))
	if !assigned(c, p) {
		id = "-"
	}
	return fmt.Sprintf("%s %s#%s", p.Side, p.Addr, id)
}

// assigned reports whether a party has told its call ID. Who asks for a call
// tells its own with it; the other one, with the reply (RFC 2637, sections 2.7
// to 2.10). A call that never got that far shows 0 for it.
func assigned(c *track.Call, p track.Party) bool {
	answers := c.PAC
	if c.Kind == track.Incoming {
		answers = c.PNS
	}
	return c.State != track.CallRequested || p != answers || p.CallID != 0
}

func traffic(t track.Traffic) string { return fmt.Sprintf("%d (%s)", t.Packets, octets(t.Bytes)) }

func connection(c track.Control) string {
	return netip.AddrPortFrom(c.LANAddr, c.LANPort).String() + ", " + netip.AddrPortFrom(c.WANAddr, c.WANPort).String()
}

// octets writes a number of octets with three digits of precision.
func octets(n uint64) string {
	if n < 10_000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 1000 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.3g %cB", value, "kMGTPE"[unit])
}

// span writes a duration without digits nobody reads.
func span(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
