package main

import (
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/config"
)

// machine is what there is to say about the NICs that a configuration names.
type machine struct {
	lan, wan nic.NIC
	problems []nic.Problem
}

// inspect looks at the NICs.
func inspect(c *config.Config) (m machine, err error) {
	if m.lan, err = nic.Inspect(c.Bridge.LAN); err != nil {
		return m, err
	}
	if m.wan, err = nic.Inspect(c.Bridge.WAN); err != nil {
		return m, err
	}
	m.problems = nic.Verify(m.lan, m.wan)
	return m, nil
}

// fatal returns the problems that keep the box from running.
func (m *machine) fatal() (fatal []nic.Problem) {
	for _, p := range m.problems {
		if p.Severity == nic.Fatal {
			fatal = append(fatal, p)
		}
	}
	return fatal
}
