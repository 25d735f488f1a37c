package bridgetest

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
)

const modulePath = "github.com/grewire/grewire"

// builds are the programs built for the open labs of this process. They go
// with the last lab, or when Main ends, so that nothing stays behind.
var builds struct {
	mu    sync.Mutex
	labs  int
	dir   string
	paths map[string]string
}

func openBuilds() {
	builds.mu.Lock()
	defer builds.mu.Unlock()
	builds.labs++
}

func closeBuilds() error {
	builds.mu.Lock()
	defer builds.mu.Unlock()
	if builds.labs--; builds.labs > 0 || builds.dir == "" {
		return nil
	}
	dir := builds.dir
	builds.dir, builds.paths = "", nil
	return os.RemoveAll(dir)
}

// Build builds a program of this module, such as "cmd/grewire", as it is
// released (static, without cgo) and returns the path of the binary. It works
// inside the module's source tree, once per program while a lab is open or
// Main runs.
func (l *Lab) Build(program string) (string, error) {
	builds.mu.Lock()
	defer builds.mu.Unlock()
	if built := builds.paths[program]; built != "" {
		return built, nil
	}
	if builds.dir == "" {
		dir, err := os.MkdirTemp("", fmt.Sprintf("grewire-%d-0-bin-", os.Getpid()))
		if err != nil {
			return "", fmt.Errorf("build %s: %w", program, err)
		}
		builds.dir, builds.paths = dir, make(map[string]string)
	}
	binary := filepath.Join(builds.dir, path.Base(program))
	cmd := exec.Command("go", "build", "-o", binary, path.Join(modulePath, program))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	builds.paths[program] = binary
	return binary, nil
}
