package links

import "github.com/grewire/grewire/bridge/afpacket"

// attachments are those of a side, one for each worker. They come and go
// together.
type attachments []*Attachment

// attach gives each a port.
func (all attachments) attach(ports []Port) {
	for i, a := range all {
		a.Attach(ports[i])
	}
}

func (all attachments) detach() {
	for _, a := range all {
		if a.Attached() {
			a.Detach()
		}
	}
}

// attached reports whether none lacks a port.
func (all attachments) attached() bool {
	for _, a := range all {
		if !a.Attached() {
			return false
		}
	}
	return true
}

func (all attachments) setLink(up bool) {
	for _, a := range all {
		a.SetLink(up)
	}
}

func (all attachments) refreshMTU() {
	for _, a := range all {
		a.MTU()
	}
}

func (all attachments) close() {
	for _, a := range all {
		a.Close()
	}
}

// SumStats returns the counters of the ports of a NIC together.
func SumStats(ports []*Attachment) (sum afpacket.Stats) {
	for _, a := range ports {
		sum = sum.Plus(a.Stats())
	}
	return sum
}
