package oracle

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/grewire/grewire/track/tracktest"
)

// Flush empties the connection table, and with it expectations and key map.
func (k *Kernel) Flush() error {
	if err := k.tables.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("flush conntrack: %w", err)
	}
	return nil
}

// Tables lists the calls and expectations that conntrack has of these hosts.
func (k *Kernel) Tables(hosts [numHosts]*tracktest.Host) (map[string]bool, error) {
	tables := make(map[string]bool)
	err := k.box.Do(func() error {
		// "self" would be the process's namespace, not the thread's.
		if err := readTable("/proc/thread-self/net/nf_conntrack", hosts, tables, false); err != nil {
			return err
		}
		return readTable("/proc/thread-self/net/nf_conntrack_expect", hosts, tables, true)
	})
	return tables, err
}

func readTable(path string, hosts [numHosts]*tracktest.Host, tables map[string]bool, expectations bool) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		t, ok, err := parseTuple(line, hosts)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w: %q", path, err, line)
		case !ok:
		case expectations:
			tables[expectLine(t)] = true
		default:
			tables[flowLine(t)] = true
		}
	}
	return nil
}

// parseTuple reads the first tuple of a line of /proc/net/nf_conntrack or
// nf_conntrack_expect. It reports false for lines that are not about GRE
// between these hosts.
func parseTuple(line string, hosts [numHosts]*tracktest.Host) (t tuple, ok bool, err error) {
	fields := make(map[string]string)
	for _, word := range strings.Fields(line) {
		if name, value, found := strings.Cut(word, "="); found && fields[name] == "" {
			fields[name] = value
		}
	}
	if fields["srckey"] == "" {
		return t, false, nil
	}
	for name, to := range map[string]*Host{"src": &t.src, "dst": &t.dst} {
		addr, err := netip.ParseAddr(fields[name])
		if err != nil {
			return t, false, err
		}
		*to = hostOf(hosts, addr)
	}
	for name, to := range map[string]*uint16{"srckey": &t.srcKey, "dstkey": &t.dstKey} {
		key, err := strconv.ParseUint(fields[name], 0, 16)
		if err != nil {
			return t, false, err
		}
		*to = uint16(key)
	}
	return t, t.src < numHosts && t.dst < numHosts, nil
}
