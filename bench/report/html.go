package report

import (
	_ "embed"
	"html/template"
	"io"
	"slices"

	"gonum.org/v1/plot/plotter"

	"github.com/grewire/grewire/bench"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// section is a scenario in the page.
type section struct {
	Title string
	Head  []string
	Rows  [][]string
}

// HTML writes a page with the tables, the plots and, if there are any, the goals.
func HTML(to io.Writer, r *bench.Results, goals []bench.Outcome) error {
	data := struct {
		About    [][2]string
		Stopped  bool
		Notes    []string
		Faults   []string
		Goals    []bench.Outcome
		Plots    []template.HTML
		Sections []section
	}{About: about(r), Stopped: r.Stopped, Notes: r.Notes, Faults: r.Faults, Goals: goals}
	var order []string
	for _, d := range r.Devices {
		order = append(order, d.Name)
	}
	for _, f := range figures(r) {
		svg, err := f.svg(order)
		if err != nil {
			return err
		}
		data.Plots = append(data.Plots, template.HTML(svg)) // drawn here, from numbers and names of devices, which are escaped
	}
	for _, s := range r.Scenarios() {
		t := table(r, s)
		data.Sections = append(data.Sections, section{s.String(), t.head, t.rows})
	}
	return pageTemplate.Execute(to, data)
}

func sortPoints(points plotter.XYs) {
	slices.SortStableFunc(points, func(a, b plotter.XY) int {
		switch {
		case a.X < b.X:
			return -1
		case a.X > b.X:
			return 1
		}
		return 0
	})
}
