package afpacket

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/track/wire"
)

// fullRing is a ring in memory of its own whose every slot has a small frame.
func fullRing(slots int) *ring {
	o := Options{RingSlots: slots}.withDefaults()
	r := &ring{geometry: o.geometry(1500), copies: newMessages(o.frameSize)}
	r.mem = make([]byte, r.size())
	plain := slotOf(auxdata{status: unix.TP_STATUS_USER, len: 60, snaplen: 60}, slotOverhead, wire.Offload{}, frame(60, unicast, testEtherType))
	at := 0
	for range r.slots() {
		copy(r.slot(at), plain)
		at = r.behind(at)
	}
	return r
}

// BenchmarkRing is what a frame costs from its slot to a track.Frame and back to
// the kernel, without what the memory costs that another CPU has written.
func BenchmarkRing(b *testing.B) {
	r := fullRing(1024)
	for b.Loop() {
		frames, errno := r.take(-1)
		if len(frames) != bridge.BatchSize || errno != 0 {
			b.Fatal(len(frames), errno)
		}
		at, out := r.oldest, r.out
		r.release()
		for ; out > 0; out-- { // as the kernel does
			storeStatus(r.mem, at, unix.TP_STATUS_USER)
			at = r.behind(at)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*bridge.BatchSize), "ns/frame")
}
