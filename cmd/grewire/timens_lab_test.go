package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/grewire/grewire/bridge/bypass"
)

// TestLabTimeNamespace: a box that fails open and whose CLOCK_MONOTONIC is not
// the kernel's (time_namespaces(7)) carries frames while it moves, and lets them
// past while it does not. So does one that takes over from a box with another clock.
func TestLabTimeNamespace(t *testing.T) {
	t.Parallel()
	b := newBypassLab(t, "open")
	for _, offset := range []string{"1000", uptimeBack(t)} {
		b.start("unshare", "--time", "--monotonic", offset)
		if b.streams[0] == nil {
			b.stream()
		}
		b.until("carrying with offset "+offset, carried)
		before := b.redirected()
		b.flow(400)
		if after := b.redirected(); after != before {
			t.Errorf("offset %s: %d frames went past a box that moves", offset, after-before)
		}
		b.signal(syscall.SIGSTOP)
		b.until("past a stopped box with offset "+offset, bothBecause(bypass.CauseNoHeartbeat))
		b.flow(400)
		b.signal(syscall.SIGCONT)
		b.until("carrying again with offset "+offset, carried)
		b.flow(400)
		b.process.Kill()
		b.until("past a killed box with offset "+offset, bothBecause(bypass.CauseNoHeartbeat))
		b.flow(400)
	}
	b.finish()
}

// redirected is how many frames went past the box.
func (b *bypassLab) redirected() (n uint64) {
	b.t.Helper()
	for _, side := range b.bypass("status").Sides {
		n += side.Redirected.Frames
	}
	return n
}

// uptimeBack is the offset that makes a clock half as old as the machine.
func uptimeBack(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	seconds, _, _ := strings.Cut(string(text), ".")
	var uptime int
	if _, err := fmt.Sscan(seconds, &uptime); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(-uptime / 2)
}
