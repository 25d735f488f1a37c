package nat_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// asked are the scenarios that have their test here: those of translation. Package
// track has the others.
func asked(n int) bool { return n >= 35 && n <= 45 || n == 17 || n == 83 }

var scenarioName = regexp.MustCompile(`(?m)^func TestScenario(\d{3})_\w+\(`)

// TestEveryScenarioHasATest reads the names of the tests in this folder.
func TestEveryScenarioHasATest(t *testing.T) {
	var found []int
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range scenarioName.FindAllSubmatch(source, -1) {
			n, _ := strconv.Atoi(string(m[1]))
			found = append(found, n)
		}
	}
	for n := 1; n <= 112; n++ {
		if wanted := asked(n); wanted != slices.Contains(found, n) {
			t.Errorf("scenario %d has a test: %v, want %v", n, !wanted, wanted)
		}
	}
}
