package track

import "github.com/grewire/grewire/track/wire"

// A dropLimiter lets through the first report of a reason in full and then a
// few a second: whoever sends bad frames must not fill the log.
type dropLimiter struct {
	since      Time // start of the current second
	reports    int
	suppressed uint64
}

const dropReportsPerSecond = 5

// allow reports whether one more report may be made at now, and how many were
// suppressed since the last.
func (d *dropLimiter) allow(now Time) (suppressed uint64, ok bool) {
	if now-d.since >= 1e9 {
		d.since, d.reports = now, 0
	}
	if d.reports == dropReportsPerSecond {
		d.suppressed++
		return 0, false
	}
	d.reports++
	suppressed, d.suppressed = d.suppressed, 0
	return suppressed, true
}

// ReportDrop makes an event of a dropped frame, now and then. Process does so
// for the frames that it drops; it is for those that are dropped on the way
// out.
func (l *Lane) ReportDrop(f *Frame) {
	suppressed, ok := l.drops[f.Reason].allow(l.now)
	if !ok {
		return
	}
	p := &f.Packet
	d := &DroppedFrame{Side: l.side, Zone: p.Zone, Reason: f.Reason, Length: len(f.Data), Suppressed: suppressed}
	if p.Version != 0 {
		d.Src, d.Dst, d.Protocol = p.Src.Netip(), p.Dst.Netip(), p.Proto
	}
	if p.Kind == wire.EnhancedGRE {
		id := p.CallID
		d.CallID = &id
	}
	l.events = append(l.events, Event{Time: l.now, Kind: EventFrameDropped, Frame: d})
}
