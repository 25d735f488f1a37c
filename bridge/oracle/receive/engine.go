package receive

import (
	"slices"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/wire"
)

// Engine is a box that the frames of cases go through.
type Engine struct {
	lane *track.Lane
	now  track.Time
}

// NewEngine returns a box with the default options, but for its policy.
func NewEngine(change func(*track.Policy)) *Engine {
	o := track.DefaultOptions()
	change(&o.Policy)
	return &Engine{lane: track.New(o).Lane(track.LAN)}
}

// Judged is what a box made of a case.
type Judged struct {
	Passed  []Frame
	Reasons []track.Reason // of its frames, in the order of their verdicts
	GRE     bool           // whether a reason says that
	TCP     bool           // whether a reason says that, or a frame was read as TCP to port 1723
}

// aboutGRE and aboutControl are the reasons that say so. A fragment may be of
// either. TCP to port 1723 that begins no connection is other traffic until a
// message is seen on it: then what it was read as counts.
var (
	aboutGRE = []track.Reason{
		track.ReasonCall, track.ReasonAdopting, track.ReasonAnyGRE, track.ReasonGREv0, track.ReasonMalformed,
		track.ReasonNotNegotiated, track.ReasonWrongSide, track.ReasonGREVersion, track.ReasonGREv0Denied, track.ReasonStrictGRE,
		track.ReasonGREOther, track.ReasonGREOtherDenied,
	}
	aboutControl = []track.Reason{
		track.ReasonControl, track.ReasonControlOutOfWindow, track.ReasonControlBadChecksum, track.ReasonControlUntracked,
		track.ReasonWrongSide, track.ReasonWrongZone, track.ReasonPPTPDenied,
	}
	aboutFragments = []track.Reason{
		track.ReasonFragmentOrphan, track.ReasonFragmentOverlap, track.ReasonFragmentTiny, track.ReasonFragmentLimit,
	}
)

// between is how much time passes from case to case: no fragment is
// remembered.
const between = track.Time(time.Minute)

// Judge sends a case through the box.
func (e *Engine) Judge(c *Case) (j Judged) {
	for i, f := range c.Frames {
		frames := []track.Frame{{Data: f.Data, Offload: offload(f.Offload), Number: uint64(i)}}
		e.take(c, e.lane.Process(frames, e.now), &j)
	}
	e.now += between
	e.take(c, e.lane.Process(nil, e.now), &j)
	return j
}

func (e *Engine) take(c *Case, decided []*track.Frame, j *Judged) {
	for _, f := range decided {
		fragment := slices.Contains(aboutFragments, f.Reason)
		j.GRE = j.GRE || fragment || slices.Contains(aboutGRE, f.Reason)
		j.TCP = j.TCP || fragment || slices.Contains(aboutControl, f.Reason) || f.Packet.Kind == wire.TCP && f.Packet.DstPort == port
		j.Reasons = append(j.Reasons, f.Reason)
		if f.Verdict.Passes() {
			j.Passed = append(j.Passed, c.Frames[f.Number])
		}
	}
}

// offload is what a port makes of a virtio_net_hdr.
func offload(header []byte) (o wire.Offload) {
	if header != nil {
		o.Flags, o.GSOType = header[0], header[1]
	}
	return o
}
