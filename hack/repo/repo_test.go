package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/grewire/grewire/"

// layers is the house from top to bottom: a package imports those of its own
// folder and of the folders further down that its row names, nothing else of
// the project. The order is the way of a frame, so it runs one way only.
var layers = []struct {
	folder string
	may    []string
}{
	{"hack", []string{"bridge", "nat", "track", "config"}},
	{"cmd", []string{"bench", "bridge", "nat", "track", "config"}},
	{"bench", []string{"bridge", "nat", "track"}},
	{"bridge", []string{"nat", "track"}},
	{"nat", []string{"track"}},
	{"track", nil},
	{"config", nil},
}

// beneath are packages that may not use what stands beside them: leaves.
var beneath = map[string][]string{
	"track/wire":   {},
	"track/pptp":   {},
	"track/flow":   {"track/wire"},
	"track/stream": {"track/pptp"},
	"bridge":       {"nat", "track"},
}

// unsafePackages are the only ones that may import unsafe.
var unsafePackages = []string{"bridge/afpacket", "bridge/bypass"}

// pure are the folders below bridge: no clock, no goroutine's tools, no log, no
// files.
var pure = []string{"nat", "track"}

// impure are what the pure folders may not import.
var impure = []string{"os", "log", "log/slog", "net", "context", "golang.org/x/sys/unix", "github.com/BurntSushi/toml"}

type goPackage struct {
	ImportPath string
	Dir        string
	Doc        string
	Name       string
	GoFiles    []string
	Imports    []string
}

// short is the package's folder in the repository.
func (p *goPackage) short() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Name,GoFiles,Imports", module+"...")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("go list names no packages")
	}
	return all
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			if to, ours := strings.CutPrefix(path, module); ours && !mayImport(p.short(), to) {
				t.Errorf("%s imports %s: the house runs one way, see layers", p.short(), to)
			}
		}
	}
}

func mayImport(from, to string) bool {
	if leaves, ok := beneath[from]; ok {
		return inFolders(to, leaves)
	}
	for _, l := range layers {
		if inFolders(from, []string{l.folder}) {
			return inFolders(to, append([]string{l.folder}, l.may...))
		}
	}
	return false
}

func inFolders(path string, folders []string) bool {
	for _, folder := range folders {
		if path == folder || strings.HasPrefix(path, folder+"/") {
			return true
		}
	}
	return false
}

func TestPurity(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			if path == "unsafe" && !inFolders(p.short(), unsafePackages) {
				t.Errorf("%s imports unsafe; only %v may", p.short(), unsafePackages)
			}
			if isPure(&p) && slices.Contains(impure, path) {
				t.Errorf("%s imports %s: below bridge nothing reads clocks, files or sockets", p.short(), path)
			}
		}
	}
}

// isPure leaves out what only tests import.
func isPure(p *goPackage) bool {
	return inFolders(p.short(), pure) && !strings.HasSuffix(p.ImportPath, "test")
}

// TestTimeIsInjected looks for clocks and goroutines where there may be none.
func TestTimeIsInjected(t *testing.T) {
	for _, p := range packages(t) {
		if !isPure(&p) {
			continue
		}
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if what := impureNode(n); what != "" {
					t.Errorf("%s: %s below bridge", files.Position(n.Pos()), what)
				}
				return true
			})
		}
	}
}

func impureNode(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a goroutine"
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "NewTicker"}, n.Sel.Name) {
			return "time." + n.Sel.Name
		}
	}
	return ""
}

func TestPackageDocs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.short())
		}
	}
}

// maxLines is how long a file may be; beyond that it has more than one idea.
const maxLines = 500

func TestFileSizes(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(text, []byte("\n")); n > maxLines {
				t.Errorf("%s/%s has %d lines, more than %d", p.short(), name, n, maxLines)
			}
		}
	}
}

// tracked returns the names of the files that git tracks, or nothing outside of a
// checkout.
func tracked(t *testing.T) (names []string) {
	out, err := exec.Command("git", "ls-files", "--full-name", "../..").Output()
	if err != nil {
		t.Logf("not a git checkout: %v", err)
		return nil
	}
	return strings.Fields(string(out))
}

func TestTopLevel(t *testing.T) {
	agreed := "cmd bridge track nat config bench go.mod go.sum README.md hack LICENSE"
	for _, name := range tracked(t) {
		top, _, _ := strings.Cut(name, "/")
		if !strings.HasPrefix(top, ".") && !strings.Contains(" "+agreed+" ", " "+top+" ") {
			t.Errorf("%s is at the top level; agreed are %s and dot-files", top, agreed)
		}
	}
}

// TestNoFailedRuns looks for files that rapid left of failed runs. What they found
// belongs into a test that says what it is about.
func TestNoFailedRuns(t *testing.T) {
	for _, name := range tracked(t) {
		if strings.Contains("/"+name, "/testdata/rapid/") {
			t.Errorf("%s is of a failed run", name)
		}
	}
}
