package report

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"

	"github.com/grewire/grewire/bench"
)

// JSON writes the results as one object, with every value of every round.
func JSON(to io.Writer, r *bench.Results) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// csvHead has the columns of CSV.
var csvHead = []string{"test", "calls", "traffic", "sizes", "sender", "both_ways", "load", "lasting", "device", "round", "figure", "unit", "value"}

// CSV writes a line for every value of every round.
func CSV(to io.Writer, r *bench.Results) error {
	w := csv.NewWriter(to)
	if err := w.Write(csvHead); err != nil {
		return err
	}
	for i := range r.Values {
		v := &r.Values[i]
		s := v.Scenario
		err := w.Write([]string{
			string(s.Test), strconv.Itoa(s.Calls), string(s.Traffic), s.Sizes.Name, string(s.Sender), strconv.FormatBool(s.BothWays), s.Load(), lasting(s),
			v.Device, strconv.Itoa(v.Round), v.Figure.Name, v.Figure.Unit, strconv.FormatFloat(v.Value, 'g', -1, 64),
		})
		if err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// lasting is for how long a scenario's trials send, "" if it is as in all others.
func lasting(s bench.Scenario) string {
	if s.Lasting == 0 {
		return ""
	}
	return s.Lasting.String()
}
