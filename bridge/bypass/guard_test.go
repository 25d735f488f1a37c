package bypass

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
)

// TestBeat: when a worker must take it that frames went past it.
func TestBeat(t *testing.T) {
	const hour = uint64(time.Hour)
	ms := func(n int) uint64 { return hour + uint64(n)*uint64(time.Millisecond) }
	cases := []struct {
		name  string
		state kernelState
		beat  uint64
		now   uint64
		gone  bool
	}{
		{"just beaten", kernelState{Open: 1}, ms(0), ms(0), false},
		{"open, a long wait", kernelState{Open: 1}, ms(0), ms(98), false},
		{"open, too long", kernelState{Open: 1}, ms(0), ms(100), true},
		{"open, never", kernelState{Open: 1}, 0, ms(0), true},
		{"closed, too long", kernelState{}, ms(0), ms(5000), false},
		{"forced, too long", kernelState{Forced: ms(1)}, ms(0), ms(100), true},
		{"forced and ended meanwhile", kernelState{Ended: ms(50)}, ms(0), ms(100), true},
		{"forced and ended before", kernelState{Ended: ms(0)}, ms(10), ms(200), false},
		{"beaten on another CPU, a little later", kernelState{Open: 1}, ms(1), ms(0), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.state.Sides[0].Beat = c.beat
			g := newGuards(&c.state, &c.state.Sides[0], func() uint64 { return c.now }, 1)[0]
			if g.Beat() == c.gone {
				t.Errorf("Beat: %v, want %v", c.gone, !c.gone)
			}
			if !g.Beat() {
				t.Error("the second of two beats says that frames went past")
			}
			g.Release()
			if c.state.Sides[0].Beat != 0 || c.state.Sides[0].Released != c.now {
				t.Errorf("after Release: %+v", c.state.Sides[0])
			}
		})
	}
}

// TestClock: the guard's clock is the kernel's, never late and hardly early. The
// readings of CLOCK_MONOTONIC are the kernel's as well, for the test is in no time
// namespace of its own.
func TestClock(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("programs of the kernel need root: run this test with sudo")
	}
	c, err := newClock()
	if err != nil {
		t.Fatal(err)
	}
	var before, after unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &before)
	now := c.now()
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &after)
	if now < uint64(before.Nano()) || now > uint64(after.Nano())+uint64(StaleAfter) {
		t.Errorf("%d, want a time from %d to %d", now, before.Nano(), after.Nano())
	}
}

// TestExplain: an error says what is missing.
func TestExplain(t *testing.T) {
	for err, want := range map[error]string{
		unix.EPERM:           "CAP_BPF",
		unix.EINVAL:          "Linux 6.6",
		ebpf.ErrNotSupported: "Linux 6.6",
		unix.ENOSYS:          "CONFIG_BPF_SYSCALL",
	} {
		got := explain(fmt.Errorf("load: %w", err))
		if !errors.Is(got, ErrUnavailable) || !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v is explained as %v", err, got)
		}
	}
	if got := explain(unix.ENODEV); errors.Is(got, ErrUnavailable) {
		t.Errorf("ENODEV is explained as %v", got)
	}
}

// TestChanges: what must have happened between two looks.
func TestChanges(t *testing.T) {
	cases := []struct {
		before, now observation
		want        string
	}{
		{observation{"", 3}, observation{"", 3}, ""},
		{observation{"", 3}, observation{CauseForced, 3}, "on forced, "},
		{observation{CauseForced, 3}, observation{CauseForced, 3}, ""},
		{observation{CauseForced, 3}, observation{"", 4}, "off forced, "},
		{observation{"", 3}, observation{"", 4}, "on no-heartbeat, off no-heartbeat, "},
		{observation{CauseNoHeartbeat, 3}, observation{CauseNoHeartbeat, 4}, "off no-heartbeat, on no-heartbeat, "},
		{observation{CauseStopped, 0}, observation{"", 1}, "off stopped, "},
	}
	for _, c := range cases {
		got := ""
		c.now.changes(c.before, func(on bool, cause string) {
			got += map[bool]string{true: "on ", false: "off "}[on] + cause + ", "
		})
		if got != c.want {
			t.Errorf("%+v after %+v: %q, want %q", c.now, c.before, got, c.want)
		}
	}
}

// TestConstants: the programs' constants are those of Go.
func TestConstants(t *testing.T) {
	spec, err := loadKernel()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		program string
		want    int64
	}{
		{kernelProgGrewireLan, int64(StaleAfter)},
		{kernelProgGrewireToLan, int64(StaleAfter - 10*time.Millisecond)},
		{kernelProgGrewireToLan, bridge.SocketMark},
	} {
		found := false
		for _, i := range spec.Programs[c.program].Instructions {
			// > n or >= n+1, as the compiler likes.
			found = found || i.OpCode.JumpOp().String() != "" && (i.Constant == c.want || i.Constant == c.want+1)
		}
		if !found {
			t.Errorf("%s compares nothing with %d", c.program, c.want)
		}
	}
}
