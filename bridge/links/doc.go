// Package links keeps the box on its NICs, whatever becomes of them.
//
// A NIC can go down, lose its cable, get another MTU, be removed and be made
// anew under the same name, at any time. The box goes on by itself: frames to
// a NIC without a link drop as track.ReasonEgressDown, and what was there
// before is there again when the link is.
//
// An Attachment is a bridge.Port that lives longer than its socket. The Keeper
// owns one for each worker of each side; those of a side get their sockets
// together and lose them together. It follows the kernel's link messages, and it is the
// only one that opens sockets; the worker that receives closes them, since the
// frames it works on may lie in their memory.
//
// # Which NIC is the box's
//
// The one that had the configured name when the box opened it, until it is
// removed or leaves the network namespace; a new name does not change that.
// After that, the next one to have the configured name, if it passes the
// checks of the start (nic.VerifyOne) and no other box has claimed it. An MTU
// that differs from the other side's is said and does not keep it out: frames
// that are too long drop as track.ReasonEgressMTU.
//
// # Link propagation
//
// A host behind one NIC cannot see that the cable at the other is out. With
// Options.Propagate the Keeper takes a side down when the other has lost its
// link (carrier lost, set down, or removed), and brings it up when the other
// is back. Three rules keep the two from waiting for each other:
//
//   - A side that the Keeper itself took down is no cause to take down the
//     other. So at least one side is always up, as far as the Keeper goes, and
//     watched.
//   - A side that it brought up has time to find its link (Options.Settle)
//     before it counts as lost. So has each at the start.
//   - That time doubles with every time that it was not enough, until both
//     sides have a link. So links that take long to come up do not swing.
//
// What is down when the box stops is brought up. What a box left down that was
// killed is marked (nic.Links.TakeDown), and the next one brings it up at its
// start. All of this needs CAP_NET_ADMIN as long as the box runs; opening a
// NIC again needs CAP_NET_RAW.
package links
