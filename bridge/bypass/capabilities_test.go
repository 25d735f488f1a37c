package bypass_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/bridge/bypass"
	"github.com/grewire/grewire/track"
)

// boxOrder is the environment variable that makes the test program a box
// without workers.
const boxOrder = "GREWIRE_TEST_BYPASS"

// order is what such a box does before it waits for its end.
type order struct {
	Record string
	Open   bool
	Force  string // "on" or "off"
	Stop   bool
}

func TestMain(m *testing.M) {
	if text := os.Getenv(boxOrder); text != "" {
		if err := obey([]byte(text)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// obey prints the status when it is done.
func obey(text []byte) error {
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	b, err := bypass.Open(bypass.Options{NICs: nics, Record: o.Record}, o.Open)
	if err == nil {
		err = errors.Join(b.Attach(track.LAN), b.Attach(track.WAN))
	}
	if err == nil && o.Force != "" {
		err = b.Force(o.Force == "on")
	}
	if err == nil && o.Stop {
		err = b.Stop()
	}
	if err != nil {
		return err
	}
	s, err := b.Status()
	if err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(s)); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// userLab is a lab whose boxes are processes of an ordinary user with the
// capabilities of the service.
type userLab struct {
	*lab
	record string
}

func newUserLab(t *testing.T) *userLab {
	t.Helper()
	l := &userLab{lab: newLab(t)}
	dir := filepath.Join(l.top.Lab.Dir(), "run")
	l.record = filepath.Join(dir, "grewire.bypass")
	for _, err := range []error{os.Chmod(l.top.Lab.Dir(), 0o755), os.Mkdir(dir, 0o755), os.Chown(dir, 65534, 65534)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// command is a box, to be started in the box's namespace.
func (l *userLab) command(o order) *exec.Cmd {
	l.t.Helper()
	o.Record = l.record
	text, err := json.Marshal(o)
	if err != nil {
		l.t.Fatal(err)
	}
	command := exec.Command("/proc/self/exe") // whoever runs it need not reach the directory it is in
	command.Env, command.Stderr = append(os.Environ(), boxOrder+"="+string(text)), os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: []uintptr{unix.CAP_NET_RAW, unix.CAP_NET_ADMIN, unix.CAP_BPF},
	}
	return command
}

// box runs a box until it has done as told, kills it, and returns what it said.
func (l *userLab) box(o order) (s bypass.Status) {
	l.t.Helper()
	command := l.command(o)
	l.inBox(func() error {
		in, err := command.StdinPipe() // closed with this process
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := command.StdoutPipe()
		if err != nil {
			return err
		}
		if err := command.Start(); err != nil {
			return err
		}
		said, _ := bufio.NewReader(out).ReadBytes('\n')
		_ = command.Process.Kill()
		_ = command.Wait()
		if err := json.Unmarshal(said, &s); err != nil {
			return fmt.Errorf("the box: %w: %q", err, said)
		}
		return nil
	})
	return s
}

// programs returns the IDs of a NIC's programs at a hook.
func (l *userLab) programs(name string, hook ebpf.AttachType) (ids []ebpf.ProgramID) {
	l.t.Helper()
	l.inBox(func() error {
		nic, err := indexOf(name)
		if err != nil {
			return err
		}
		query, err := link.QueryPrograms(link.QueryOptions{Target: nic, Attach: hook})
		if err == nil {
			for _, p := range query.Programs {
				ids = append(ids, p.ID)
			}
		}
		return err
	})
	return ids
}

// stranger puts programs of another product on every hook, one of them before
// all others, and returns their IDs.
func (l *userLab) stranger() (ids []ebpf.ProgramID) {
	l.t.Helper()
	l.inBox(func() error {
		for _, name := range nics {
			nic, err := indexOf(name)
			if err != nil {
				return err
			}
			for _, hook := range bothHooks {
				id, err := attachStranger(nic, hook)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
		}
		return nil
	})
	return ids
}

var bothHooks = []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress}

func attachStranger(ifindex int, hook ebpf.AttachType) (ebpf.ProgramID, error) {
	const next = -1 // TCX_NEXT
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "stranger", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, next), asm.Return()},
	})
	if err != nil {
		return 0, err
	}
	defer program.Close()
	if err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: ifindex, Program: program, Attach: hook, Anchor: link.Head()}); err != nil {
		return 0, err
	}
	info, err := program.Info()
	if err != nil {
		return 0, err
	}
	id, _ := info.ID()
	return id, nil
}

// ours checks how many programs every hook has beside the strangers'.
func (l *userLab) ours(strangers []ebpf.ProgramID, want int) {
	l.t.Helper()
	seen := 0
	for _, name := range nics {
		for _, hook := range bothHooks {
			n := 0
			for _, id := range l.programs(name, hook) {
				if slices.Contains(strangers, id) {
					seen++
				} else {
					n++
				}
			}
			if n != want {
				l.t.Errorf("%s has %d programs at %v, want %d", name, n, hook, want)
			}
		}
	}
	if seen != len(strangers) {
		l.t.Errorf("%d programs of strangers are left, want %d", seen, len(strangers))
	}
}

// TestKilledOverAndOver: a box with the capabilities of the service takes away
// what those before it left, that and nothing else, and frames go past it all
// the time.
func TestKilledOverAndOver(t *testing.T) {
	l := newUserLab(t)
	strangers := l.stranger()
	l.box(order{Open: true})
	strangers = append(strangers, l.stranger()...)
	s := l.stream()
	const kills = 70 // a hook takes 64 programs
	for range kills {
		if got := l.box(order{Open: true}); !got.Bypassing() || got.Forced {
			t.Fatalf("status %+v, want frames to go past", got)
		}
		l.ours(strangers, 1)
		s.flow(1)
	}
	for side, r := range s.finish() {
		if r.Lost() > int(r.Sent/100) {
			t.Errorf("%d of %d frames from %s did not get past", r.Lost(), r.Sent, track.Side(side))
		}
	}
	if got := l.box(order{Stop: true}); got.Sides["lan"].Attached || got.Bypassing() {
		t.Errorf("after a stop: %+v", got)
	}
	l.ours(strangers, 0)
	if l.promiscuous() {
		t.Error("the NIC is promiscuous after the stop: it was not before")
	}
}

// TestForcedOutlives: a forced bypass outlives boxes that cannot look at what
// those before them left, whoever forces it, until it is ended.
func TestForcedOutlives(t *testing.T) {
	l := newUserLab(t)
	forced := func(what string, want bool) {
		t.Helper()
		if got := l.box(order{}); got.Forced != want || got.Bypassing() != want {
			t.Errorf("%s: %+v, want forced %v", what, got, want)
		}
		if l.ours(nil, 1); l.promiscuous() != want {
			t.Errorf("%s: promiscuous %v", what, !want)
		}
		if l.reaches(bridgetest.ServerAddr) != want {
			t.Errorf("%s: frames pass: %v", what, !want)
		}
	}
	l.box(order{Force: "on"})
	forced("forced by a box", true)
	l.box(order{Force: "off"})
	forced("ended by a box", false)
	l.asRoot(func(b *bypass.Bypass) error { return b.Force(true) })
	forced("forced by root", true)
	forced("forced by root, once more", true)
	l.box(order{Stop: true}) // which leaves a forced bypass in place
	forced("forced, and stopped", true)
	l.asRoot(func(b *bypass.Bypass) error { return b.Force(false) })
	forced("ended by root", false)
	l.asRoot((*bypass.Bypass).Detach)
	l.ours(nil, 0)
}

// TestRootFirst: what root leaves, its record included, a box of an ordinary
// user takes over, and the other way round.
func TestRootFirst(t *testing.T) {
	l := newUserLab(t)
	l.inBox(func() error {
		b, err := bypass.Open(bypass.Options{NICs: nics, Record: l.record}, false)
		if err != nil {
			return err
		}
		return errors.Join(b.Attach(track.LAN), b.Attach(track.WAN), b.Force(true), b.Close())
	})
	if got := l.box(order{}); !got.Forced {
		t.Errorf("status %+v, want forced", got)
	}
	l.ours(nil, 1)
	l.asRoot(func(b *bypass.Bypass) error { return errors.Join(b.Attach(track.LAN), b.Attach(track.WAN)) })
	l.ours(nil, 1)
	l.box(order{Force: "off"})
	l.ours(nil, 1)
	l.box(order{Stop: true})
	l.ours(nil, 0)
}

// asRoot works on what is on the NICs.
func (l *userLab) asRoot(act func(*bypass.Bypass) error) {
	l.t.Helper()
	l.inBox(func() error {
		b, err := bypass.Find(bypass.Options{NICs: nics, Record: l.record})
		if err != nil || b == nil {
			return fmt.Errorf("find: %v, %w", b, err)
		}
		return errors.Join(act(b), b.Close())
	})
}

// TestRecordNotTrusted: a record that somebody else may have written says
// nothing, and is left alone.
func TestRecordNotTrusted(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"writable for all": func(path string) error { return os.Chmod(path, 0o666) },
		"another user's":   func(path string) error { return errors.Join(os.Chown(path, 65533, 65533), os.Chmod(path, 0o644)) },
		"another name":     func(path string) error { return os.Link(path, path+".too") },
		"a symbolic link": func(path string) error {
			return errors.Join(os.Rename(path, path+".too"), os.Symlink(path+".too", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newUserLab(t)
			l.box(order{Force: "on"})
			if err := spoil(l.record); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(l.record)
			if got := l.box(order{}); got.Forced {
				t.Errorf("the record is believed: %+v", got)
			}
			if after, _ := os.ReadFile(l.record); string(after) != string(before) {
				t.Errorf("the record was\n%s, is\n%s", before, after)
			}
			l.ours(nil, 2) // it may not look, and does not guess
		})
	}
}

// TestRecordBroken: of a record that is of another boot, cut short or no record
// at all, nothing is believed, and it is made anew.
func TestRecordBroken(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut short": `{"boot":"`, "nonsense": "\x00\x01",
		"another boot": `{"boot":"00000000-0000-0000-0000-000000000000","programs":[1,2,3],"forced":17}`,
	} {
		t.Run(name, func(t *testing.T) {
			l := newUserLab(t)
			if err := errors.Join(os.WriteFile(l.record, []byte(text), 0o600), os.Chown(l.record, 65534, 65534)); err != nil {
				t.Fatal(err)
			}
			strangers := l.stranger() // that it cannot look at
			if got := l.box(order{}); got.Forced {
				t.Errorf("the record is believed: %+v", got)
			}
			if l.ours(strangers, 1); !l.box(order{Force: "on"}).Forced || !l.box(order{}).Forced {
				t.Error("no record is kept")
			}
			l.ours(strangers, 1)
		})
	}
}
