package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
)

// serverMain is what pptpd starts instead of pppd. Among pppd's arguments it
// looks for LOCAL:REMOTE, the addresses of both ends.
func serverMain(args []string) error {
	flags := flag.NewFlagSet("pppstub", flag.ContinueOnError)
	plan := pingFlags(flags)
	reports := flags.String("report", "", "append reports to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	local, remote, err := parseAddresses(flags.Args())
	if err != nil {
		return err
	}
	out, err := openReports(*reports)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := setRaw(int(os.Stdin.Fd())); err != nil {
		return err
	}
	s := newSession(os.Stdout, rand.Uint32())
	s.local, s.assign = local, remote
	l := &line{session: s, plan: *plan, report: writeReports(out)}
	l.run(readChunks(os.Stdin), nil) // signals end it the hard way, as they end a pppd that hangs
	l.say("end")
	return s.err
}

// parseAddresses finds the argument LOCAL:REMOTE.
func parseAddresses(args []string) (local, remote netip.Addr, err error) {
	for _, arg := range args {
		first, second, found := strings.Cut(arg, ":")
		if !found {
			continue
		}
		local, localErr := netip.ParseAddr(first)
		remote, remoteErr := netip.ParseAddr(second)
		if localErr == nil && remoteErr == nil && local.Is4() && remote.Is4() {
			return local, remote, nil
		}
	}
	return local, remote, fmt.Errorf("no LOCAL:REMOTE address pair among the arguments %q", args)
}

func openReports(path string) (*os.File, error) {
	if path == "" {
		path = os.DevNull
	}
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
}

// writeReports writes each report as one line, in one write, so that several
// servers can share a file.
func writeReports(w io.Writer) func(report) {
	encoder := json.NewEncoder(w)
	return func(r report) {
		if err := encoder.Encode(r); err != nil {
			fmt.Fprintln(os.Stderr, "pppstub: report:", err)
		}
	}
}
