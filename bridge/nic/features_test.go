package nic

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/safchain/ethtool"
)

// fakeDriver is a driver of one NIC.
type fakeDriver struct {
	features map[string]Feature
	silent   error // what Features returns
	refuses  error // what ChangeFeature returns
	stubborn bool  // it takes a change and does nothing
	changes  []string
}

func (d *fakeDriver) Features(string) (map[string]Feature, error) {
	return maps.Clone(d.features), d.silent
}

func (d *fakeDriver) ChangeFeature(_, feature string, on bool) error {
	d.changes = append(d.changes, feature+" "+onOff(on))
	if d.refuses == nil && !d.stubborn {
		d.features[feature] = Feature{On: on, Wanted: on}
	}
	return d.refuses
}

func (d *fakeDriver) Close() error { return nil }

func TestTurnOffLRO(t *testing.T) {
	busy := errors.New("device is busy")
	off := []string{"rx-lro off"}
	tests := []struct {
		name    string
		driver  fakeDriver
		changed bool
		err     string // a part of it
		changes []string
	}{
		{"on", fakeDriver{features: map[string]Feature{"rx-lro": {On: true, Wanted: true}}}, true, "", off},
		{"off", fakeDriver{features: map[string]Feature{"rx-lro": {}}}, false, "", nil},
		{"wanted, and kept off by something", fakeDriver{features: map[string]Feature{"rx-lro": {Wanted: true}}}, true, "", off},
		{"fixed off", fakeDriver{features: map[string]Feature{"rx-lro": {Wanted: true, Fixed: true}}}, false, "", nil},
		{"fixed on", fakeDriver{features: map[string]Feature{"rx-lro": {On: true, Fixed: true}}}, false, "cannot turn it off", nil},
		{"without", fakeDriver{features: map[string]Feature{"rx-gro": {On: true}}}, false, "", nil},
		{"a driver that tells nothing", fakeDriver{silent: busy}, false, "", nil},
		{"refused", fakeDriver{features: map[string]Feature{"rx-lro": {On: true}}, refuses: busy}, false, "busy", off},
		{"stays on", fakeDriver{features: map[string]Feature{"rx-lro": {On: true}}, stubborn: true}, true, "stays on", off},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed, err := TurnOffLRO(&tt.driver, "nic")
			if changed != tt.changed || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, %v, want %v, %q", changed, err, tt.changed, tt.err)
			}
			if diff := cmp.Diff(tt.changes, tt.driver.changes); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if !changed || err != nil {
				return
			}
			if err := RestoreLRO(&tt.driver, "nic"); err != nil || !tt.driver.features["rx-lro"].On {
				t.Errorf("restored to %+v, %v", tt.driver.features["rx-lro"], err)
			}
		})
	}
}

// TestDriverFeatures changes a feature of a real NIC. Veths have no LRO; GRO
// goes the same way.
func TestDriverFeatures(t *testing.T) {
	inNamespace(t)
	addVeth(t, "nic", "peer")
	f, err := NewFeatures()
	check(t, err)
	defer f.Close()
	for _, on := range []bool{true, false, true} {
		check(t, f.ChangeFeature("nic", "rx-gro", on))
		got, err := f.Features("nic")
		check(t, err)
		if want := (Feature{On: on, Wanted: on}); got["rx-gro"] != want {
			t.Errorf("rx-gro is %+v, want %+v", got["rx-gro"], want)
		}
		if n := inspect(t, "nic"); n.Offloads.GRO != on {
			t.Errorf("Inspect says GRO %v, want %v", n.Offloads.GRO, on)
		}
		independent(t, "nic", "rx-gro", on)
	}
	got, err := f.Features("nic")
	check(t, err)
	if lro, ok := got["rx-lro"]; !ok || lro.On || !lro.Fixed {
		t.Errorf("rx-lro of a veth is %+v, %v, want it there, fixed off", lro, ok)
	}
	if changed, err := TurnOffLRO(f, "nic"); changed || err != nil {
		t.Errorf("a veth's LRO: %v, %v", changed, err)
	}
	if err := f.ChangeFeature("nic", "no-such-feature", true); err == nil {
		t.Error("a feature that does not exist can be changed")
	}
	if _, err := f.Features("none"); err == nil {
		t.Error("a NIC that does not exist has features")
	}
}

// independent looks without this package's code.
func independent(t *testing.T, nic, feature string, want bool) {
	t.Helper()
	tool, err := ethtool.NewEthtool()
	check(t, err)
	defer tool.Close()
	features, err := tool.Features(nic)
	check(t, err)
	if features[feature] != want {
		t.Errorf("ethtool says %s %v, want %v", feature, features[feature], want)
	}
}

// TestOffloadList: each offload is read from its own feature and says what it
// means.
func TestOffloadList(t *testing.T) {
	kernels := map[string]string{
		"lro": "rx-lro", "gro": "rx-gro", "rx-gro-hw": "rx-gro-hw", "tso": "tx-tcp-segmentation", "gso": "tx-generic-segmentation",
		"tx-udp-segmentation": "tx-udp-segmentation",
		"tx-checksum":         "tx-checksum-ip-generic", "rx-vlan": "rx-vlan-hw-parse", "tx-vlan": "tx-vlan-hw-insert",
		"rx-vlan-filter": "rx-vlan-filter", "hw-tc-offload": "hw-tc-offload", "rx-fcs": "rx-fcs", "rx-all": "rx-all",
	}
	inNamespace(t)
	addVeth(t, "nic", "peer")
	f, err := NewFeatures()
	check(t, err)
	defer f.Close()
	known, err := f.Features("nic")
	check(t, err)
	for name, feature := range kernels {
		if _, ok := known[feature]; !ok {
			t.Errorf("this kernel knows no feature %s", feature)
		}
		for _, o := range readOffloads(map[string]Feature{feature: {On: true}}).List() {
			if o.On != (o.Name == name) || o.Meaning == "" {
				t.Errorf("with %s on: %+v", feature, o)
			}
		}
	}
	if n := len(Offloads{}.List()); n != len(kernels) {
		t.Errorf("%d offloads, want %d", n, len(kernels))
	}
}
