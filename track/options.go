package track

import (
	"net/netip"
	"time"
)

// Action is what a policy does with a class of frames.
type Action uint8

// The actions. Count lets a frame pass and counts what is wrong with it.
const (
	ActForward Action = iota
	ActDrop
	ActCount
)

// Policy says what may pass. The zero value is not useful: see
// DefaultOptions.
type Policy struct {
	AnyGRE    bool   // let GRE of no call pass (policy.gre = "any")
	GREv0     Action // ActForward or ActDrop
	GREOther  Action // ActForward or ActDrop: GRE version 1 of another protocol than PPP
	Other     Action // ActForward or ActDrop
	Opaque    Action // ActForward or ActDrop: what cannot be looked into (wire.Packet.Opaque)
	DenyPPTP  bool   // drop every control connection
	StrictGRE Action // ActDrop or ActCount: header checks beyond the call ID
	// Adopt takes GRE that goes both ways between the ends of a control
	// connection seen from its middle for calls agreed before
	// (policy.adopt = "live-control").
	Adopt bool
	// Clients and Servers restrict who may hold a control connection with
	// whom; empty means all. The server is the end at TCP port 1723.
	Clients, Servers []netip.Prefix
}

// Limits bounds every table and buffer. All are counts of entries but
// HoldBytes.
type Limits struct {
	Connections int // control connections, half-open ones included
	// ConnectionsPerHost is how many confirmed control connections a client or
	// a server address has, in each zone; 0 means no limit of its own.
	ConnectionsPerHost int
	Calls              int
	CallsPerConnection int // those not answered included; what is beyond is refused
	CallsPerHost       int // per client and per server address, in each zone
	Expectations       int // directions of calls that have seen no GRE yet
	Fragments          int // fragmented datagrams followed at a time
	HoldBytes          int // bytes of frames and of split messages kept
}

// Timeouts after which state without traffic is given up.
type Timeouts struct {
	Expectation    time.Duration // a call whose first GRE packet never came
	GREUnreplied   time.Duration // a call with GRE one way only, control silent as long
	GREStream      time.Duration // a call with GRE both ways, control silent as long
	TCPEstablished time.Duration // an established control connection
	TCPSyn         time.Duration // a half-open control connection
	TCPClosing     time.Duration // a control connection that was closed or reset
	PendingCall    time.Duration // a call that was requested and not answered
}

// Options configures a Tracker.
type Options struct {
	Policy   Policy
	Limits   Limits
	Timeouts Timeouts
	// Translation says by which names the WAN knows the LAN's ends; nil means by
	// their own. It stays as it was when the Tracker was made.
	Translation Translation
	// Workers is how many goroutines decide about the frames of a side, each with a
	// Lane of its own; 0 means 1. Frames that must not overtake each other, and
	// all fragments of a datagram, have one Lane.
	Workers int
	// Seed keys the hash of every table. It must not be guessable by those
	// who send frames; tests fix it.
	Seed uint64
}

// DefaultOptions returns the documented defaults, with a zero Seed.
func DefaultOptions() Options {
	return Options{
		Policy: Policy{GREv0: ActDrop, GREOther: ActDrop, Other: ActForward, StrictGRE: ActCount},
		Limits: Limits{
			Connections: 16384, ConnectionsPerHost: 8192, Calls: 65536, CallsPerConnection: 1024, CallsPerHost: 16384,
			Expectations: 131072, Fragments: 4096, HoldBytes: 8 << 20,
		},
		Timeouts: Timeouts{
			Expectation: 5 * time.Minute, GREUnreplied: 10 * time.Minute, GREStream: 5 * time.Hour,
			TCPEstablished: 5 * 24 * time.Hour, TCPSyn: 2 * time.Minute, TCPClosing: 2 * time.Minute,
			PendingCall: 2 * time.Minute,
		},
		Workers: 1,
	}
}
