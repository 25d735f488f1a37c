package state

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMomentInTimeNamespace: a moment means the same to boxes in different time
// namespaces.
func TestMomentInTimeNamespace(t *testing.T) {
	const child = "GREWIRE_TEST_MOMENT"
	if os.Getenv(child) != "" {
		fmt.Printf("since %d\n", Now().Since)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("time namespaces need root: run this test with sudo")
	}
	before := Now()
	c := exec.CommandContext(t.Context(), "unshare", "--time", "--boottime", "5000", os.Args[0], "-test.run=^TestMomentInTimeNamespace$")
	c.Env = append(os.Environ(), child+"=1")
	out, err := c.CombinedOutput()
	var inside Moment
	if _, scanned := fmt.Sscanf(string(out), "since %d", &inside.Since); err != nil || scanned != nil {
		t.Fatalf("%v, %v: %s", err, scanned, out)
	}
	inside.Boot = before.Boot
	if passed := before.Until(inside); passed < 0 || passed > time.Minute {
		t.Errorf("%v have passed by the clock of a time namespace", passed)
	}
}
