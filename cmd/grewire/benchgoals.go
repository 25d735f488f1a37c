package main

import (
	"context"
	"os"
	"time"

	"github.com/grewire/grewire/bench"
	"github.com/grewire/grewire/bench/dut"
)

const benchGoalsAbout = `Measures this box beside a Linux bridge with the kernel's PPTP helper, which it replaces,
and says what it reaches of what it is to reach. It needs root, Linux 6.6 and some
minutes. Flags:
`

func (p *program) benchGoals(ctx context.Context, args []string) int {
	f := p.flags("bench goals", "[flags]", benchGoalsAbout)
	rounds := f.Int("rounds", 3, "how often everything is measured")
	trial := f.Duration("trial", 500*time.Millisecond, "how long each trial sends")
	soak := f.Duration("soak", time.Minute, "how long no frame may be lost at 80 % of the rate; 0: not measured")
	r := f.reportFlags()
	if _, code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	binary, err := os.Executable()
	if err != nil {
		return p.failed(f.Name(), err)
	}
	plan, goals := bench.Goals(dut.Known(binary), *soak)
	plan.Rounds, plan.Trial = *rounds, *trial
	if *soak < 0 {
		return f.misused("a soak of less than no time")
	}
	return p.runBench(ctx, f, plan, r, goals)
}
