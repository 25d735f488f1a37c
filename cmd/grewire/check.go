package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/config"
)

const defaultConfig = "/etc/grewire/grewire.toml"

// report is what check finds.
type report struct {
	Config   string               `json:"config"`
	Ready    bool                 `json:"ready"`
	Faults   []faultJSON          `json:"faults,omitempty"` // of the configuration
	NICs     map[string]nicReport `json:"nics,omitempty"`   // by side
	Offloads []offloadJSON        `json:"offloads,omitempty"`
	Answers  []answerJSON         `json:"answers_arp_for,omitempty"`
	Problems []problemJSON        `json:"problems,omitempty"`
}

// offloadJSON is an offload that matters to the box.
type offloadJSON struct {
	Name    string `json:"name"` // as ethtool -K takes it
	LAN     bool   `json:"lan"`  // whether it is on there
	WAN     bool   `json:"wan"`
	Meaning string `json:"meaning"` // of its being on
}

type faultJSON struct {
	Line    int    `json:"line"`
	Key     string `json:"key"`
	Message string `json:"message"`
}

// nicReport says what a NIC is set to; of one that does not exist only the
// name.
type nicReport struct {
	Name      string         `json:"name"`
	Exists    bool           `json:"exists"`
	MAC       string         `json:"mac"`
	MTU       int            `json:"mtu"`
	Up        bool           `json:"up"`
	Carrier   bool           `json:"carrier"`
	Addresses []netip.Prefix `json:"addresses"` // link-local ones included
	Offloads  []string       `json:"offloads"`  // those that are on, see offloads of the report
	Driver    string         `json:"driver"`
	Memory    memoryReport   `json:"memory"` // of its port
}

type problemJSON struct {
	Severity string `json:"severity"` // "error" or "warning"
	NIC      string `json:"nic,omitempty"`
	Message  string `json:"message"`
	Advice   string `json:"advice,omitempty"`
}

func (p *program) check(_ context.Context, args []string) int {
	f := p.flags("check", "[-config FILE] [-json]",
		"Says whether a configuration is right (exit code 2 if it is not) and whether this\nmachine is ready for it (exit code 1 if it is not).\n")
	path := f.String("config", defaultConfig, "the configuration `FILE`")
	asJSON := f.Bool("json", false, "print a JSON object")
	if _, code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	r := report{Config: *path}
	conf, err := config.Load(*path)
	if err != nil {
		code := p.misconfigured("check", err)
		r.Faults = faultsOf(err)
		return max(code, p.report(&r, *asJSON))
	}
	m, err := inspect(conf)
	if err != nil {
		return p.failed("check", err)
	}
	r.add(conf, &m, nic.CapabilityCheck())
	r.addProblems(bypassProblem(conf))
	r.addProblems(surroundings(conf, &m))
	r.addWorkers(conf)
	r.addNAT(conf, &m)
	code := p.report(&r, *asJSON)
	if !r.Ready {
		return exitFailed
	}
	return code
}

// faultsOf lists what is wrong with a configuration; an error that is of no
// place in it has line 0.
func faultsOf(err error) (out []faultJSON) {
	faults, ok := errors.AsType[config.Faults](err)
	if !ok {
		faults = config.Faults{{Message: err.Error()}}
	}
	for _, f := range faults {
		out = append(out, faultJSON{f.Line, f.Key, f.Message})
	}
	return out
}

// add takes in the machine. That this process may not run the box is a
// warning only: another user may.
func (r *report) add(conf *config.Config, m *machine, capability error) {
	r.NICs = map[string]nicReport{"lan": reportNIC(conf, &m.lan), "wan": reportNIC(conf, &m.wan)}
	there := m.wan.Offloads.List()
	for i, o := range m.lan.Offloads.List() {
		r.Offloads = append(r.Offloads, offloadJSON{o.Name, o.On, there[i].On, o.Meaning})
	}
	for _, p := range m.problems {
		r.Problems = append(r.Problems, problemJSON{p.Severity.String(), p.NIC, p.Message, p.Advice})
	}
	if capability != nil {
		r.Problems = append(r.Problems, problemJSON{Severity: nic.Warning.String(), Message: "to run the box, this user is " + capability.Error()})
	}
	r.Ready = len(m.fatal()) == 0
}

func (r *report) addProblems(problems []problemJSON) {
	for _, p := range problems {
		r.Problems = append(r.Problems, p)
		r.Ready = r.Ready && p.Severity != nic.Fatal.String()
	}
}

func (r *report) addWorkers(conf *config.Config) {
	if message, advice := crowdedWorkers(&conf.Bridge, runtime.NumCPU()); message != "" {
		r.Problems = append(r.Problems, problemJSON{Severity: nic.Warning.String(), Message: message, Advice: advice})
	}
}

func reportNIC(conf *config.Config, n *nic.NIC) nicReport {
	r := nicReport{
		Name: n.Name, Exists: n.Exists, MAC: n.MAC.String(), MTU: n.MTU, Up: n.Up, Carrier: n.Carrier, Driver: n.Driver.Name,
		Addresses: append(append([]netip.Prefix{}, n.Addresses...), n.LinkLocal...), Offloads: []string{},
	}
	if n.Exists {
		r.Memory = reportMemory(&conf.Bridge, n)
	}
	for _, o := range n.Offloads.List() {
		if o.On {
			r.Offloads = append(r.Offloads, o.Name)
		}
	}
	return r
}

// report prints a report. The faults of a configuration have been printed
// where errors go.
func (p *program) report(r *report, asJSON bool) int {
	if asJSON {
		return p.printed("check", json.NewEncoder(p.out).Encode(r))
	}
	if len(r.Faults) > 0 {
		return exitOK
	}
	return p.printed("check", r.print(p.out))
}

func (r *report) print(out io.Writer) error {
	fmt.Fprintf(out, "%s: the configuration is right\n\n", r.Config)
	if err := errors.Join(r.printNICs(newTable(out)), r.printOffloads(newTable(out))); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := errors.Join(r.printMemory(out), r.printAnswers(out)); err != nil {
		return err
	}
	for _, p := range r.Problems {
		fmt.Fprintln(out, p)
	}
	verdict := "ready"
	if !r.Ready {
		verdict = "not ready"
	}
	_, err := fmt.Fprintln(out, verdict)
	return err
}

func (r *report) printNICs(table *tabwriter.Writer) error {
	fmt.Fprintln(table, "SIDE\tNIC\tMAC\tMTU\tUP\tCARRIER\tADDRESSES\tDRIVER")
	for _, side := range sideNames {
		n := r.NICs[side]
		if !n.Exists {
			fmt.Fprintf(table, "%s\t%s\tthere is no such NIC\n", side, n.Name)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", side, n.Name, n.MAC, n.MTU, yes(n.Up), yes(n.Carrier),
			list(n.Addresses), list([]string{n.Driver}))
	}
	return table.Flush()
}

// printOffloads lists what is on anywhere, and LRO always: it must be off.
func (r *report) printOffloads(table *tabwriter.Writer) error {
	fmt.Fprintln(table, "\nOFFLOAD\tLAN\tWAN\tMEANING")
	for _, o := range r.Offloads {
		if o.LAN || o.WAN || o.Name == "lro" {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", o.Name, onOff(o.LAN), onOff(o.WAN), o.Meaning)
		}
	}
	return table.Flush()
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// String is the problem in one line.
func (p problemJSON) String() string {
	s := p.Severity + ": "
	if p.NIC != "" {
		s += p.NIC + ": "
	}
	s += p.Message
	if p.Advice != "" {
		s += "; " + p.Advice
	}
	return s
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// list joins what is there, or says that nothing is.
func list[T any](all []T) string {
	s := strings.Trim(strings.ReplaceAll(fmt.Sprint(all), " ", ","), "[]")
	if s == "" {
		return "-"
	}
	return printable(s)
}
