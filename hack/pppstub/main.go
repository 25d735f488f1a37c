// Command pppstub stands in for pppd where there is no /dev/ppp: it speaks
// just enough PPP for a real pptpd and a real pptp to carry data.
//
//	pppstub [OPTIONS] TTY-ARGUMENTS…          started by pptpd, PPP on stdin and stdout
//	pppstub client [OPTIONS] SERVER [-- PPTP-ARGUMENTS…]
//
// The client opens a pseudo-terminal, runs pptp on it, brings PPP up, sends
// pings and waits for SIGTERM, at which it ends pptp. It writes one JSON
// object per line to stdout: "up" when PPP is up, "pinged" when the pings are
// done, "asked" at every SIGUSR1, "end" at the end.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "client" {
		err = clientMain(os.Args[2:])
	} else {
		err = serverMain(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pppstub:", err)
		os.Exit(1)
	}
}

// pingFlags adds the options that both modes have.
func pingFlags(flags *flag.FlagSet) *pingPlan {
	plan := &pingPlan{sizes: []int{56}}
	flags.IntVar(&plan.count, "pings", 0, "how many echo requests to send; -1: until the end")
	flags.DurationVar(&plan.interval, "interval", 100*time.Millisecond, "between two echo requests")
	flags.Func("sizes", "payload octets of the echo requests, comma-separated, in turn (default 56)", func(list string) error {
		var err error
		plan.sizes, err = parseSizes(list)
		return err
	})
	return plan
}

// maxPing is the payload that fits into the MRU asked for.
const maxPing = mru - ipv4HeaderLength - icmpHeaderLength

func parseSizes(list string) ([]int, error) {
	var sizes []int
	for field := range strings.SplitSeq(list, ",") {
		size, err := strconv.Atoi(field)
		if err != nil || size < 0 || size > maxPing {
			return nil, fmt.Errorf("size %q: want a number from 0 to %d", field, maxPing)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// readChunks hands what it reads to the channel it returns, which is closed
// at the end of the input.
func readChunks(r io.Reader) <-chan []byte {
	chunks := make(chan []byte)
	go func() {
		defer close(chunks)
		for {
			buf := make([]byte, 4096)
			n, err := r.Read(buf)
			if n > 0 {
				chunks <- buf[:n]
			}
			if err != nil {
				return // EOF, or EIO from a terminal whose other end is closed
			}
		}
	}()
	return chunks
}
