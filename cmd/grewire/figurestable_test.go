package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// figures are what TestLabFigures has measured so far.
type figures struct {
	t       *testing.T
	devices []*device // the first is the Linux bridge
	rows    []string  // in the order of their first value
	values  map[string]map[*device][]float64
}

func newFigures(t *testing.T, devices []*device) *figures {
	return &figures{t: t, devices: devices, values: make(map[string]map[*device][]float64)}
}

// boxes are the devices that are compared with the Linux bridge.
func (f *figures) boxes() []*device { return f.devices[1:] }

func (f *figures) note(row string, d *device, value float64) {
	if f.values[row] == nil {
		f.values[row] = make(map[*device][]float64)
		f.rows = append(f.rows, row)
	}
	f.values[row][d] = append(f.values[row][d], value)
}

// checkComplete checks that every figure was measured in every round.
func (f *figures) checkComplete(rounds int) {
	f.t.Helper()
	if len(f.rows) == 0 {
		f.t.Error("nothing was measured")
	}
	for _, row := range f.rows {
		for _, d := range f.boxes() {
			if n := len(f.values[row][d]); n == 0 || n%rounds != 0 {
				f.t.Errorf("%s, %s: %d values in %d rounds", d.name, row, n, rounds)
			}
		}
	}
}

// print prints medians, the least and the most of all rounds, and how often the
// Linux bridge's median a box's is.
func (f *figures) print() {
	f.t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "go test ./cmd/grewire -run TestLabFigures -v -args -figures %v\n%s\n", *measured, machineText())
	fmt.Fprintln(&text, "delays: GRE frames of 60 octets, from before the client's send call until the server's NIC has them")
	fmt.Fprintln(&text, "medians (least to most) of all rounds; x: how often the Linux bridge's")
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, d := range f.devices {
		fmt.Fprintf(table, "\t%s", d.name)
	}
	fmt.Fprintln(table)
	for _, row := range f.rows {
		fmt.Fprint(table, row)
		base := median(f.values[row][f.devices[0]])
		for _, d := range f.devices {
			fmt.Fprintf(table, "\t%s", cell(f.values[row][d], base))
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		f.t.Error(err)
	}
	f.t.Logf("\n%s", text.String())
}

func cell(values []float64, base float64) string {
	if len(values) == 0 {
		return "-"
	}
	s := fmt.Sprintf("%.4g (%.3g to %.3g)", median(values), slices.Min(values), slices.Max(values))
	if base > 0 {
		s += fmt.Sprintf(" x%.2f", median(values)/base)
	}
	return s
}

// median returns the one in the middle, of an even number the greater of two; 0
// of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// machineText says where the figures are from.
func machineText() string {
	model, load := "unknown CPU", "unknown"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text); m != nil {
			model = string(m[1])
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(text), " ")
	}
	var name unix.Utsname
	_ = unix.Uname(&name) // cannot fail: the structure is there
	return fmt.Sprintf("%d CPUs (%s), Linux %s, %s, load average %s", runtime.NumCPU(), model, unix.ByteSliceToString(name.Release[:]), runtime.Version(), load)
}
