package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/config"
)

// portOptions is what a configuration says about ports.
func portOptions(c *config.Bridge) afpacket.Options {
	return afpacket.Options{
		Backend:  afpacket.Backend(c.Backend),
		RealTime: true, RingSlots: c.RingSlots, ReceiveBuffer: c.ReceiveBuffer, SendBuffer: c.SendBuffer, QdiscBypass: c.QdiscBypass,
	}
}

// makeRoomForWorkers gives all else in the process what the workers keep
// from it: one that looks for frames without sleeping holds its processor (in
// the Go scheduler's sense) as long, and the kernel shares out the real ones
// better.
func makeRoomForWorkers(perDirection int) {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2*perDirection)
}

// memoryReport is what the ports of a NIC may take together, in bytes.
type memoryReport struct {
	Ports   int `json:"ports"`   // one for each worker
	Ring    int `json:"ring"`    // taken at the start, 0 without a ring
	Receive int `json:"receive"` // at most
	Send    int `json:"send"`    // at most
	Frames  int `json:"frames"`  // at most
}

func reportMemory(c *config.Bridge, of *nic.NIC) memoryReport {
	m := portOptions(c).Memory(of.MTU)
	n := c.Workers
	return memoryReport{n, n * m.Ring, n * m.Receive, n * m.Send, n * m.Frames}
}

// printMemory prints what the ports take.
func (r *report) printMemory(out io.Writer) error {
	table := newTable(out)
	fmt.Fprintln(table, "MEMORY\tRING\tRECEIVE QUEUE\tSEND QUEUE\tLONG FRAMES\tPORTS")
	for _, side := range sideNames {
		if n := r.NICs[side]; n.Exists {
			m := n.Memory
			fmt.Fprintf(table, "%s\t%s\tup to %s\tup to %s\tup to %s\t%d\n", side, mebibytes(m.Ring), mebibytes(m.Receive), mebibytes(m.Send), mebibytes(m.Frames), m.Ports)
		}
	}
	fmt.Fprintln(table)
	return table.Flush()
}

func mebibytes[T int | uint64](n T) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
