// Package dut has the devices under test: what stands between two NICs and
// forwards, each with its two ends in network namespaces of its own.
//
//	lan end (eth0) ----- lan|device|wan ----- (eth0) wan end
//
// A Device says what it is and how to start it; Place puts it into a lab and
// returns its Site. Another box on this machine joins by a Device of its own;
// another machine by Attach, whose two NICs are cabled to it.
package dut
