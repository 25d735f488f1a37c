package bench

import "fmt"

// Goal is a figure that a device is to reach.
type Goal struct {
	Name   string
	Figure Figure
	// Of is the scenario and device whose figure counts; By what it is divided by,
	// unless its device is "".
	Of, By Point
	// Bound is the least that it is to be, or with AtMost the most.
	Bound  float64
	AtMost bool
	// Scale and Unit are how it is shown.
	Scale float64
	Unit  string
}

// Point is a device in a scenario.
type Point struct {
	Scenario Scenario
	Device   string
}

// How says how the figure is measured.
func (g Goal) How() string {
	text := fmt.Sprintf("%s of %s: %s", g.Figure.Name, g.Of.Device, g.Of.Scenario)
	if g.By.Device == "" {
		return text
	}
	if g.By.Scenario.String() == g.Of.Scenario.String() {
		return text + "; by that of " + g.By.Device
	}
	return fmt.Sprintf("%s; by that of %s: %s", text, g.By.Device, g.By.Scenario)
}

// Outcome is what became of a goal.
type Outcome struct {
	Goal     Goal
	Measured bool
	Value    float64 // not scaled
}

// Judge holds results against goals.
func Judge(r *Results, goals []Goal) (all []Outcome) {
	for _, g := range goals {
		o := Outcome{Goal: g}
		of, ok := r.Summary(g.Of.Scenario, g.Of.Device, g.Figure)
		o.Measured, o.Value = ok, of.Median
		if g.By.Device != "" {
			by, ok := r.Summary(g.By.Scenario, g.By.Device, g.Figure)
			o.Measured = o.Measured && ok && by.Median != 0
			o.Value = of.Median / by.Median
		}
		all = append(all, o)
	}
	return all
}

// Reached reports whether the goal was measured and reached.
func (o Outcome) Reached() bool {
	if o.Goal.AtMost {
		return o.Measured && o.Value <= o.Goal.Bound
	}
	return o.Measured && o.Value >= o.Goal.Bound
}

// Class is "reached", "missed" or "not measured".
func (o Outcome) Class() string {
	switch {
	case !o.Measured:
		return "not measured"
	case o.Reached():
		return "reached"
	}
	return "missed"
}

// Want is the goal as text.
func (o Outcome) Want() string {
	g, sign := o.Goal, ">="
	if g.AtMost {
		sign = "<="
	}
	return fmt.Sprintf("%s %.4g%s", sign, g.Bound*g.Scale, g.Unit)
}

// Got is the figure as text.
func (o Outcome) Got() string {
	if !o.Measured {
		return "-"
	}
	return fmt.Sprintf("%.4g%s", o.Value*o.Goal.Scale, o.Goal.Unit)
}
