package main

import (
	"os"
	"strings"
	"testing"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/bypass"
)

// remove removes both NICs of the box.
func (b *bypassLab) remove() {
	b.t.Helper()
	for _, name := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
		if err := b.top.Box.Delete(name); err != nil {
			b.t.Fatal(err)
		}
	}
}

// replug makes both NICs anew, with the hosts at their other ends.
func (b *bypassLab) replug() {
	b.t.Helper()
	for _, end := range []struct {
		host      *bridgetest.Namespace
		nic, addr string
	}{{b.top.Client, bridgetest.LANNIC, bridgetest.ClientAddr(0)}, {b.top.Server, bridgetest.WANNIC, bridgetest.ServerAddr}} {
		if err := b.top.Lab.Veth(end.host, bridgetest.HostNIC, b.top.Box, end.nic); err != nil {
			b.t.Fatal(err)
		}
		if err := end.host.Address(bridgetest.HostNIC, end.addr+"/24"); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestLabBypassNoNIC: a bypass can be ended while both NICs are gone, with a box
// and without; they come back without it.
func TestLabBypassNoNIC(t *testing.T) {
	t.Parallel()
	b := newBypassLab(t, "closed")
	b.start()
	if s := b.bypass("on"); !s.Forced {
		t.Fatalf("bypass on: %+v", s)
	}
	b.event("bypass-on frames from lan (forced)")
	b.remove()
	b.event("nic-gone (lan)")
	b.event("nic-gone (wan)")
	if out, err := b.top.Box.Run(t.Context(), b.binary, "bypass", "on", "-config", b.config); err == nil || !strings.Contains(out, "there is neither a NIC") {
		t.Errorf("bypass on without NICs: %v, %s", err, out)
	}
	if s := b.bypass("off"); !s.Running || s.Forced || s.Bypassing() {
		t.Errorf("bypass off without NICs: %+v", s)
	}
	b.event("bypass-off frames from lan (forced)")
	b.replug()
	b.until("carrying again", func(s bypassStatus) bool {
		return s.Running && s.Sides["lan"].Attached && s.Sides["wan"].Attached && carried(s)
	})
	if s := b.bypass("status"); s.Forced || b.promiscuous() {
		t.Errorf("the NICs came back with the bypass: %+v, promiscuous %v", s, b.promiscuous())
	}
	b.ping()

	// Without any box it is the record that the next box would believe.
	b.bypass("on")
	b.process.Kill()
	b.remove()
	if s := b.bypass("off"); s.Running || s.Forced {
		t.Errorf("bypass off without NICs and box: %+v", s)
	}
	b.replug()
	b.start("setpriv", "--bounding-set", "-sys_admin") // which cannot look at the NICs
	b.until("carrying again", func(s bypassStatus) bool { return s.Running && carried(s) })
	if s := b.bypass("status"); s.Forced || s.Sides["lan"].Cause == bypass.CauseForced {
		t.Errorf("the next box believes in a bypass that was ended: %+v", s)
	}
	b.stop()
	text, err := os.ReadFile(strings.TrimSuffix(b.socket, ".sock") + ".bypass")
	if err != nil || strings.Contains(string(text), `"forced"`) {
		t.Errorf("the record says %s, %v", text, err)
	}
}
