package track_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// elsewhere are the scenarios that are no matter of this package alone, or
// that it does not support.
var elsewhere = map[int]string{
	17: "in-call under translation: package nat",
	83: "fragments under translation: package nat",
}

// asked reports whether scenario n is to have a test here: all but translation
// (35-45), load (99-104) and operation (105-112).
func asked(n int) bool { return n >= 1 && n <= 34 || n >= 46 && n <= 98 }

var scenarioName = regexp.MustCompile(`^TestScenario(\d{3})_\w+$`)

// TestEveryScenarioHasATest reads the names of the tests in this folder.
func TestEveryScenarioHasATest(t *testing.T) {
	found := map[int]bool{}
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				if m := scenarioName.FindStringSubmatch(f.Name.Name); m != nil {
					n, _ := strconv.Atoi(m[1])
					found[n] = true
				}
			}
		}
	}
	for n := 1; n <= 112; n++ {
		_, left := elsewhere[n]
		if wanted := asked(n) && !left; wanted != found[n] {
			t.Errorf("scenario %d has a test: %v, want %v", n, found[n], wanted)
		}
	}
}
