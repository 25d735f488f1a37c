package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionInfo says which grewire this is.
type versionInfo struct {
	Version  string `json:"version"`            // of the module, "(devel)" when built from a checkout
	Revision string `json:"revision,omitempty"` // the commit
	Time     string `json:"time,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"` // the checkout had changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildVersion() versionInfo {
	v := versionInfo{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Revision = setting.Value
		case "vcs.time":
			v.Time = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}

// String returns the version in one line.
func (v versionInfo) String() string {
	s := "grewire " + v.Version
	if v.Revision != "" {
		s += fmt.Sprintf(" (%.12s of %s", v.Revision, v.Time)
		if v.Modified {
			s += ", modified"
		}
		s += ")"
	}
	return s + " " + v.Go + " " + v.Platform
}

func (p *program) version(_ context.Context, args []string) int {
	f := p.flags("version", "[-json]", "Says which grewire this is.\n")
	asJSON := f.Bool("json", false, "print a JSON object")
	if _, code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	if *asJSON {
		return p.printed("version", json.NewEncoder(p.out).Encode(buildVersion()))
	}
	_, err := fmt.Fprintln(p.out, buildVersion())
	return p.printed("version", err)
}

// printed turns the outcome of printing a command's result into its exit code.
func (p *program) printed(command string, err error) int {
	if err != nil {
		return p.failed(command, fmt.Errorf("cannot print: %w", err))
	}
	return exitOK
}
