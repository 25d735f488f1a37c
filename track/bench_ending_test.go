package track_test

import (
	"testing"
	"time"

	"github.com/grewire/grewire/track"
	"github.com/grewire/grewire/track/tracktest"
	"github.com/grewire/grewire/track/wire"
)

// BenchmarkEndMany is the batch of 64 Stop-Requests that ends 65,536 calls, and
// how long their records are cleaned up afterwards.
func BenchmarkEndMany(b *testing.B) {
	const conns, each = 64, 1024
	var batch, cleaning time.Duration
	for range b.N {
		b.StopTimer()
		c := newCrowd(b, conns*each, each, 0)
		frames := make([]track.Frame, conns)
		for i, conn := range c.conns {
			frames[i].Data = sent(conn, conn.Ends[0].Host, wire.ACK|wire.PSH, tracktest.StopRequest())
		}
		b.StartTimer()
		start := time.Now()
		c.Lane(track.LAN).Process(frames, c.Now)
		batch += time.Since(start)
		b.StopTimer()
		start = time.Now()
		for range 10 {
			c.Now += track.Time(time.Second / 10)
			c.Tracker.Tick(c.Now)
		}
		cleaning += time.Since(start)
		if used := c.Tracker.Usage()["calls"].Used; used != 0 {
			b.Fatalf("%d calls are left", used)
		}
	}
	b.ReportMetric(float64(batch.Microseconds())/float64(b.N), "µs/batch")
	b.ReportMetric(float64(cleaning.Microseconds())/float64(b.N), "µs/cleaning")
}
