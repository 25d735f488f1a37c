package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// forward is a [[nat.forward]] of three lines.
func forward(address, to string) string {
	return fmt.Sprintf("[[nat.forward]]\naddress='%s'\nto='%s'\n", address, to)
}

func TestNATFaults(t *testing.T) {
	const masquerade = nics + "nat.mode='masquerade'\nnat.address='203.0.113.7'\n"
	good := forward("203.0.113.7", "10.0.0.2")
	runFaultCases(t, []faultCase{
		{nics + "[nat]\nmode='masquerade'", []string{"3: nat.address ~ missing"}},
		{nics + "[nat]\nmode='masquerade'\naddress=''", []string{"3: nat.address ~ missing"}},
		{nics + "nat.mode='masquerade'\nnat.address='203.0.113'", []string{"4: nat.address ~ is not an IPv4 address"}},
		{nics + "nat.address='0.0.0.0'", []string{"3: nat.address ~ not the address of one host"}},
		{nics + "nat.address='127.0.0.1'", []string{"3: nat.address ~ not the address of one host"}},
		{nics + "nat.address='255.255.255.255'", []string{"3: nat.address ~ not the address of one host"}},
		{nics + "nat.address='224.0.0.1'", []string{"3: nat.address ~ not the address of one host"}},
		{nics + "nat.address='2001:db8::1'", []string{"3: nat.address ~ is not an IPv4 address"}},
		{nics + "nat.address='::ffff:192.0.2.1'", []string{"3: nat.address ~ is not an IPv4 address"}},
		{nics + "[[nat.forward]]\n", []string{"3: nat.forward.address ~ missing", "3: nat.forward.to ~ missing"}},
		{nics + good + "[[nat.forward]]\naddress='203.0.113.8'", []string{"6: nat.forward.to ~ missing"}},
		{nics + good + "[[nat.forward]]\nto='10.0.0.2'", []string{"6: nat.forward.address ~ missing"}},
		{nics + good + good, []string{"8: nat.forward.to ~ 203.0.113.7 is forwarded to 10.0.0.2 already, in line 5"}},
		{nics + good + forward("203.0.113.8", "10.0.0.2"), []string{"8: nat.forward.to ~ 10.0.0.2 is reached at 203.0.113.7 already, in line 5"}},
		{nics + good + forward("203.0.113.8", "203.0.113.7"), []string{"8: nat.forward.to ~ 203.0.113.7 is itself an address that the WAN dials"}},
		{nics + forward("203.0.113.8", "203.0.113.8"), []string{"5: nat.forward.to ~ is itself an address"}},
		{masquerade + forward("203.0.113.8", "203.0.113.7"), []string{"7: nat.forward.to ~ is itself an address"}},
		{nics + "nat.address='203.0.113.7'\n" + forward("203.0.113.8", "203.0.113.7"), []string{"6: nat.forward.to ~ is itself an address"}},
		{nics + forward("203.0.113.7", "2001:db8::1"), []string{"5: nat.forward.to ~ is not an IPv4 address"}},
		{nics + "nat.forward = [\n{address='x', to='10.0.0.2'},\n{to='y', address='203.0.113.7'},\n{address='203.0.113.7', to='10.0.0.3'},\n" +
			"{address='203.0.113.7', to='10.0.0.3'}]", []string{
			"4: nat.forward.address ~ is not an IPv4 address", "5: nat.forward.to ~ is not an IPv4 address", "7: nat.forward.to ~ already, in line 6",
		}},
		{nics + strings.Repeat(good, maxForwards+1), []string{"3: nat.forward ~ 1025 are too many: at most 1024"}},
		{nics + "policy.adopt='live-control'\n" + good, []string{"3: policy.adopt ~ cannot be had with [nat]"}},
		{nics + "policy.adopt='live-control'\n[nat]\nmode='masquerade'\n[[nat.forward]]\naddress='10.0.0.1'\nto='x'",
			[]string{"3: policy.adopt ~ cannot be had with [nat]", "4: nat.address ~ missing", `8: nat.forward.to ~ "x" is not`}},
		{nics + "nat.ports = 5", []string{"3: nat.ports ~ must be a range of ports"}},
		{nics + "nat.ports = ''", []string{`3: nat.ports ~ is not a range of ports, such as "32768-60999"`}},
		{nics + "nat.ports = '4000'", []string{"3: nat.ports ~ is not a range of ports"}},
		{nics + "nat.ports = '4000-70000'", []string{"3: nat.ports ~ is not a range of ports"}},
		{nics + "nat.ports = '4000-5000-6000'", []string{"3: nat.ports ~ is not a range of ports"}},
		{nics + "nat.ports = '1023-5000'", []string{"3: nat.ports ~ must go from 1024 or more"}},
		{nics + "nat.ports = '5000-4999'", []string{"3: nat.ports ~ is out of range"}},
		{nics + "nat.ports = '1024-1723'", []string{"3: nat.ports ~ has 1723 in it"}},
		{nics + "nat.ports = '1723-1800'", []string{"3: nat.ports ~ has 1723 in it"}},
	}, nil)
}

func TestNATTakes(t *testing.T) {
	tests := []struct {
		text                string
		active              bool
		translated, servers string
	}{
		{"", false, "[]", "[]"},
		{"nat.address='203.0.113.7'", false, "[]", "[]"},
		{"nat.mode='call-id'\nnat.address='203.0.113.7'", true, "[]", "[]"},
		{"nat.mode='masquerade'\nnat.address='203.0.113.7'\nnat.ports='4000-4000'", true, "[203.0.113.7]", "[]"},
		{forward("203.0.113.7", "10.0.0.2"), true, "[203.0.113.7]", "[10.0.0.2]"},
		{"nat.mode='masquerade'\nnat.address='203.0.113.7'\n" + forward("203.0.113.7", "10.0.0.3") + forward("203.0.113.7", "10.0.0.2") +
			forward("203.0.113.6", "10.0.0.4"), true, "[203.0.113.6 203.0.113.7]", "[10.0.0.3 10.0.0.2 10.0.0.4]"},
		{"nat.mode='call-id'\n" + forward("203.0.113.8", "10.0.0.2"), true, "[203.0.113.8]", "[10.0.0.2]"},
	}
	for _, test := range tests {
		n := mustParse(t, nics+test.text).NAT
		if n.Active() != test.active || fmt.Sprint(n.Translated()) != test.translated || fmt.Sprint(n.Servers()) != test.servers {
			t.Errorf("%q: active %v, translated %v, servers %v", test.text, n.Active(), n.Translated(), n.Servers())
		}
	}
}

// TestManyForwards: as many as there may be are read, to a server each.
func TestManyForwards(t *testing.T) {
	var text strings.Builder
	address, to := netip.MustParseAddr("203.0.113.0"), netip.MustParseAddr("10.0.0.0")
	var want []Forward
	for range maxForwards {
		address, to = address.Next(), to.Next()
		text.WriteString(forward(address.String(), to.String()))
		want = append(want, Forward{address, to})
	}
	if got := mustParse(t, nics+text.String()).NAT.Forward; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
