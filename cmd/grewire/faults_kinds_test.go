package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// goodConfig is what the box starts with. Calls that were agreed while frames
// went past it are found by their GRE.
const goodConfig = "[policy]\nadopt = 'live-control'\n"

// goodReloads take effect and change nothing for the calls of the run;
// badReloads are refused: for a key, for what only a restart changes, for
// being no TOML, and for a file that ends early.
var (
	goodReloads = []string{
		goodConfig,
		goodConfig + "clients = ['10.77.0.0/24']\nstrict_gre = 'drop'\n[log]\nlevel = 'debug'\n",
		goodConfig + "[limits]\nconnections = 1000\ncalls = 500\n[timeouts]\ngre_stream = '1h'\npending_call = '20s'\n",
	}
	badReloads = []string{
		"[policy]\npptp = 'deny'\nclient = []\n", "[limits]\ncalls = 1000000\n[policy]\npptp = 'deny'\n",
		"[log]\nformat = 'text'\n[policy]\npptp = 'deny'\n", "[policy]\npptp = 'deny'\n}{", "[policy]\npptp = 'deny'\nadopt =",
	}
)

// fault is something that happens to the box, or mends what has happened.
type fault struct {
	name string
	do   func()
}

// breaks are the faults that are possible now.
func (l *faultLab) breaks(ends bool) (all []fault) {
	for side, state := range l.wires {
		if state == wireWhole {
			all = append(all, l.wireFaults(track.Side(side))...)
		}
	}
	if l.box == boxRuns {
		all = append(all, fault{"SIGSTOP", l.stopBox},
			fault{"good reload", l.reloadGood}, fault{"bad reload", l.reloadBad})
		if ends {
			all = append(all, fault{"SIGKILL", l.killBox}, fault{"restart", l.restartBox})
		}
	}
	if !l.forced && l.somewhere() {
		all = append(all, fault{"bypass on", func() { l.force(true) }})
	}
	if len(all) == 0 {
		return l.mends()
	}
	return all
}

// mends are what undoes faults, one for each that there is.
func (l *faultLab) mends() (all []fault) {
	for side, state := range l.wires {
		if state != wireWhole {
			all = append(all, fault{"wire mended " + track.Side(side).String(), func() { l.mendWire(track.Side(side)) }})
		}
	}
	switch l.box {
	case boxStopped:
		all = append(all, fault{"SIGCONT", l.continueBox})
	case boxDead:
		all = append(all, fault{"start", l.startBox})
	}
	if l.forced && l.somewhere() {
		all = append(all, fault{"bypass off", func() { l.force(false) }})
	}
	return all
}

// somewhere reports whether one NIC is there at least: what a bypass is kept by.
func (l *faultLab) somewhere() bool {
	return l.wires[track.LAN] != nicGone || l.wires[track.WAN] != nicGone
}

func (l *faultLab) wireFaults(side track.Side) []fault {
	put := func(state wireState, do func(string) error, nic string) func() {
		return func() {
			l.must(do(nic))
			l.wires[side] = state
		}
	}
	return []fault{
		{"cable pulled " + side.String(), put(cablePulled, l.switches[side].SetDown, boxPort)},
		{"NIC down " + side.String(), put(nicDown, l.top.Box.SetDown, boxNICs[side])},
		{"NIC deleted " + side.String(), put(nicGone, l.top.Box.Delete, boxNICs[side])},
	}
}

func (l *faultLab) mendWire(side track.Side) {
	l.t.Helper()
	switch l.wires[side] {
	case cablePulled:
		l.must(l.switches[side].SetUp(boxPort))
	case nicDown:
		l.must(l.top.Box.SetUp(boxNICs[side]))
	case nicGone:
		l.must(l.newPair(side))
	}
	l.wires[side] = wireWhole
}

func (l *faultLab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// newPair makes a NIC of the box anew, joined to its switch. It does not wait
// for its link, which may not come: link propagation may take it down at once.
func (l *faultLab) newPair(side track.Side) error {
	ns, attrs := l.switches[side], netlink.NewLinkAttrs()
	attrs.Name = boxNICs[side]
	file, err := os.Open(filepath.Join("/run/netns", ns.Name()))
	if err != nil {
		return err
	}
	defer file.Close()
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: boxPort, PeerNamespace: netlink.NsFd(file.Fd())}
	return errors.Join(l.top.Box.Netlink().LinkAdd(pair), join(ns, boxPort), l.top.Box.SetUp(boxNICs[side]))
}

// join puts a NIC of a switch into its bridge, and up.
func join(ns *bridgetest.Namespace, port string) error {
	links := ns.Netlink()
	bridge, err := links.LinkByName(bridgeNIC)
	if err != nil {
		return err
	}
	nic, err := links.LinkByName(port)
	if err != nil {
		return err
	}
	return errors.Join(links.LinkSetMaster(nic, bridge), links.LinkSetUp(nic))
}

// startBox starts a box: it needs both NICs, though not their links.
func (l *faultLab) startBox() {
	l.t.Helper()
	for side, state := range l.wires {
		if state == nicGone {
			l.do(fault{"wire mended " + track.Side(side).String(), func() { l.mendWire(track.Side(side)) }})
		}
	}
	l.configure(goodConfig)
	var err error
	l.process, err = l.top.Box.Start("env", "GODEBUG=gctrace=1", l.binary, "run", "-config", l.config)
	l.must(err)
	l.waitFor("carrying frames")
	l.box = boxRuns
	l.total.lives++
	if strings.Contains(l.process.Output(), "state-refused") {
		l.t.Errorf("the box refuses the state of the one before: %s", l.process.Output())
	}
}

func (l *faultLab) stopBox() {
	l.t.Helper()
	l.must(l.process.Signal(syscall.SIGSTOP))
	l.box = boxStopped
}

func (l *faultLab) continueBox() {
	l.t.Helper()
	l.must(l.process.Signal(syscall.SIGCONT))
	l.box = boxRuns
}

func (l *faultLab) killBox() {
	l.t.Helper()
	l.endLife()
	l.process.Kill()
	l.box = boxDead
}

// restartBox stops the box in good order and starts it again.
func (l *faultLab) restartBox() {
	l.t.Helper()
	l.endLife()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	if err := l.process.Stop(ctx); err != nil {
		l.t.Errorf("the box did not stop cleanly: %v", err)
	}
	l.startBox()
}

func (l *faultLab) reloadGood() {
	l.t.Helper()
	l.configure(goodReloads[l.random.IntN(len(goodReloads))])
	if l.random.IntN(2) == 0 { // both at once
		l.must(l.process.Signal(syscall.SIGHUP))
	}
	l.command(l.top.Box, 20*time.Second, l.binary, "reload", "-socket", l.socket)
}

func (l *faultLab) reloadBad() {
	l.t.Helper()
	l.configure(badReloads[l.random.IntN(len(badReloads))])
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	if out, err := l.top.Box.Run(ctx, l.binary, "reload", "-socket", l.socket); err == nil || ctx.Err() != nil {
		l.t.Errorf("a bad configuration is taken: %s, %v", out, ctx.Err())
	}
	l.configure(goodConfig)
}

// force begins or ends a forced bypass, whether the box runs or not. It must
// work at any time, also for the one NIC that is left.
func (l *faultLab) force(on bool) {
	l.t.Helper()
	what := map[bool]string{true: "on", false: "off"}[on]
	var s bypassStatus
	out := l.command(l.top.Box, 20*time.Second, l.binary, "bypass", what, "-json", "-config", l.config)
	l.must(json.Unmarshal([]byte(out), &s))
	if s.Forced != on {
		l.t.Errorf("bypass %s: %s", what, out)
	}
	l.forced = on
}
