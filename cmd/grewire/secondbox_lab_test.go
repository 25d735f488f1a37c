package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLabSecondBox: a second box is refused, by the socket or by the NICs, and
// leaves the first one and its bypass as they are.
func TestLabSecondBox(t *testing.T) {
	t.Parallel()
	b := newBypassLab(t, "open")
	b.start()
	before := b.bypass("status")
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(b.top.Lab.Dir(), "other.toml")
	for name, change := range map[string]*strings.Replacer{
		"is running there": strings.NewReplacer(),
		"carries frames":   strings.NewReplacer(b.socket, b.socket+"2", `fail = "open"`, `fail = "closed"`),
	} {
		if err := os.WriteFile(other, []byte(change.Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if out, err := b.top.Box.Run(ctx, b.binary, "run", "-config", other); err == nil || !strings.Contains(out, name) {
			t.Errorf("a second box: %v, %s", err, out)
		}
		after := b.bypass("status")
		if !after.Running || after.Fail != before.Fail || !after.Sides["lan"].Attached || !after.Sides["wan"].Attached {
			t.Errorf("after a second box that %s: %+v", name, after)
		}
	}
	b.stop()
	b.bypass("off")
}
