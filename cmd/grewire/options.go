package main

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/grewire/grewire/config"
	"github.com/grewire/grewire/track"
)

// trackOptions is what a configuration says to the tracker. The seed is not
// part of a configuration.
func trackOptions(c *config.Config) track.Options {
	return track.Options{
		Policy: track.Policy{
			AnyGRE:    c.Policy.GRE == config.GREAny,
			GREv0:     action(c.Policy.GREv0),
			GREOther:  action(c.Policy.GREOther),
			Other:     action(c.Policy.Other),
			Opaque:    action(c.Policy.Opaque),
			DenyPPTP:  c.Policy.PPTP == config.Deny,
			StrictGRE: action(c.Policy.StrictGRE),
			Adopt:     c.Policy.Adopt == config.AdoptLiveControl,
			Clients:   c.Policy.Clients,
			Servers:   c.Policy.Servers,
		},
		Limits:   track.Limits(c.Limits),
		Timeouts: track.Timeouts(c.Timeouts),
		Workers:  c.Bridge.Workers,
	}
}

// action translates a checked word of the configuration; an action that is
// none of them drops.
func action(a config.Action) track.Action {
	switch a {
	case config.ActionForward:
		return track.ActForward
	case config.ActionCount:
		return track.ActCount
	}
	return track.ActDrop
}

// randomSeed returns a seed for the tables' hashes that nobody can guess.
func randomSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.NativeEndian.Uint64(b[:])
}
