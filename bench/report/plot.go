package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/grewire/grewire/bench"
)

// figure is a plot: a line for each device.
type figure struct {
	title, x, y string
	logX, logY  bool
	xTicks      []plot.Tick
	lines       []line
}

type line struct {
	device string
	points plotter.XYs
}

const (
	plotWidth   = 19 * vg.Centimeter
	plotHeight  = 9 * vg.Centimeter
	legendWidth = 5 * vg.Centimeter // at the right of the plot, for the longest name of a device
	margin      = 5 * vg.Millimeter
)

// palette tells devices apart, also for those who do not see all colours (Okabe
// and Ito's).
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0, 0, 0, 0xff},
}

// svg draws the figure. Devices keep their colour in all figures: it goes by
// their place in order.
func (f *figure) svg(order []string) (string, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.title, f.x, f.y
	p.Title.TextStyle.Font.Size, p.Title.Padding = vg.Points(11), vg.Millimeter
	legend := plot.NewLegend()
	legend.Top, legend.Left, legend.Padding = true, true, vg.Millimeter
	legend.TextStyle.Font.Size = vg.Points(10)
	p.Add(plotter.NewGrid())
	for _, l := range f.lines {
		if err := f.add(p, &legend, l, place(order, l.device)); err != nil {
			return "", err
		}
	}
	f.scale(p)
	canvas := vgsvg.New(plotWidth, plotHeight)
	whole := draw.New(canvas)
	p.Draw(draw.Crop(whole, 0, -legendWidth-margin, 0, -margin/2))
	legend.Draw(draw.Crop(whole, plotWidth-legendWidth, 0, 0, -2*margin))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return "", fmt.Errorf("draw %q: %w", f.title, err)
	}
	// What is inline in HTML has no XML header.
	_, body, _ := strings.Cut(out.String(), "<svg")
	return "<svg" + body, nil
}

func (f *figure) add(p *plot.Plot, legend *plot.Legend, l line, index int) error {
	lines, points, err := plotter.NewLinePoints(l.points)
	if err != nil {
		return fmt.Errorf("draw %q: %w", f.title, err)
	}
	c := palette[index%len(palette)]
	lines.Color, points.Color = c, c
	lines.Width = vg.Points(1.5)
	points.Shape, points.Radius = shape(index), vg.Points(2.5)
	p.Add(lines, points)
	legend.Add(l.device, lines, points)
	return nil
}

// shape tells devices apart where colours do not.
func shape(index int) draw.GlyphDrawer {
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}, draw.PyramidGlyph{}}
	return shapes[index%len(shapes)]
}

func place(order []string, device string) int {
	for i, name := range order {
		if name == device {
			return i
		}
	}
	return len(order)
}

// scale sets the axes. A linear one begins at 0, so that lengths can be compared.
func (f *figure) scale(p *plot.Plot) {
	if f.logX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if f.xTicks != nil {
		p.X.Tick.Marker = plot.ConstantTicks(f.xTicks)
	}
	if f.logY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Y.Min = math.Pow(10, math.Floor(math.Log10(p.Y.Min)))
		p.Y.Max = math.Pow(10, math.Ceil(math.Log10(p.Y.Max)))
		return
	}
	p.Y.Min = 0
	if p.Y.Max *= 1.05; p.Y.Max == 0 {
		p.Y.Max = 1 // else nothing would lie between less than nothing and more
	}
}

// figures are all plots that the results have points for.
func figures(r *bench.Results) (all []*figure) {
	all = append(all, against(r, "Without loss, by calls", "calls", callsOf, bench.Throughput)...)
	all = append(all, against(r, "Without loss, by size", "octets", sizeOf, bench.Throughput)...)
	all = append(all, against(r, "Under overload, by calls", "calls", callsOf, bench.Flood)...)
	all = append(all, against(r, "Loss by load", "load, kframes/s", nil, bench.Loss)...)
	for _, s := range r.Scenarios() {
		if f := percentiles(r, s); s.Test == bench.Latency && len(f.lines) > 0 {
			all = append(all, f)
		}
	}
	return all
}

func callsOf(s *bench.Scenario) float64 {
	calls := s.Calls
	s.Calls = 0
	return float64(calls)
}

// sizeOf leaves out mixes: they have no place on an axis of sizes.
func sizeOf(s *bench.Scenario) float64 {
	if len(s.Sizes.Octets) != 1 {
		return 0
	}
	size := s.Sizes.Octets[0]
	s.Sizes = bench.Sizes{}
	return float64(size)
}

// loadOf is the offered rate, as measured.
func loadOf(r *bench.Results, s *bench.Scenario, device string) float64 {
	offered, _ := r.Summary(*s, device, bench.FigureOffered)
	s.Rate, s.Share = 0, 0
	return offered.Median * kilo
}

// against makes plots of the scenarios that differ in one thing only, x, and of
// which there are at least two.
func against(r *bench.Results, title, label string, x func(*bench.Scenario) float64, test bench.Test) (all []*figure) {
	byRest := map[string]*figure{}
	for _, s := range r.Scenarios() {
		if s.Test != test {
			continue
		}
		for _, device := range r.Measured(s) {
			rest := s
			var at float64
			if x != nil {
				at = x(&rest)
			} else {
				at = loadOf(r, &rest, device)
			}
			if at <= 0 {
				continue
			}
			f := byRest[restName(rest)]
			if f == nil {
				f = &figure{title: title + ": " + restName(rest), x: label, y: "kframes/s", logX: x != nil}
				byRest[restName(rest)] = f
				all = append(all, f)
			}
			f.put(device, at, main(r, s, device))
			if test == bench.Loss {
				f.y = "lost, %"
			}
		}
	}
	return keepLines(all)
}

// main is the main figure of a scenario, as its column shows it.
func main(r *bench.Results, s bench.Scenario, device string) float64 {
	c := columns[s.Test][0]
	sum, _ := r.Summary(s, device, c.figure)
	return sum.Median * c.scale
}

// restName names what the points of a plot have in common.
func restName(s bench.Scenario) string {
	var parts []string
	if s.Calls > 0 {
		parts = append(parts, bench.CountCalls(s.Calls))
	}
	if s.Sizes.Name != "" {
		parts = append(parts, s.Sizes.String())
	}
	if s.Traffic != bench.AllCalls {
		parts = append(parts, "traffic in the "+string(s.Traffic)+" call")
	}
	parts = append(parts, string(s.Sender)+" sender")
	if s.BothWays {
		parts = append(parts, "both ways")
	}
	return strings.Join(parts, ", ")
}

func (f *figure) put(device string, x, y float64) {
	for i := range f.lines {
		if f.lines[i].device == device {
			f.lines[i].points = append(f.lines[i].points, plotter.XY{X: x, Y: y})
			return
		}
	}
	f.lines = append(f.lines, line{device, plotter.XYs{{X: x, Y: y}}})
}

// keepLines leaves out what has fewer than two points, and sorts the rest.
func keepLines(all []*figure) (kept []*figure) {
	for _, f := range all {
		longest := 0
		for _, l := range f.lines {
			sortPoints(l.points)
			longest = max(longest, len(l.points))
		}
		if longest > 1 {
			kept = append(kept, f)
		}
	}
	return kept
}

// percentiles plots how late frames come: each tick to the right has a tenth of
// the frames beyond it that the one before has.
func percentiles(r *bench.Results, s bench.Scenario) *figure {
	f := &figure{title: s.String(), x: "share of frames", y: "delay, us", logY: true}
	for i, p := range []struct {
		name   string
		figure bench.Figure
	}{{"50 %", bench.FigureP50}, {"90 %", bench.FigureP90}, {"99 %", bench.FigureP99}, {"99.9 %", bench.FigureP999}, {"all", bench.FigureMax}} {
		f.xTicks = append(f.xTicks, plot.Tick{Value: float64(i), Label: p.name})
		for _, device := range r.Measured(s) {
			if sum, ok := r.Summary(s, device, p.figure); ok && sum.Median > 0 {
				f.put(device, float64(i), sum.Median*1e6)
			}
		}
	}
	return f
}
