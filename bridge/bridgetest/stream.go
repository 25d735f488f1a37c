package bridgetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Stream is a stream of numbered UDP datagrams from one host to another, sent
// at a steady pace until Stop. It tells what the wire between them does to
// content, order and time.
type Stream struct {
	name     string
	send     *net.UDPConn
	receive  *net.UDPConn
	interval time.Duration
	stop     context.CancelFunc
	done     sync.WaitGroup
	warmed   chan struct{} // closed when the wire is known to carry

	sent     uint32
	err      error // of sending
	mu       sync.Mutex
	arrivals []Arrival
	more     chan struct{} // closed and replaced at every arrival
}

// Arrival is a datagram at the receiver.
type Arrival struct {
	Number uint32 // counted from 0 by the sender
	At     time.Time
}

// StreamResult is what became of a stream.
type StreamResult struct {
	Sent       uint32
	Arrivals   []Arrival // in the order of their arrival
	Duplicates int       // datagrams that came again
	Late       int       // datagrams that came behind a later one
}

// StartStream starts a stream to an address of another namespace, a datagram
// each interval. Only one stream may go to a port.
func StartStream(from, to *Namespace, addr string, port int, interval time.Duration) (*Stream, error) {
	s := &Stream{name: fmt.Sprintf("stream from %s to %s", from, to), interval: interval, warmed: make(chan struct{}), more: make(chan struct{})}
	at := &net.UDPAddr{IP: net.ParseIP(addr), Port: port}
	err := to.Do(func() (err error) {
		s.receive, err = net.ListenUDP("udp4", at)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	err = from.Do(func() (err error) {
		s.send, err = net.DialUDP("udp4", nil, at)
		return err
	})
	if err != nil {
		s.receive.Close()
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	_ = s.receive.SetReadBuffer(4 << 20) // as much as the system allows
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.done.Go(func() { s.err = s.sendAll(ctx) })
	s.done.Go(s.receiveAll)
	return s, nil
}

// StayOnOneCPU binds the calling goroutine to a thread, which ends with it, and that
// to one CPU: a veth queues a frame on the CPU that sent it, so that a sender which
// moves brings its own frames out of order.
func StayOnOneCPU() {
	runtime.LockOSThread()
	var one unix.CPUSet
	if unix.SchedGetaffinity(0, &one) != nil {
		return
	}
	cpu := 0
	for ; !one.IsSet(cpu); cpu++ {
	}
	one.Zero()
	one.Set(cpu)
	_ = unix.SchedSetaffinity(0, &one)
}

func (s *Stream) sendAll(ctx context.Context) error {
	StayOnOneCPU()
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	ticker := time.NewTicker(s.interval)
	defer ticker.Stop()
	var data [64]byte
	for start := time.Now(); ; {
		// The ticker leaves out ticks when the machine is busy; the pace stays.
		for due := uint32(time.Since(start)/s.interval) + 1; s.sent < due; s.sent++ {
			binary.BigEndian.PutUint32(data[:], s.sent)
			// ECONNREFUSED and the like are what ICMP said of an earlier one.
			if _, err := s.send.Write(data[:]); err != nil && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EHOSTUNREACH) {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// warm is the number of datagrams that do not count.
const warm = 1<<32 - 1

// warmUp sends until the first datagram has arrived. What waits for an answer
// to ARP is sent by whoever brings the answer, from another CPU.
func (s *Stream) warmUp(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err := s.send.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EHOSTUNREACH) {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.warmed:
			return nil
		case <-ticker.C:
		}
	}
}

func (s *Stream) receiveAll() {
	warmedUp := sync.OnceFunc(func() { close(s.warmed) })
	var data [2048]byte
	for {
		n, err := s.receive.Read(data[:])
		if err != nil {
			return // closed, or at the deadline of Stop
		}
		if n < 4 {
			continue
		}
		number := binary.BigEndian.Uint32(data[:])
		if number == warm {
			warmedUp()
			continue
		}
		s.mu.Lock()
		s.arrivals = append(s.arrivals, Arrival{number, time.Now()})
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
	}
}

// Wait waits until n more datagrams have arrived, and returns when the last of
// them did.
func (s *Stream) Wait(ctx context.Context, n int) (time.Time, error) {
	s.mu.Lock()
	want := len(s.arrivals) + n
	s.mu.Unlock()
	for {
		s.mu.Lock()
		have, more := len(s.arrivals), s.more
		s.mu.Unlock()
		if have >= want {
			return s.at(want - 1), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%s: %d of %d datagrams more: %w", s.name, n-(want-have), n, ctx.Err())
		}
	}
}

func (s *Stream) at(i int) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrivals[i].At
}

// streamTail is how long Stop waits for datagrams that are under way.
const streamTail = 300 * time.Millisecond

// Stop ends the stream and returns what became of it.
func (s *Stream) Stop() (StreamResult, error) {
	s.stop()
	_ = s.receive.SetReadDeadline(time.Now().Add(streamTail))
	s.done.Wait()
	err := errors.Join(s.err, s.send.Close(), s.receive.Close())
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	r := StreamResult{Sent: s.sent, Arrivals: s.arrivals}
	seen := make(map[uint32]bool, len(r.Arrivals))
	highest := int64(-1)
	for _, a := range r.Arrivals {
		switch {
		case seen[a.Number]:
			r.Duplicates++
		case int64(a.Number) < highest:
			r.Late++
		}
		seen[a.Number] = true
		highest = max(highest, int64(a.Number))
	}
	return r, err
}

// Lost is how many datagrams never came.
func (r *StreamResult) Lost() int { return int(r.Sent) - (len(r.Arrivals) - r.Duplicates) }

// Gap returns the longest time without an arrival between two moments, and when
// it began.
func (r *StreamResult) Gap(from, to time.Time) (longest time.Duration, began time.Time) {
	last := from
	check := func(at time.Time) {
		if gap := at.Sub(last); gap > longest {
			longest, began = gap, last
		}
		last = at
	}
	for _, a := range r.Arrivals {
		if a.At.After(from) && a.At.Before(to) {
			check(a.At)
		}
	}
	check(to)
	return longest, began
}
