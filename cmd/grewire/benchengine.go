package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/grewire/grewire/bench"
)

const benchEngineAbout = `Measures what one frame takes in decode, tracking and verdict, with batches of GRE from
memory: no socket, no root. Flags:
`

func (p *program) benchEngine(ctx context.Context, args []string) int {
	f := p.flags("bench engine", "[flags]", benchEngineAbout)
	calls := f.String("calls", strings.Trim(strings.ReplaceAll(fmt.Sprint(bench.EngineCalls()), " ", ","), "[]"), "`numbers` of calls, which take turns")
	size := f.Int("size", 64, "frame size in octets with check sequence")
	rounds := f.Int("rounds", 5, "how often everything is measured")
	lasting := f.Duration("lasting", 200*time.Millisecond, "how long each round takes")
	asJSON := f.Bool("json", false, "print a JSON array")
	if _, code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	numbers, err := engineCalls(*calls)
	if err == nil && *lasting <= 0 {
		err = fmt.Errorf("rounds of %v take no time", *lasting)
	}
	if err != nil {
		return f.misused(err.Error())
	}
	results := []bench.EngineResult{}
	for _, n := range numbers {
		if ctx.Err() != nil {
			break
		}
		r, err := bench.Engine(ctx, n, *size, *rounds, *lasting)
		if err != nil {
			return p.failed(f.Name(), err)
		}
		results = append(results, r)
	}
	if *asJSON {
		return p.printed(f.Name(), json.NewEncoder(p.out).Encode(results))
	}
	return p.printed(f.Name(), p.printEngine(results))
}

func engineCalls(text string) (numbers []int, err error) {
	for _, word := range listed(text) {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("number of calls %q", word)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) == 0 {
		return nil, errors.New("no number of calls")
	}
	return numbers, nil
}

func (p *program) printEngine(results []bench.EngineResult) error {
	table := newTable(p.out)
	fmt.Fprintln(table, "CALLS\tNS/FRAME\tROUNDS\tOF IT MAKING THE FRAME\tMFRAMES/S ON ONE CPU")
	for _, r := range results {
		net := r.PerFrame.Median - r.Harness.Median
		fmt.Fprintf(table, "%d\t%.1f\t%d: %.1f-%.1f\t%.1f\t%.1f\n", r.Calls, r.PerFrame.Median, r.PerFrame.Rounds, r.PerFrame.Min, r.PerFrame.Max, r.Harness.Median, 1e3/net)
	}
	return table.Flush()
}
