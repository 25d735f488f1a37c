package nic

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const loopback = 1 // ifindex of lo

// squatting is the environment variable of a process that keeps boxes from
// starting, as far as it may.
const squatting = "GREWIRE_TEST_SQUAT"

func TestMain(m *testing.M) {
	if os.Getenv(squatting) != "" {
		fmt.Println(squat())
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test has seen enough
		return
	}
	os.Exit(m.Run())
}

// squat takes what names a NIC: the socket that claims it, and abstract
// sockets, which are free to all users of a host.
func squat() error {
	for _, network := range []string{"unixgram", "unixpacket", "unix"} {
		name := &net.UnixAddr{Name: fmt.Sprintf("@grewire/nic/%d", loopback), Net: network}
		if network == "unixgram" {
			if _, err := net.ListenUnixgram(network, name); err != nil {
				return err
			}
		} else if _, err := net.ListenUnix(network, name); err != nil && !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
	}
	_, err := bindClaim(loopback)
	return err
}

// TestSquatter: an ordinary user, who could not run a box, keeps nobody from
// claiming a NIC.
func TestSquatter(t *testing.T) {
	inNamespace(t)
	const nobody = 65534
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), squatting+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	command.Stderr = os.Stderr
	done, err := command.StdinPipe()
	check(t, err)
	out, err := command.StdoutPipe()
	check(t, err)
	check(t, command.Start())
	defer func() { done.Close(); check(t, command.Wait()) }()
	if said, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(said, unix.EPERM.Error()) {
		t.Errorf("an ordinary user who claims a NIC: %q, %v, want that it is refused", said, err)
	}
	if Taken(loopback) {
		t.Error("taken by an ordinary user")
	}
	claim, err := Take("lo")
	if err != nil {
		t.Fatalf("beside an ordinary user: %v", err)
	}
	if _, err := Take("lo"); err == nil || !strings.Contains(err.Error(), "another grewire") {
		t.Errorf("a second claim: %v, want that another grewire has it", err)
	}
	check(t, claim.Release())
}

func TestTake(t *testing.T) {
	inNamespace(t)
	if Taken(loopback) {
		t.Error("taken before anybody did")
	}
	first, err := Take("lo")
	check(t, err)
	if !Taken(loopback) {
		t.Error("not taken after a claim")
	}
	if Taken(loopback + 1) {
		t.Error("another NIC is taken")
	}
	if _, err := Take("lo"); err == nil || !strings.Contains(err.Error(), "another grewire") {
		t.Errorf("a second claim: %v, want that another grewire has it", err)
	}
	check(t, first.Release())
	if Taken(loopback) {
		t.Error("taken after the release")
	}
	again, err := Take("lo")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	check(t, again.Release())
	if _, err := Take("none-such"); err == nil {
		t.Error("a NIC that does not exist can be claimed")
	}
}

// TestTakeTogether: of many that claim a NIC at the same moment at most one
// gets it.
func TestTakeTogether(t *testing.T) {
	inNamespace(t)
	namespace, err := CurrentNamespace()
	check(t, err)
	defer namespace.Close()
	const boxes = 8
	for range 20 {
		start, claims := make(chan struct{}), make(chan *Claim)
		for range boxes {
			go func() {
				err := namespace.Enter()
				<-start
				var c *Claim
				if err == nil {
					c, _ = Take("lo")
				} else {
					t.Error(err)
				}
				claims <- c
			}()
		}
		close(start)
		var got []*Claim
		for range boxes {
			if c := <-claims; c != nil {
				got = append(got, c)
			}
		}
		if len(got) > 1 {
			t.Fatalf("%d boxes have the same NIC", len(got))
		}
		for _, c := range got {
			check(t, c.Release())
		}
	}
}
