package nic

import (
	"errors"
	"fmt"

	"github.com/safchain/ethtool"
)

// Feature is the state of one feature of a NIC (ethtool -k).
type Feature struct {
	On     bool
	Wanted bool // asked for, though something else may keep it off
	Fixed  bool // cannot be changed
}

// Features reads and changes the features of NICs, by the kernel's names for
// them (netdev_features_strings). Tests have a map in its place.
type Features interface {
	Features(nic string) (map[string]Feature, error)
	ChangeFeature(nic, feature string, on bool) error
	Close() error
}

// NewFeatures returns the Features of the NICs of the calling thread's network
// namespace, by ioctl SIOCETHTOOL. To change one needs CAP_NET_ADMIN.
func NewFeatures() (Features, error) {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return nil, fmt.Errorf("open an ethtool socket: %w", err)
	}
	return driverFeatures{e}, nil
}

type driverFeatures struct{ tool *ethtool.Ethtool }

func (d driverFeatures) Features(nic string) (map[string]Feature, error) {
	states, err := d.tool.FeaturesWithState(nic)
	if err != nil {
		return nil, fmt.Errorf("%s: read the features: %w", nic, err)
	}
	features := make(map[string]Feature, len(states))
	for name, s := range states {
		features[name] = Feature{On: s.Active, Wanted: s.Requested, Fixed: s.NeverChanged || !s.Available}
	}
	return features, nil
}

func (d driverFeatures) ChangeFeature(nic, feature string, on bool) error {
	if err := d.tool.Change(nic, map[string]bool{feature: on}); err != nil {
		return fmt.Errorf("%s: turn %s %s: %w", nic, feature, onOff(on), err)
	}
	return nil
}

func (d driverFeatures) Close() error {
	d.tool.Close()
	return nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

const lroFeature = "rx-lro"

// TurnOffLRO turns large-receive-offload off where it is on or wanted, and
// reports whether it did. It changes nothing else, and nothing that is as it
// should be: some drivers take the link down for a moment at every change. An
// error says that LRO is on and stays on.
func TurnOffLRO(f Features, nic string) (changed bool, err error) {
	before, err := f.Features(nic)
	if err != nil {
		return false, nil // a driver without features has no LRO
	}
	lro := before[lroFeature]
	switch {
	case !lro.On && !lro.Wanted:
		return false, nil
	case lro.Fixed && lro.On:
		return false, fmt.Errorf("%s: large-receive-offload is on and its driver cannot turn it off", nic)
	case lro.Fixed:
		return false, nil
	}
	if err := f.ChangeFeature(nic, lroFeature, false); err != nil {
		return false, err
	}
	after, err := f.Features(nic)
	if err == nil && after[lroFeature].On {
		err = errors.New(nic + ": large-receive-offload stays on")
	}
	return true, err
}

// RestoreLRO turns large-receive-offload on again, as it was before
// TurnOffLRO changed it.
func RestoreLRO(f Features, nic string) error { return f.ChangeFeature(nic, lroFeature, true) }
