package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/track"
)

// boxStats is what the running box answers to GET /stats.
type boxStats struct {
	bridge.Stats
	// EventsMissed counts what readers of events, the log among them, were too
	// slow for.
	EventsMissed uint64               `json:"events_missed"`
	Ports        map[string]portStats `json:"ports"` // by side
	Bypass       *bypass.Status       `json:"bypass,omitempty"`
}

// portStats are the counters of a NIC.
type portStats struct {
	NIC         string `json:"nic"`
	MTU         int    `json:"mtu"`
	Backend     string `json:"backend"` // "mmsg" or "ring"
	Received    uint64 `json:"received"`
	Sent        uint64 `json:"sent"`
	Copied      uint64 `json:"copied"`       // of received: too long for the ring
	KernelDrops uint64 `json:"kernel_drops"` // ring or receive buffer was full; not among the frames
	Freezes     uint64 `json:"freezes"`      // the kernel left the ring, which was set up anew
	Unreadable  uint64 `json:"unreadable"`   // super-frames of no known kind; not among the frames
	Truncated   uint64 `json:"truncated"`    // of received
	Refused     uint64 `json:"refused"`      // not sent for what they are
}

var sideNames = []string{track.LAN.String(), track.WAN.String()}

func printStats(out io.Writer, answer []byte) error {
	var s boxStats
	if err := json.Unmarshal(answer, &s); err != nil {
		return err
	}
	table := newTable(out)
	fmt.Fprintln(table, "FROM\tFRAMES\tFORWARDED\tREWRITTEN\tDROPPED\tOCTETS")
	for _, side := range sideNames {
		printTotals(table, side, s.Sides[side])
	}
	printTotals(table, "both", s.Totals)
	fmt.Fprintln(table, "\nREASON\tLAN\tWAN\tBOTH")
	for _, reason := range slices.Sorted(maps.Keys(s.Reasons)) {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", printable(reason), s.Sides[sideNames[0]].Reasons[reason], s.Sides[sideNames[1]].Reasons[reason], s.Reasons[reason])
	}
	fmt.Fprintln(table, "\nPORT\tNIC\tMTU\tBACKEND\tRECEIVED\tCOPIED\tSENT\tKERNEL DROPS\tFREEZES\tUNREADABLE\tTRUNCATED\tREFUSED")
	for _, side := range slices.Sorted(maps.Keys(s.Ports)) {
		p := s.Ports[side]
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n",
			printable(side), printable(p.NIC), p.MTU, printable(p.Backend), p.Received, p.Copied, p.Sent, p.KernelDrops, p.Freezes, p.Unreadable, p.Truncated, p.Refused)
	}
	if s.Bypass != nil {
		fmt.Fprintln(table)
		printBypass(table, s.Bypass)
	}
	fmt.Fprintln(table, "\nLIMIT\tUSED\tOF")
	for _, limit := range slices.Sorted(maps.Keys(s.Limits)) {
		fmt.Fprintf(table, "%s\t%d\t%d\n", printable(limit), s.Limits[limit].Used, s.Limits[limit].Limit)
	}
	printAnomalies(table, s.Anomalies)
	if s.EventsMissed > 0 {
		fmt.Fprintf(table, "\nEVENTS MISSED\n%d\n", s.EventsMissed)
	}
	return table.Flush()
}

func printTotals(out io.Writer, name string, t bridge.Totals) {
	fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\n", name, t.Frames, t.Forwarded, t.Rewritten, t.Dropped, t.Octets)
}

func printAnomalies(out io.Writer, anomalies map[string]uint64) {
	if len(anomalies) == 0 {
		return
	}
	fmt.Fprintln(out, "\nANOMALY\tSEEN")
	for _, anomaly := range slices.Sorted(maps.Keys(anomalies)) {
		fmt.Fprintf(out, "%s\t%d\n", printable(anomaly), anomalies[anomaly])
	}
}
