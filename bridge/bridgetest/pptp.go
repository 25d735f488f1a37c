package bridgetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// fileNumber tells the files of one lab apart.
var fileNumber atomic.Uint64

// private runs a program with a /run of its own: pptp's call manager listens
// on a file in /run/pptp that is named after the addresses alone, so clients
// in different network namespaces would share one. It also keeps the programs
// out of the machine's log. "ip netns exec" has made a mount namespace for the
// program already (ip-netns(8)), so nothing of this is seen outside.
const private = `
mount -t tmpfs tmpfs /run && mkdir /run/pptp || exit
if [ -n "$2" ]; then mount --bind "$2" /run/pptp || exit; fi
if [ -e /dev/log ]; then mount --bind /dev/null /dev/log || exit; fi
if [ -n "$1" ]; then mount --bind "$1" /dev/random || exit; fi
shift 2
exec "$@"`

// privateCommand prepares a program to run with a /run of its own, with the
// file random, if not empty, as its /dev/random, and with the directory pptp, if
// not empty, as its /run/pptp.
func (ns *Namespace) privateCommand(random, pptp, name string, args ...string) *exec.Cmd {
	args = append([]string{"-c", private, "sh", random, pptp, name}, args...)
	return ns.Command(context.Background(), "sh", args...)
}

// Report is what one end of a PPP link says about it.
type Report struct {
	Event     string `json:"event"` // "up", "pinged", "asked" or "end"
	Local     string `json:"local"` // its address in the tunnel
	Peer      string `json:"peer"`
	Sent      int    `json:"sent"`       // pings: ICMP echo requests through the tunnel
	Answered  int    `json:"answered"`   // replies to them
	Requests  int    `json:"requests"`   // pings of the other end, all answered
	LCPEchoes int    `json:"lcp_echoes"` // LCP Echo-Replies
	BadFrames int    `json:"bad_frames"` // PPP frames with a wrong check sequence
	Exit      string `json:"exit"`       // how pptp ended
}

// Pings says which pings an end sends once PPP is up.
type Pings struct {
	Count    int           // -1: until the call ends
	Sizes    []int         // payload octets, in turn; default 56, at most 1372
	Interval time.Duration // default 100 ms
}

func (p Pings) flags() []string {
	flags := []string{"-pings", strconv.Itoa(p.Count)}
	if len(p.Sizes) > 0 {
		sizes := make([]string, len(p.Sizes))
		for i, size := range p.Sizes {
			sizes[i] = strconv.Itoa(size)
		}
		flags = append(flags, "-sizes", strings.Join(sizes, ","))
	}
	if p.Interval > 0 {
		flags = append(flags, "-interval", p.Interval.String())
	}
	return flags
}

// parseReports reads whole lines; the last may still be being written.
func parseReports(text string) []Report {
	var reports []Report
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		var r Report
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			reports = append(reports, r)
		}
	}
	return reports
}

func (l *Lab) newFile(name string) string {
	return filepath.Join(l.dir, fmt.Sprintf("%s-%d", name, fileNumber.Add(1)))
}

// find finds a program also where an ordinary user's PATH does not lead.
func find(program, pkg string) (string, error) {
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no program %s: install %s (hack/setup does)", program, pkg)
}
