// Package bridge is the box at work: it carries frames from one port to the
// other through tracking and translation.
//
// # A frame's journey
//
// Frames travel in batches of up to BatchSize, from the receive call that gave
// them to the send call that takes them. One worker, with an operating system
// thread of its own, does all of it for one direction, or several do, each for its
// share of the pairs of hosts (package fanout):
//
//  1. The port receives (Port.Receive; afpacket in the running box, memory in
//     tests, a capture in replay). A frame is whole, from the destination MAC
//     address to the last octet, its VLAN tags back in place with their TPID;
//     what the sender left to be finished (checksum, segmentation) comes
//     beside it as an Offload. A frame that could not be taken whole says so.
//  2. The clock is read, once for the batch.
//  3. The Lane decodes every frame (track/wire).
//  4. The Lane decides about every frame (package track): a verdict with a
//     reason. State that a frame creates exists when this step ends, before
//     the frame leaves. A frame that waits for another is copied and held; it
//     comes back, in its place, with the batch that brings what it waits for.
//  5. Events go to whoever asked for them (Hub), without waiting for anybody.
//  6. Frames whose verdict lets them pass leave by the other port, in order
//     (Port.Send). One that the port refuses is dropped there, with the reason
//     that fits, and reported like any other; those behind it still go.
//  7. Every frame with its final verdict is counted, once. The counters of
//     all reasons add up to the frames received, but for those held.
//
// A batch that is much work, such as one of many calls that begin or end, is
// carried in parts: the worker stops behind a frame, does steps 5 to 7 for what is
// decided, and goes on with step 2. So nothing waits long behind it.
//
// A Guard, if there is one, leads the frames of a direction past the box while a
// worker of it does not move. A worker beats before and after it receives, before it sends and between the parts
// of a batch, never by a timer; one that
// finds it has not moved for too long drops the batch that it has in hands, and
// what came meanwhile. Frames that went past are
// tracked all the same, so that calls which they opened are known.
//
// Beside the workers, Box.Run ticks: what has timed out ends, a slice of
// the tables at a time. When the box stops, or a port fails for good, frames
// that are still held are dropped, reported and counted.
//
// # What nothing does
//
// No step changes a byte of a frame that its verdict does not name. No step
// allocates memory for a frame. No worker waits for the other direction, for
// a reader of events or for the control socket.
//
// # Parts
//
// Engine is the box without ports: steps 3 to 5 and 7, the same code in the
// running box and in replay. Box adds the Ports and the workers. Sub-packages
// are ports and what surrounds them: afpacket (AF_PACKET sockets), fanout (which
// socket of several has a frame), capture (files), bypass (Guards in the kernel), bridgetest (memory ports and the
// namespace lab), links (keeps ports on NICs that come and go), nic (what a NIC
// is fit for and what becomes of it), status (the control socket).
package bridge
