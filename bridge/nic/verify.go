package nic

import (
	"fmt"
	"net/netip"
	"strings"
)

// Severity says whether the box can run with a problem.
type Severity uint8

// The severities.
const (
	_       Severity = iota
	Warning          // it runs, but not as it should
	Fatal            // it must not run
)

// String returns "warning" or "error".
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Fatal:
		return "error"
	}
	return fmt.Sprintf("Severity(%d)", uint8(s))
}

// Problem is something that stands between a NIC and the box.
type Problem struct {
	Severity Severity
	NIC      string // name; of a problem of the pair the WAN's
	Message  string // what is wrong
	Advice   string // what to do about it
}

// String is the problem in one line, without its severity.
func (p Problem) String() string { return p.NIC + ": " + p.Message + "; " + p.Advice }

// nicRule is about one NIC that exists. Its message is "" if all is well;
// advice has {nic} in the place of its name.
type nicRule struct {
	severity Severity
	message  func(n NIC) string
	advice   string
}

var nicRules = []nicRule{
	{Fatal, notEthernet, "the box bridges Ethernet; name another NIC"},
	{Fatal, enslaved, "take it out with `ip link set dev {nic} nomaster`"},
	{Fatal, hasAddress, "remove it with `ip address flush dev {nic}`: this host would answer beside the box"},
	{Warning, hasLinkLocal, "turn IPv6 off there with `sysctl -w net.ipv6.conf.{nic}.disable_ipv6=1`: this host speaks on the wire"},
	{Warning, isDown, "set it up with `ip link set dev {nic} up`"},
	{Warning, noCarrier, "is the cable in, and the other end up?"},
	{Warning, hasLRO, "the box turns it off while it runs, for merged frames cannot be taken apart as they were; `ethtool -K {nic} lro off` does it for good"},
	{Warning, hasRXFCS, "turn it off with `ethtool -K {nic} rx-fcs off`: frames would leave with four octets more"},
	{Warning, hasRXAll, "turn it off with `ethtool -K {nic} rx-all off`: damaged frames would leave as if they were sound"},
}

func notEthernet(n NIC) string {
	return unless(n.Type == "ether", "its link layer is %s, not Ethernet", n.Type)
}

func enslaved(n NIC) string { return unless(n.Master == "", "it belongs to %s", n.Master) }

func hasAddress(n NIC) string {
	return unless(len(n.Addresses) == 0, "it has the IP address %s", join(n.Addresses))
}

func hasLinkLocal(n NIC) string {
	return unless(len(n.LinkLocal) == 0, "it has the IPv6 link-local address %s", join(n.LinkLocal))
}

func isDown(n NIC) string { return unless(n.Up, "it is down") }

func noCarrier(n NIC) string { return unless(n.Carrier || !n.Up, "it has no carrier") }

func hasLRO(n NIC) string { return unless(!n.Offloads.LRO, "large-receive-offload is on") }

func hasRXFCS(n NIC) string {
	return unless(!n.Offloads.RXFCS, "it receives frames with their checksum (rx-fcs)")
}

func hasRXAll(n NIC) string {
	return unless(!n.Offloads.RXAll, "it receives damaged frames (rx-all)")
}

func unless(fine bool, format string, args ...any) string {
	if fine {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func join(prefixes []netip.Prefix) string {
	s := make([]string, len(prefixes))
	for i, p := range prefixes {
		s[i] = p.String()
	}
	return strings.Join(s, ", ")
}

// Verify says what is wrong with a pair of NICs, those problems first that
// concern the LAN's, then the WAN's, then both together. None means that the
// box can run.
func Verify(lan, wan NIC) []Problem {
	problems := append(VerifyOne(lan), VerifyOne(wan)...)
	if lan.Name == wan.Name || lan.Exists && wan.Exists && lan.Index == wan.Index {
		return append(VerifyOne(lan), Problem{Fatal, wan.Name, "it is both the LAN's and the WAN's NIC", "name two different ones"})
	}
	return append(problems, VerifyMTU(lan, wan)...)
}

// VerifyMTU is the part of Verify that may come true while the box runs, by a
// change of either NIC's MTU.
func VerifyMTU(lan, wan NIC) []Problem {
	if !lan.Exists || !wan.Exists || lan.MTU == wan.MTU {
		return nil
	}
	return []Problem{{Fatal, wan.Name,
		fmt.Sprintf("its MTU is %d, that of %s is %d", wan.MTU, lan.Name, lan.MTU),
		fmt.Sprintf("make them equal with `ip link set dev %s mtu %d`: longer frames would be lost", smaller(lan, wan).Name, max(lan.MTU, wan.MTU))}}
}

func smaller(a, b NIC) NIC {
	if a.MTU < b.MTU {
		return a
	}
	return b
}

// VerifyOne is the part of Verify that is about one NIC.
func VerifyOne(n NIC) []Problem {
	if !n.Exists {
		return []Problem{{Fatal, n.Name, "there is no such NIC", "`ip link` lists those there are"}}
	}
	var problems []Problem
	for _, r := range nicRules {
		if message := r.message(n); message != "" {
			problems = append(problems, Problem{r.severity, n.Name, message, strings.ReplaceAll(r.advice, "{nic}", n.Name)})
		}
	}
	return problems
}
