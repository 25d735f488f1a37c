package main

import (
	"fmt"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/fanout"
	"github.com/grewire/grewire/bridge/links"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

// openFanout returns what shares frames out among several workers; nil for one,
// who gets all. It is kept for NICs that come back, when the box may have lost
// the right to load it.
func openFanout(conf *config.Config) (*fanout.Program, error) {
	if conf.Bridge.Workers == 1 {
		return nil, nil
	}
	share, err := fanout.Load()
	if err != nil {
		return nil, fmt.Errorf("bridge.workers = %d cannot be had here: %w", conf.Bridge.Workers, err)
	}
	return share, nil
}

// crowdedWorkers says that several workers have not a CPU each, of n: they take
// turns then, and carry less than one worker for each direction would.
func crowdedWorkers(c *config.Bridge, n int) (message, advice string) {
	if c.Workers == 1 || 2*c.Workers <= n {
		return "", ""
	}
	return fmt.Sprintf("bridge.workers = %d makes %d threads, for %d CPUs: they take turns, and carry less than fewer would", c.Workers, 2*c.Workers, n),
		"use no more than half of the CPUs' number for each direction, or 1"
}

func closeFanout(share *fanout.Program) error {
	if share == nil {
		return nil
	}
	return share.Close()
}

// openPorts opens a NIC for every worker.
func openPorts(name string, c *config.Bridge, share *fanout.Program) ([]links.Port, error) {
	if share == nil {
		port, err := afpacket.Open(name, portOptions(c))
		if err != nil {
			return nil, err // and no Port around a nil pointer
		}
		return []links.Port{port}, nil
	}
	group, err := afpacket.OpenGroup(name, c.Workers, share.FD(), portOptions(c))
	ports := make([]links.Port, len(group))
	for i, port := range group {
		ports[i] = port
	}
	return ports, err
}

// portsOf are the ports of a side as the workers use them.
func portsOf(keeper *links.Keeper, side track.Side) (ports []bridge.Port) {
	for _, port := range keeper.Ports(side) {
		ports = append(ports, port)
	}
	return ports
}
