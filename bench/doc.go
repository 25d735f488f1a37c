// Package bench measures how devices forward GRE: how much without loss, how
// late, at what cost, with how many calls.
//
// # What stands where
//
//	 PPTP client                               PPTP server
//	 sender, receiver                     receiver, sender
//	+-----------------+   +---------+   +-----------------+
//	| LAN's end  eth0 |---| device  |---| eth0  WAN's end |
//	+-----------------+   +---------+   +-----------------+
//
// Each box is a network namespace, each line a veth pair; or the device is
// another machine, cabled to two NICs of this one. Package dut knows the devices
// and puts them into place. A Rig is a device in place with calls across it.
//
// # A measurement
//
//  1. Clients open control connections to the server, through the device, over
//     the kernel's TCP, and ask for calls (package control). What lets only
//     negotiated GRE pass lets that of these calls pass.
//  2. A frame of every call crosses both ways, at a low rate. If one does not,
//     nothing is measured (Rig.Dial).
//  3. A Trial sends frames of the calls for a while (package load), at a rate or
//     as fast as possible, waits until no more come, and says how many were sent,
//     received, lost and wrong. What is wrong, and what of a frame is checked, says
//     package load. A Trial with wrong frames fails: a device that forwards what
//     was not sent has no rate.
//  4. A Test is made of Trials: Throughput searches the highest rate without
//     loss, Loss and Latency look at one load, Burst searches the longest burst
//     (RFC 2544, section 26), Flood overloads.
//  5. A Scenario is a Test with a number of calls, sizes of frames, a sender. A
//     Plan has scenarios, devices and rounds. Run goes through all devices with
//     one scenario before it takes the next, and through all scenarios before the
//     next round, since the machine is not the same from one minute to another.
//  6. Every Value of every round is in the Results; package report shows medians,
//     how far the rounds are apart, and the ratio to a device that all others are
//     compared with.
//
// # Whose CPU time
//
// A veth has no hardware: the thread that sends a frame also does what the next
// device in the kernel does with it, up to a socket's queue. The sender's CPU
// therefore does all the work of a Linux bridge; the Packet sender makes frames on
// that CPU, too, and is what the rate of a fast bridge is limited by. The XDP sender
// leaves more of the CPU to the device. A box in user space works on a second CPU,
// and the frames that it sends are judged there. Machine is all CPU time per frame,
// of making, carrying and judging it; Process the part of the device's process.
//
// # Adding a device
//
// A Device is a name and a function that starts something in the middle namespace,
// see dut.Known. One that translates says so: the receiver then expects what the
// server has seen of a call. Grewire takes any lines of configuration, so
// a variant of it is one more line.
//
// # Engine
//
// Engine measures decode, tracking and verdict alone: bridge.Engine with batches
// from memory, without sockets.
package bench
