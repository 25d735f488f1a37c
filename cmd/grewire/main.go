// Command grewire is a bump in the wire for PPTP: it bridges a LAN and a WAN
// NIC, follows every PPTP control connection that crosses it, and lets through
// only the GRE that was negotiated. See "grewire help" for its commands.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or wrong configuration
)

// program is what a command may touch of the world around it.
type program struct {
	in       io.Reader
	out, err io.Writer
	// alone says that the process is this program's: then it may confine it.
	alone bool
}

// commands lists the commands in the order of the usage text.
func commands() []command {
	return []command{
		{"run", "carry frames between the two NICs", (*program).runBox},
		{"check", "is this configuration right, and is this machine ready?", (*program).check},
		{"replay", "play capture files through the engine; no root, no NIC", (*program).replay},
		{"calls", "list the running box's calls", (*program).calls},
		{"expectations", "list the GRE that is allowed but was not seen yet", (*program).expectations},
		{"stats", "show the running box's counters", (*program).stats},
		{"events", "follow what happens in the running box", (*program).events},
		{"reload", "have the running box read its configuration again", (*program).reload},
		{"bypass", "take the box out of the path of the frames, and back", (*program).bypass},
		{"bench", "measure how boxes forward GRE, this one beside others", (*program).bench},
		{"version", "say which grewire this is", (*program).version},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, alone: true}
	os.Exit(p.main(ctx, os.Args[1:]))
}
