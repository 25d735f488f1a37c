package dut

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// Device is something that forwards frames between two NICs.
type Device struct {
	// Name is what it is called in flags and tables.
	Name string
	// About says in a sentence what it is.
	About string
	// MaxCalls is how many calls it can follow; 0: any number.
	MaxCalls int
	// OneCallEach: it follows one call per control connection.
	OneCallEach bool
	// Blind: it does not look at control connections, of which few are enough then.
	Blind bool
	// Translates: addresses and call IDs differ behind it.
	Translates bool

	start func(*Site) error
}

// Names of devices that others refer to.
const (
	NameBridge = "bridge"
	NameHelper = "helper"
)

// Bridge is a Linux bridge and nothing else. Where the kernel has br_netfilter its
// hooks are called for every frame, and find that they are off, which is a few percent
// of the bridge's time: they go with the module alone.
func Bridge() Device {
	about := "Linux bridge"
	if _, err := os.Stat("/proc/sys/net/bridge"); err == nil {
		about += ", br_netfilter there but off"
	}
	return Device{Name: NameBridge, About: about, Blind: true, start: (*Site).bridge}
}

// helperCalls is a bound on what anybody would wait for: every frame walks a
// list of all calls.
const helperCalls = 8192

// Helper is a Linux bridge whose IPv4 goes through conntrack with the PPTP helper.
func Helper() Device {
	return Device{
		Name: NameHelper, About: "Linux bridge, br_netfilter, nf_conntrack_pptp by an explicit ct helper rule, forward policy drop",
		MaxCalls: helperCalls, OneCallEach: true, start: (*Site).helper,
	}
}

// HelperRPS is the same with receive packet steering over all CPUs.
func HelperRPS() Device {
	d := Helper()
	d.Name, d.About = "helper-rps", d.About+"; RPS over all CPUs"
	d.start = func(s *Site) error {
		if err := s.helper(); err != nil {
			return err
		}
		return s.steer()
	}
	return d
}

// oneServer lets all calls be with one server, as they are here.
const oneServer = "[limits]\ncalls_per_host = 65536\nconnections_per_host = 16384\n"

// Grewire is the box with what a configuration says beside NICs and files; keys
// are lines of the table [bridge], tables any others but [limits].
func Grewire(name, binary, keys, tables string) Device {
	return Device{Name: name, About: "grewire run, " + keys, start: func(s *Site) error { return s.grewire(binary, keys, tables) }}
}

// TCPBridge is tcpbridge of Tcpreplay: a user-space bridge over libpcap.
func TCPBridge() Device {
	return Device{Name: "tcpbridge", About: "tcpbridge (Tcpreplay)", Blind: true, start: func(s *Site) error {
		return s.run("", "tcpbridge", "-i", bridgetest.LANNIC, "-I", bridgetest.WANNIC)
	}}
}

// Known returns the devices that can stand here: all of Linux's, grewire with
// each of its backends, and other tools that are installed. binary is grewire's.
func Known(binary string) []Device {
	all := []Device{
		Helper(), HelperRPS(), Bridge(),
		Grewire("grewire-ring", binary, `backend = "ring"`, ""),
		Grewire("grewire-mmsg", binary, `backend = "mmsg"`, ""),
		masquerade(binary),
	}
	if _, err := exec.LookPath("tcpbridge"); err == nil {
		all = append(all, TCPBridge())
	}
	return all
}

// masquerade is grewire with all calls behind one address.
func masquerade(binary string) Device {
	d := Grewire("grewire-masquerade", binary, `backend = "ring"`, "[nat]\nmode = \"masquerade\"\naddress = \"10.77.254.1\"\n")
	d.About += `, nat.mode = "masquerade"`
	d.Translates = true
	return d
}

// Named returns those of the devices that have the names, in their order.
func Named(all []Device, names []string) (found []Device, err error) {
	for _, name := range names {
		i := slices.IndexFunc(all, func(d Device) bool { return d.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no device %q here; there are %v", name, deviceNames(all))
		}
		found = append(found, all[i])
	}
	return found, nil
}

func deviceNames(all []Device) (names []string) {
	for _, d := range all {
		names = append(names, d.Name)
	}
	return names
}

func (s *Site) bridge() error { return s.top.BridgeBox() }

// steer spreads what both NICs receive over all CPUs.
func (s *Site) steer() error {
	mask := cpuMask(runtime.NumCPU())
	for _, nic := range []string{bridgetest.LANNIC, bridgetest.WANNIC} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		// ip netns exec mounts the namespace's own /sys.
		if _, err := s.top.Box.Run(ctx, "sh", "-c", fmt.Sprintf("echo %s > /sys/class/net/%s/queues/rx-0/rps_cpus", mask, nic)); err != nil {
			return fmt.Errorf("RPS: %w", err)
		}
	}
	return nil
}

// cpuMask is the first n CPUs as the kernel reads a set: words of 32 bits in
// hexadecimal, the highest first, and no word more than there are CPUs for.
func cpuMask(n int) string {
	const word = 32
	highest := (n-1)%word + 1
	mask := fmt.Sprintf("%x", uint64(1)<<highest-1)
	return mask + strings.Repeat(",ffffffff", (n-highest)/word)
}

// grewire runs the box with a configuration of its own.
func (s *Site) grewire(binary, keys, tables string) error {
	dir := s.lab.Dir()
	path := filepath.Join(dir, "grewire.toml")
	text := fmt.Sprintf("[bridge]\nlan = %q\nwan = %q\n%s\n[status]\nsocket = %q\nstate = %q\n[log]\nformat = \"text\"\n%s%s\n",
		bridgetest.LANNIC, bridgetest.WANNIC, keys, filepath.Join(dir, "grewire.sock"), filepath.Join(dir, "state", "calls"), oneServer, tables)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return s.run("carrying frames", binary, "run", "-config", path)
}

// patience is how long a device may take to start or to stop.
const patience = 20 * time.Second

// run starts a program in the device's namespace and waits until it says that it
// is ready; "" for one that says nothing.
func (s *Site) run(ready, program string, args ...string) (err error) {
	if s.process, err = s.top.Box.Start(program, args...); err != nil || ready == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.process.WaitOutput(ctx, ready)
}
