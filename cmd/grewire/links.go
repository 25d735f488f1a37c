package main

import (
	"log/slog"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/fanout"
	"github.com/grewire/grewire/bridge/links"
	"github.com/grewire/grewire/bridge/nic"
	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

// linkOptions says how the box keeps to its NICs. Whoever is to be told when
// they were claimed, or one was opened, or opened again, sets OnClaim and OnOpen.
func linkOptions(conf *config.Config, share *fanout.Program, hub *bridge.Hub, clock bridge.Clock, log *slog.Logger) links.Options {
	return links.Options{
		LAN: conf.Bridge.LAN, WAN: conf.Bridge.WAN, Propagate: conf.Bridge.LinkPropagation, Log: log,
		Workers: conf.Bridge.Workers,
		Open:    func(name string) ([]links.Port, error) { return openPorts(name, &conf.Bridge, share) },
		OnEvent: func(e track.Event) {
			e.Time = clock()
			hub.Publish(e)
		},
	}
}

// logOffloads says which offloads are on, and what each means to the box.
func logOffloads(log *slog.Logger, lan, wan *nic.NIC) {
	there := wan.Offloads.List()
	for i, o := range lan.Offloads.List() {
		if o.On || there[i].On {
			log.Info("offload "+o.Name+": "+o.Meaning, "offload", o.Name, "lan", o.On, "wan", there[i].On)
		}
	}
}
