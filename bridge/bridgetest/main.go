package bridgetest

import (
	"fmt"
	"os"
)

// Main runs the tests of a package and returns its exit code, for a TestMain.
// Programs that are built for labs are then built once in all, and not again
// when a test opens the first lab after others have closed theirs.
func Main(tests interface{ Run() int }) (code int) {
	openBuilds()
	code = tests.Run()
	if err := closeBuilds(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}
