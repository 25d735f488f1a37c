// Package track follows who talks to whom by PPTP (RFC 2637), and decides
// about every frame: which may pass, and why.
//
// # What is followed
//
// A control connection is a TCP connection that was opened to port 1723; one
// that was opened from it is other traffic (otherport.go). Either end may open
// it, and either may be PNS or PAC: that is decided for each call by what its
// messages say (RFC 2637, section 1.2). A connection has any number of calls.
// A call is asked for (Outgoing- or Incoming-Call-Request), agreed
// (Outgoing-Call-Reply, or Incoming-Call-Reply and Incoming-Call-Connected)
// and cleared. From when it is agreed until it ends, its GRE may pass, and no
// other GRE may.
//
// # The tables
//
//	controls     (zone, LAN address and port, WAN address and port) -> connection
//	connections  TCP state, two streams, the session, three lists of calls
//	calls        kind, state, IDs, deadline
//	keymap       (side, zone, source, destination, call ID) -> direction of a call
//	hosts        (zone, address) -> number of calls and confirmed connections
//	asked        the same for a call that is not agreed: (side, …, call ID) -> call
//	pairs        (zone, LAN address, WAN address) -> connection that adopts
//	aliases      what the WAN knows the LAN's ends by, see Translation below
//	endings      calls that ended with their connection, until they are cleaned up
//
// The key map is what GRE goes by. An agreed call has two entries, one per
// direction, each stored as the packet looks on the side where it comes in,
// so that one probe gives the verdict, however many calls there are. All of
// the tables are sized by the limits when the Tracker is made; none grows with
// the traffic.
//
// # Confirmed and unconfirmed connections
//
// Anybody can send a frame that looks as if it were of a connection. One is
// confirmed when both ends were heard of: the handshake was seen to its end,
// or, of a connection taken up in its middle, the ends agree on what each has
// sent. Only then does it make segments from other sides and zones misplaced,
// may it be silent for days, and is control-open reported. Those that are not
// confirmed share an eighth of the table (at least 64), half of the calls and
// half of the streams' buffers; as many newer ones later, one of them is
// evicted (ageing.go). Closed ones have an eighth, too.
//
// # Ends that go on elsewhere
//
// The box may miss segments, so the ends of a connection may be elsewhere than it
// knows. Anybody can say so who sends from both sides with the ends' addresses.
// Therefore the ends that are known are believed as long as they answer: new ones
// have to be next to them, to start a session, or to go undisputed for a time
// (rejoin.go). A handshake on an open connection is no exception: what its ends say
// is kept, and read in the order in which it comes as far as it tells whether they
// have a session. With that, and not with the handshake, the old calls end (trial.go).
//
// # Two calls with one ID
//
// A call that is agreed with an ID which a call of another connection of the same two
// addresses has is one of an end that has forgotten the other, or one that
// somebody made up to end the other. The ID stays with the call that has it as long
// as the end that assigned it gives signs of life, which nobody can keep from coming
// who is not on the way: GRE, segments in the window. The newcomer's messages pass, its
// GRE is GRE of no call, and it gets the ID when the other call ends or its end has
// been silent long enough (contest.go). On one connection the newer call replaces
// the older.
//
// # Calls agreed before
//
// A connection taken up in its middle may have calls that nobody saw agreed.
// Their GRE is dropped, or, where policy says so, told apart by what its two
// directions acknowledge, and adopted (adopt.go).
//
// # A frame's way
//
// A Lane is a worker's own. Process takes a batch through two passes: decode
// and hash every frame, then decide about every frame.
//
//  1. GRE version 1 (lane.go, keymap.go): probe, count, done. The first packet
//     of a direction also tells the call that its expectation is met.
//     GRE of a call that is asked for is held up to 200 ms for the message that
//     agrees it (earlygre.go), all other GRE drops.
//  2. A segment of a control connection (segment.go, tcp.go): is it in the
//     window? Its octets go to the direction's stream; every message that they
//     complete (message.go) moves the session or a call. A reply that agrees a
//     call enters the key map before the segment is let go: state before
//     frame.
//     Calls that wait are found by their IDs (callindex.go); messages that change
//     nothing are looked up only so often (vain.go).
//  3. A fragment (fragment.go): the first is decided about as above, the later
//     ones follow it, those that came too early are held. Calls and pairs of
//     addresses share the places out (fragshare.go).
//  4. Anything else (policy.go) passes, or not, by policy.
//
// # Locks
//
// A connection and its calls are guarded by one of 256 locks, picked by the
// connection's hash. Inside of it a table's shard is locked for one operation at
// a time; only that of a call ID's name is held while a Translation is asked for
// the ID, always in this order. On GRE's way no lock but the key map's shard is taken, which a Lane
// keeps for a run of GRE and releases before it locks anything else. No two
// locks of a kind are ever held together: which of two
// connections' calls gets an ID is decided when the lock of the newer one's is
// released, and before the frame is let go (calls.go, settle).
//
// Elements are named by refs, not pointers, and a call by its serial number
// besides: who finds a ref in the key map compares the serial number before he
// believes it, so that a call that ended in between does no harm. The same
// goes for connections that are to be evicted, which settle does as well.
//
// One thing is read without a lock: flow's Table.Touch, between the two passes,
// reads tags to prefetch the entries that the look-ups of the batch will need.
// What it reads may be half written, and is a guess: the look-up that decides
// holds the lock and compares the key. Under the race detector Touch does
// nothing.
//
// # How calls end
//
// A call ends by a message about it, or with its connection. A frame that ends a
// connection with many calls costs no more than any other (ending.go): their
// number is noted as ended, under which the key map's entries are not believed any
// more, and their records are put aside as they are. Tick cleans them up, a share at
// a time. So call-ended comes within a second: behind control-close if the
// connection had more than a few calls, else before it. Its Time is that of the
// ending, and what it counts is what passed until then.
//
// GRE's way asks for such calls only while there are some, which a Lane looks up
// once a batch, and knows of those that it ended itself.
//
// # Translation
//
// Where Options.Translation is set, the WAN knows the LAN's ends by other names.
// Everything in the tables has the names of the LAN, but for the key map's
// entries of GRE from the WAN, which look as it comes in there. A control segment
// from the WAN is found by its alias (translation.go). What changes of a frame is
// said in its Change; this package never writes to a frame.
//
// A call ID that the LAN's end assigns gets its name when the octets of it cross
// (idfield.go, callname.go), and that is noted with the first octets of its
// message: those leave as noted, whatever segment they are in (heads.go). Every
// Call ID of the LAN's end goes through one function, outward: it leaves as the WAN
// knows it, or as NoCallID. So no octet may leave before it is
// known what it is, nor when it is not known any more: of a translated connection, segments behind a gap are held,
// and one that ends within an ID (gate.go). A message that is only split leaves
// in its pieces at once.
//
// What cannot be read does not leave the LAN (gate.go). So a connection is
// translated from its SYN on, or from before a restart, and is not taken up in its
// middle: what calls it has, and what they are called, nobody knows. And one whose
// LAN end loses the thread comes to a halt.
//
// Only a message that can become a call takes an ID: on an open connection, in a
// session, of the length that the RFC gives it. A request that comes before the
// answer to the start takes one, too, if its sender has acknowledged exactly what
// the WAN's end has sent, so that a flood by somebody who does not see the
// connection takes none. Anything else leaves with NoCallID, below. And a host on the LAN has so many at most, in use and at rest, whatever
// becomes of its calls, and a small share of all for calls that are not agreed.
//
// If no ID is free, the call is asked for with NoCallID, which no call has. What is
// answered to that goes on as a refusal: Result Code 2, Error Code 4, no resource.
// The peer that answered has a call then whose GRE goes nowhere, until whoever
// was refused closes the connection, or the peer notices. An answer that would
// assign an ID and gets none leaves as a refusal, too.
//
// # Changing the options
//
// SetOptions swaps the settings while the Lanes work (change.go). A Lane takes
// them up with its next batch, and with its next control segment at that,
// under the connection's lock: what ended because a new policy denies it does
// not come back by a Lane that knows the old one.
//
// # Starting anew
//
// Save takes out what lets calls outlive a restart, Restore puts it into another
// Tracker (saved.go, restore.go). GRE of the calls passes at once. Their
// connections are confirmed ones, but where their ends are is not known for
// sure: segments may have crossed meanwhile (rejoin.go).
//
// # What comes out
//
// Verdicts, each with a Reason; Events, as values; snapshots of calls. The
// package reads no clock, starts no goroutine, logs nothing and reads no
// configuration.
package track
