package main

import (
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

func newTable(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) }

const clock = "2006-01-02 15:04:05"

func printCalls(out io.Writer, calls []track.Call) error {
	table := newTable(out)
	fmt.Fprintln(table, "CALL\tZONE\tSTATE\tKIND\tPNS\tPAC\tLAN>WAN\tWAN>LAN\tLOST\tREORDERED\tSTARTED (UTC)\tFOR\tCONTROL (LAN, WAN)")
	for _, c := range calls {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n",
			c.ID, zoneText(c.Zone), c.State, printable(c.Kind), party(c.PNS), party(c.PAC), traffic(c.LANToWAN), traffic(c.WANToLAN),
			c.Lost, c.Reordered, c.Started.UTC().Format(clock), span(c.LastSeen.Sub(c.Started)), connection(c.Control))
	}
	return table.Flush()
}

func printExpectations(out io.Writer, expectations []track.Expectation) error {
	table := newTable(out)
	fmt.Fprintln(table, "CALL\tZONE\tFROM\tSOURCE\tDESTINATION\tCALL ID\tEXPIRES (UTC)")
	for _, e := range expectations {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%d\t%s\n",
			e.Call, zoneText(e.Zone), e.Side, e.Src, e.Dst, e.CallID, e.Expires.UTC().Format(clock))
	}
	return table.Flush()
}

func zoneText(zone wire.Zone) string {
	if zone == 0 {
		return "-"
	}
	return zone.String()
}

// party is an end of a call: "lan 192.0.2.1#7", with its call ID.
func party(p track.Party) string { return fmt.Sprintf("%s %s#%d", p.Side, p.Addr, p.CallID) }

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
