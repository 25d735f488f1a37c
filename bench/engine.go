package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/grewire/grewire/bench/dut"
	"github.com/grewire/grewire/bench/load"
	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/pptp"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// EngineResult is what the engine alone takes.
type EngineResult struct {
	Calls    int     `json:"calls"`
	Size     int     `json:"size"` // octets, check sequence included
	PerFrame Summary `json:"per_frame_ns"`
	// Harness is what making the frames takes of it, measured without the engine.
	Harness Summary `json:"harness_ns"`
}

// Engine measures how long bridge.Engine takes per frame, in ns: batches of GRE
// of so many calls, in turn, from memory, rounds times for lasting each.
func Engine(ctx context.Context, calls, size, rounds int, lasting time.Duration) (EngineResult, error) {
	r := EngineResult{Calls: calls, Size: size}
	if calls < 1 || calls > maxCalls || size < load.MinSize || size > load.MaxSize || rounds < 1 {
		return r, fmt.Errorf("%d calls, %d octets, %d rounds: want 1 to %d calls, %d to %d octets, 1 round or more", calls, size, rounds, maxCalls, load.MinSize, load.MaxSize)
	}
	e, err := newEngine(calls, size)
	if err != nil {
		return r, err
	}
	var with, without []float64
	for range rounds {
		if ctx.Err() != nil && len(with) > 0 {
			break
		}
		without = append(without, e.run(lasting/4, false))
		with = append(with, e.run(lasting, true))
	}
	r.PerFrame, _ = Summarise(with)
	r.Harness, _ = Summarise(without)
	if dropped := e.engine.Stats().Dropped; dropped > 0 {
		return r, fmt.Errorf("the engine dropped %d frames of its own calls", dropped)
	}
	return r, nil
}

// engine is a bridge.Engine with calls and their next frames.
type engine struct {
	engine *bridge.Engine
	lanes  [2]*bridge.Lane
	batch  []track.Frame
	flows  []load.Flow
	maker  *load.Maker
	now    track.Time
}

func newEngine(calls, size int) (*engine, error) {
	o := track.DefaultOptions()
	o.Seed, o.Limits.CallsPerHost = 1, o.Limits.Calls // there is one server
	e := &engine{engine: bridge.NewEngine(o, func(track.Event) {}), batch: make([]track.Frame, bridge.BatchSize), now: track.Time(time.Now().UnixNano())}
	for side := range e.lanes {
		e.lanes[side] = e.engine.Lane(track.Side(side))
	}
	for i := range calls {
		if err := e.agree(i); err != nil {
			return nil, fmt.Errorf("call %d: %w", i+1, err)
		}
	}
	var err error
	if e.maker, err = load.NewMaker(e.flows, size); err != nil {
		return nil, err
	}
	for i := range e.batch {
		e.batch[i].Data = e.maker.Frame()
	}
	return e, nil
}

// callsPerConn is how many calls a control connection has here.
const callsPerConn = 100

// agree plays the control connection of a call: from the TCP handshake on for the
// first of a connection, the call alone for the others.
func (e *engine) agree(i int) error {
	host, conn, nth := i/callsPerHost, i/callsPerConn, i%callsPerConn
	ends := [2]*tracktest.Host{
		track.LAN: tracktest.NewHost(track.LAN, dut.ClientAddr(host).String()), track.WAN: tracktest.NewHost(track.WAN, dut.ServerAddr.String()),
	}
	c := conversation{engine: e, ends: ends, ports: [2]uint16{track.LAN: uint16(10_000 + conn), track.WAN: pptp.Port}, next: [2]uint32{1000, 2000}}
	if nth == 0 {
		c.segment(track.LAN, wire.SYN, nil)
		c.segment(track.WAN, wire.SYN|wire.ACK, nil)
		c.segment(track.LAN, wire.ACK, nil)
		c.say(track.LAN, tracktest.StartRequest())
		c.say(track.WAN, tracktest.StartReply(pptp.StartResultOK))
	} else {
		// Where the ones before have left the streams.
		ask, answer := pptp.FixedLength(pptp.OutgoingCallRequest), pptp.FixedLength(pptp.OutgoingCallReply)
		c.next[track.LAN] += 1 + uint32(pptp.FixedLength(pptp.StartControlConnectionRequest)+nth*ask)
		c.next[track.WAN] += 1 + uint32(pptp.FixedLength(pptp.StartControlConnectionReply)+nth*answer)
	}
	pns, pac := uint16(i%callsPerHost+1), uint16(i+1)
	c.say(track.LAN, tracktest.OutRequest(pns))
	c.say(track.WAN, tracktest.OutReply(pac, pns, pptp.OutCallResultConnected))
	e.flows = append(e.flows, load.Flow{Source: ends[track.LAN].Addr, Destination: ends[track.WAN].Addr, CallID: pac})
	return c.err
}

// conversation is a control connection as both ends play it.
type conversation struct {
	engine *engine
	ends   [2]*tracktest.Host
	ports  [2]uint16
	next   [2]uint32 // sequence numbers
	err    error
}

func (c *conversation) say(side track.Side, m pptp.Message) {
	octets, err := pptp.Encode(m)
	if err != nil {
		c.err = err
		return
	}
	c.segment(side, wire.ACK, octets)
}

func (c *conversation) segment(side track.Side, flags uint8, data []byte) {
	other := side.Other()
	s := tracktest.TCP{SrcPort: c.ports[side], DstPort: c.ports[other], Seq: c.next[side], Flags: flags, Window: 64240, Data: data}
	if flags&wire.ACK != 0 {
		s.Ack = c.next[other]
	}
	c.next[side] += uint32(len(data))
	if flags&wire.SYN != 0 {
		c.next[side]++
	}
	frames := []track.Frame{{Data: s.Frame(c.ends[side], c.ends[other])}}
	for _, f := range c.engine.lanes[side].Process(frames, c.engine.now) {
		if f.Verdict == track.Drop {
			c.err = fmt.Errorf("the engine drops a control segment: %s", f.Reason)
		}
	}
}

// run makes batches for a while, hands them to the engine if it is to, and returns
// the time per frame in ns.
func (e *engine) run(lasting time.Duration, process bool) float64 {
	frames, began := 0, time.Now()
	lane := e.lanes[track.LAN]
	for {
		for i := range e.batch {
			e.maker.Next(e.batch[i].Data)
			e.batch[i].Verdict, e.batch[i].Reason = 0, 0
		}
		if process {
			lane.Count(lane.Process(e.batch, e.now))
		}
		frames += len(e.batch)
		const lookAtClock = 64 * bridge.BatchSize
		if frames%lookAtClock == 0 {
			if passed := time.Since(began); passed >= lasting {
				return float64(passed) / float64(frames)
			}
			e.now = track.Time(time.Now().UnixNano())
		}
	}
}

// EngineCalls are the numbers of calls that are measured unless somebody says
// others.
func EngineCalls() []int { return slices.Clone([]int{1, 100, 1000, 4000, 50_000}) }
