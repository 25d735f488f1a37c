// Package config turns a TOML file into a checked Config.
//
// A file is read whole and every fault in it is reported at once, each with
// its key and its line, so that an operator mends a file in one go. Nothing is
// passed over in silence: an unknown key is a fault, and so is a value that
// the format names but this version does not act upon.
//
// Reading goes in four steps: places.go finds where each key stands, parse.go
// has the TOML library decode the text, schema.go (with kinds.go) checks and
// stores each value, and rules.go checks what concerns several keys at once.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is a whole configuration. Every key has a default (see Default) but
// bridge.lan and bridge.wan.
type Config struct {
	Bridge   Bridge   `toml:"bridge"`
	Policy   Policy   `toml:"policy"`
	Limits   Limits   `toml:"limits"`
	Timeouts Timeouts `toml:"timeouts"`
	NAT      NAT      `toml:"nat"`
	Status   Status   `toml:"status"`
	Log      Log      `toml:"log"`
}

// Bridge names the two NICs and says how frames are moved between them.
type Bridge struct {
	LAN             string  `toml:"lan"`     // NIC towards the LAN
	WAN             string  `toml:"wan"`     // NIC towards the WAN
	Workers         int     `toml:"workers"` // threads per direction
	Backend         Backend `toml:"backend"`
	RingSlots       int     `toml:"ring_slots"`       // frames that the ring of a NIC has room for
	ReceiveBuffer   int     `toml:"receive_buffer"`   // bytes of a NIC's socket for frames received
	SendBuffer      int     `toml:"send_buffer"`      // bytes of a NIC's socket for frames being sent
	QdiscBypass     bool    `toml:"qdisc_bypass"`     // frames are sent without a queueing discipline
	LinkPropagation bool    `toml:"link_propagation"` // carrier lost on one side is taken away on the other
	Fail            Fail    `toml:"fail"`
}

// Policy says what may pass.
type Policy struct {
	GRE       GRE            `toml:"gre"`
	GREv0     Action         `toml:"gre_v0"`    // ActionDrop or ActionForward
	GREOther  Action         `toml:"gre_other"` // ActionDrop or ActionForward
	Other     Action         `toml:"other"`     // ActionForward or ActionDrop
	Opaque    Action         `toml:"opaque"`    // ActionForward or ActionDrop
	PPTP      Permission     `toml:"pptp"`
	Clients   []netip.Prefix `toml:"clients"`    // who may call; nil means all
	Servers   []netip.Prefix `toml:"servers"`    // who may be called; nil means all
	StrictGRE Action         `toml:"strict_gre"` // ActionDrop or ActionCount
	Adopt     Adopt          `toml:"adopt"`
}

// Limits bounds every table and buffer. All count entries but HoldBytes.
type Limits struct {
	Connections        int `toml:"connections"`          // control connections, half-open ones included
	ConnectionsPerHost int `toml:"connections_per_host"` // those of one client or server address, in each zone
	Calls              int `toml:"calls"`                // calls in all
	CallsPerConnection int `toml:"calls_per_connection"` // calls of one control connection
	CallsPerHost       int `toml:"calls_per_host"`       // calls of one client or server address, in each zone
	Expectations       int `toml:"expectations"`         // directions of calls that have seen no GRE yet
	Fragments          int `toml:"fragments"`            // fragmented datagrams followed at a time
	HoldBytes          int `toml:"hold_bytes"`           // bytes of frames and of split messages kept
}

// Timeouts after which state without traffic is given up.
type Timeouts struct {
	Expectation    time.Duration `toml:"expectation"`     // a call whose first GRE packet never came
	GREUnreplied   time.Duration `toml:"gre_unreplied"`   // a call with GRE one way only
	GREStream      time.Duration `toml:"gre_stream"`      // a call with GRE both ways
	TCPEstablished time.Duration `toml:"tcp_established"` // an established control connection
	TCPSyn         time.Duration `toml:"tcp_syn"`         // a half-open control connection
	TCPClosing     time.Duration `toml:"tcp_closing"`     // a control connection that was closed or reset
	PendingCall    time.Duration `toml:"pending_call"`    // a call requested and not answered
}

// NAT says what is translated on the way to the WAN. All addresses are IPv4.
type NAT struct {
	Mode    NATMode    `toml:"mode"`
	Address netip.Addr `toml:"address"` // what the WAN sees with NATMasquerade, which must have one; the zero Addr means none
	Ports   PortRange  `toml:"ports"`   // what TCP source ports are chosen from that cannot be kept
	Forward []Forward  `toml:"forward"` // with any mode
}

// Forward leads control connections from the WAN to a server on the LAN side.
// Several may have one Address and spread its connections over their servers.
// A server is reached by one Address only, and is none itself.
type Forward struct {
	Address netip.Addr `toml:"address"` // as the WAN dials it; may be that of NAT
	To      netip.Addr `toml:"to"`      // the server behind it
}

// Status says where the running box answers questions.
type Status struct {
	Socket string `toml:"socket"` // absolute path of the control socket
	State  string `toml:"state"`  // absolute path of the state file; empty means none
	Listen string `toml:"listen"` // host:port for HTTP; empty means off
}

// Log says what is logged on stderr and how.
type Log struct {
	Level  LogLevel  `toml:"level"`
	Format LogFormat `toml:"format"`
}

// Backend is the way frames are read from and written to the NICs.
type Backend string

// The backends. BackendAuto takes the ring, and recvmmsg(2) where the kernel
// has no memory for one.
const (
	BackendAuto Backend = "auto"
	BackendMMsg Backend = "mmsg" // recvmmsg(2)
	BackendRing Backend = "ring" // TPACKET_V2 ring
)

// Fail is what becomes of the wire when the box stops.
type Fail string

// The wire is cut (closed) or short-circuited (open).
const (
	FailClosed Fail = "closed"
	FailOpen   Fail = "open"
)

// GRE says which GRE passes.
type GRE string

// GRENegotiated lets only GRE of agreed calls pass, GREAny all of it.
const (
	GRENegotiated GRE = "negotiated"
	GREAny        GRE = "any"
)

// Action is what is done with a class of frames.
type Action string

// The actions. ActionCount forwards a frame and counts what is wrong with it.
const (
	ActionForward Action = "forward"
	ActionDrop    Action = "drop"
	ActionCount   Action = "count"
)

// Permission allows or denies control connections as a whole.
type Permission string

// The permissions.
const (
	Allow Permission = "allow"
	Deny  Permission = "deny"
)

// Adopt says what becomes of calls that began before the box did.
type Adopt string

// AdoptOff grants GRE only to calls agreed in full view; AdoptLiveControl
// also takes over calls whose control connection is alive.
const (
	AdoptOff         Adopt = "off"
	AdoptLiveControl Adopt = "live-control"
)

// NATMode is how much is translated.
type NATMode string

// NATOff translates nothing, NATCallID call IDs only, NATMasquerade also hides
// the LAN's addresses behind nat.address.
const (
	NATOff        NATMode = "off"
	NATCallID     NATMode = "call-id"
	NATMasquerade NATMode = "masquerade"
)

// LogLevel is the least severity that is logged. It is a slog.Leveler.
type LogLevel string

// The log levels.
const (
	LevelDebug LogLevel = "debug"
	LevelInfo  LogLevel = "info"
	LevelWarn  LogLevel = "warn"
	LevelError LogLevel = "error"
)

// Level returns the slog level of the same name; slog.LevelInfo for a name
// that is none of the constants.
func (l LogLevel) Level() slog.Level {
	switch l {
	case LevelDebug:
		return slog.LevelDebug
	case LevelWarn:
		return slog.LevelWarn
	case LevelError:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// LogFormat is the form of a log line.
type LogFormat string

// The log formats.
const (
	FormatJSON LogFormat = "json"
	FormatText LogFormat = "text"
)

// Default returns the configuration of an empty file. Its two NICs are empty:
// they have no default.
func Default() Config {
	return Config{
		Bridge: Bridge{
			Workers: 1, Backend: BackendAuto, Fail: FailClosed,
			RingSlots: 8192, ReceiveBuffer: 16 << 20, SendBuffer: 8 << 20,
		},
		Policy: Policy{
			GRE: GRENegotiated, GREv0: ActionDrop, GREOther: ActionDrop, Other: ActionForward, Opaque: ActionForward,
			PPTP: Allow, StrictGRE: ActionCount, Adopt: AdoptOff,
		},
		Limits: Limits{
			Connections: 16384, ConnectionsPerHost: 8192, Calls: 65536, CallsPerConnection: 1024, CallsPerHost: 16384,
			Expectations: 131072, Fragments: 4096, HoldBytes: 8 << 20,
		},
		Timeouts: Timeouts{
			Expectation: 5 * time.Minute, GREUnreplied: 10 * time.Minute, GREStream: 5 * time.Hour,
			TCPEstablished: 5 * 24 * time.Hour, TCPSyn: 2 * time.Minute, TCPClosing: 2 * time.Minute,
			PendingCall: 2 * time.Minute,
		},
		NAT:    NAT{Mode: NATOff, Ports: PortRange{32768, 60999}},
		Status: Status{Socket: "/run/grewire/grewire.sock", State: "/var/lib/grewire/state"},
		Log:    Log{Level: LevelInfo, Format: FormatJSON},
	}
}
