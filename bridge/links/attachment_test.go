package links

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/afpacket"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

// patience bounds every wait of the tests.
const patience = 20 * time.Second

// memory is a port in memory with the rest of what an Attachment asks for.
type memory struct {
	*bridgetest.Port
	mu     sync.Mutex
	mtu    int
	asked  int // how often MTU was called
	closed int
	inSend bool
	held   chan struct{} // not nil: Send waits for it
}

func newMemory() *memory { return &memory{Port: bridgetest.NewPort(), mtu: 1500} }

func (m *memory) Backend() afpacket.Backend { return afpacket.MMsg }

func (m *memory) MTU() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return m.mtu
}

func (m *memory) mtuAsked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

func (m *memory) Stats() afpacket.Stats {
	return afpacket.Stats{Received: m.Received(), Sent: uint64(len(m.Sent()))}
}

func (m *memory) Send(frames []*track.Frame) error {
	m.setSending(true)
	defer m.setSending(false)
	if m.held != nil {
		<-m.held
	}
	return m.Port.Send(frames)
}

func (m *memory) setSending(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inSend = on
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed++
	if m.inSend {
		return errors.New("closed while it sends")
	}
	return nil
}

func (m *memory) closings() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// attachment returns one that is up, and what it says of lost ports.
func attachment(t *testing.T) (*Attachment, chan error) {
	lost := make(chan error, 10)
	a := NewAttachment("nic", func(err error) { lost <- err })
	a.SetLink(true)
	t.Cleanup(a.Close)
	return a, lost
}

func testFrame(n byte) []byte { return append(make([]byte, 14), n) }

func send(a *Attachment, n byte) (*track.Frame, error) {
	f := &track.Frame{Data: testFrame(n)}
	return f, a.Send([]*track.Frame{f})
}

func receiveOne(t *testing.T, a *Attachment, n byte) {
	t.Helper()
	frames, err := a.Receive(patience)
	if err != nil || len(frames) != 1 || frames[0].Data[14] != n {
		t.Fatalf("got %v, %v, want frame %d", frames, err, n)
	}
}

func TestAttachmentWithoutPort(t *testing.T) {
	a, _ := attachment(t)
	start := time.Now()
	if frames, err := a.Receive(20 * time.Millisecond); frames != nil || !errors.Is(err, bridge.ErrPortDown) {
		t.Errorf("receive: %v, %v", frames, err)
	}
	if waited := time.Since(start); waited < 20*time.Millisecond {
		t.Errorf("it waited for %v: it would spin", waited)
	}
	a.Wake()
	if _, err := a.Receive(patience); !errors.Is(err, bridge.ErrPortDown) {
		t.Errorf("woken: %v", err)
	}
	f, err := send(a, 1)
	if !errors.Is(err, bridge.ErrPortDown) || f.Verdict != track.Drop || f.Reason != track.ReasonEgressDown {
		t.Errorf("send: %v, %v %v", err, f.Verdict, f.Reason)
	}
	kept := &track.Frame{Verdict: track.Drop, Reason: track.ReasonTruncated}
	if _ = a.Send([]*track.Frame{kept}); kept.Reason != track.ReasonTruncated {
		t.Errorf("a frame that was dropped before has now the reason %v", kept.Reason)
	}
}

// TestAttachmentReplace: a Receive that waits goes on with the new port; the
// old one is closed when its frames are not in use any more.
func TestAttachmentReplace(t *testing.T) {
	a, lost := attachment(t)
	first, second := newMemory(), newMemory()
	second.mtu = 1400
	a.Attach(first)
	first.Inject(testFrame(1))
	frames, err := a.Receive(patience)
	if err != nil || len(frames) != 1 {
		t.Fatal(frames, err)
	}
	a.Attach(second)
	if first.closings() != 0 {
		t.Error("closed while its frames are in use")
	}
	if frames[0].Data[14] != 1 {
		t.Error("the frames of the old port are gone")
	}
	if f, err := send(a, 2); err != nil || f.Verdict == track.Drop || len(second.Sent()) != 1 {
		t.Errorf("send: %v %v, the new port sent %d", err, f.Verdict, len(second.Sent()))
	}
	second.Inject(testFrame(3))
	for range 2 { // the first may be woken by the change
		if frames, err = a.Receive(patience); err != nil || len(frames) > 0 {
			break
		}
	}
	if err != nil || len(frames) != 1 || frames[0].Data[14] != 3 {
		t.Fatalf("got %v, %v from the new port", frames, err)
	}
	if first.closings() != 1 || second.closings() != 0 {
		t.Errorf("the old port is closed %d times, the new %d", first.closings(), second.closings())
	}
	if s := a.Stats(); s.Received != 2 || s.Sent != 1 {
		t.Errorf("stats %+v, want those of both ports", s)
	}
	if a.MTU() != 1400 {
		t.Errorf("MTU %d, want the new port's", a.MTU())
	}
	a.Detach()
	if a.MTU() != 1400 || a.Attached() {
		t.Errorf("detached: MTU %d, attached %v", a.MTU(), a.Attached())
	}
	if s := a.Stats(); s.Received != 2 || s.Sent != 1 {
		t.Errorf("detached: stats %+v", s)
	}
	if len(lost) != 0 {
		t.Errorf("lost: %v", <-lost)
	}
}

// TestAttachmentWaiting: a change reaches a Receive that waits.
func TestAttachmentWaiting(t *testing.T) {
	a, _ := attachment(t)
	attach := func() { // with a frame, should Receive come late
		m := newMemory()
		m.Inject(testFrame(1))
		a.Attach(m)
	}
	steps := []func(){
		attach,
		attach,
		a.Detach,
		a.Wake,
	}
	for i, step := range steps {
		for waiting := true; waiting; { // for nothing that is left of the step before
			frames, _ := a.Receive(0)
			waiting = len(frames) > 0
		}
		done := make(chan error)
		go func() {
			_, err := a.Receive(patience)
			done <- err
		}()
		step()
		select {
		case <-done:
		case <-time.After(patience / 2):
			t.Fatalf("step %d: Receive still waits", i)
		}
	}
}

// TestAttachmentFails: a port that fails is given up, once, and nothing is
// final.
func TestAttachmentFails(t *testing.T) {
	broken := errors.New("broken")
	a, lost := attachment(t)
	first := newMemory()
	a.Attach(first)
	first.FailReceive(broken)
	if _, err := a.Receive(patience); !errors.Is(err, bridge.ErrPortDown) {
		t.Errorf("receive: %v", err)
	}
	if err := <-lost; !errors.Is(err, broken) || a.Attached() {
		t.Errorf("lost with %v, attached %v", err, a.Attached())
	}
	start := time.Now()
	_, _ = a.Receive(20 * time.Millisecond)
	_, _ = a.Receive(20 * time.Millisecond)
	if waited := time.Since(start); waited < 20*time.Millisecond { // one Receive may be woken
		t.Errorf("two Receives waited for %v", waited)
	}
	if first.closings() != 1 {
		t.Errorf("closed %d times", first.closings())
	}
	second := newMemory()
	a.Attach(second)
	second.SetDown(true)
	if _, err := send(a, 1); !errors.Is(err, bridge.ErrPortDown) || !a.Attached() {
		t.Errorf("a link that is down: %v, attached %v", err, a.Attached())
	}
	second.SetDown(false)
	second.Inject(testFrame(4))
	receiveOne(t, a, 4)
	if len(lost) != 0 {
		t.Errorf("lost: %v", <-lost)
	}
}

// TestAttachmentLink: without a link nothing is sent, and frames that arrived
// before still come.
func TestAttachmentLink(t *testing.T) {
	a, _ := attachment(t)
	m := newMemory()
	a.Attach(m)
	a.SetLink(false)
	m.Inject(testFrame(1))
	receiveOne(t, a, 1)
	if _, err := a.Receive(time.Millisecond); !errors.Is(err, bridge.ErrPortDown) {
		t.Errorf("no frame, no link: %v", err)
	}
	if f, err := send(a, 1); !errors.Is(err, bridge.ErrPortDown) || f.Reason != track.ReasonEgressDown || len(m.Sent()) != 0 {
		t.Errorf("send: %v, %v, %d sent", err, f.Reason, len(m.Sent()))
	}
	a.SetLink(true)
	if _, err := send(a, 1); err != nil || len(m.Sent()) != 1 {
		t.Errorf("send: %v, %d sent", err, len(m.Sent()))
	}
}

// TestAttachmentCloseWaitsForSend: a port is not closed under a Send.
func TestAttachmentCloseWaitsForSend(t *testing.T) {
	a, lost := attachment(t)
	m := newMemory()
	m.held = make(chan struct{})
	a.Attach(m)
	sent := make(chan error)
	go func() { _, err := send(a, 1); sent <- err }()
	for m.mu.Lock(); !m.inSend; m.mu.Lock() {
		m.mu.Unlock()
	}
	m.mu.Unlock()
	a.Detach()
	received := make(chan error)
	go func() { _, err := a.Receive(0); received <- err }()
	select {
	case <-received:
		t.Error("Receive went on while the old port sends")
	case <-time.After(10 * time.Millisecond):
	}
	close(m.held)
	if err := <-sent; err != nil {
		t.Errorf("send: %v", err)
	}
	if err := <-received; !errors.Is(err, bridge.ErrPortDown) {
		t.Errorf("receive: %v", err)
	}
	if m.closings() != 1 || len(lost) != 0 {
		t.Errorf("closed %d times, lost %d", m.closings(), len(lost))
	}
	if s := a.Stats(); s.Sent != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestAttachmentClose(t *testing.T) {
	a, _ := attachment(t)
	m := newMemory()
	a.Attach(m)
	a.Close()
	a.Close()
	if m.closings() != 1 {
		t.Errorf("closed %d times", m.closings())
	}
	if _, err := a.Receive(patience); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive: %v", err)
	}
	if f, err := send(a, 1); !errors.Is(err, bridge.ErrPortDown) || f.Reason != track.ReasonEgressDown {
		t.Errorf("send: %v, %v", err, f.Reason)
	}
	a.Wake()
}

// TestAttachmentAllocations: a frame costs nothing on its way through.
func TestAttachmentAllocations(t *testing.T) {
	a, _ := attachment(t)
	a.Attach(silent{})
	frames := []*track.Frame{{Data: testFrame(1)}}
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = a.Receive(0)
		_ = a.Send(frames)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// silent is a port that allocates nothing.
type silent struct{}

func (silent) Receive(time.Duration) ([]track.Frame, error) { return nil, nil }
func (silent) Send([]*track.Frame) error                    { return nil }
func (silent) Wake()                                        {}
func (silent) MTU() int                                     { return 1500 }
func (silent) Backend() afpacket.Backend                    { return afpacket.MMsg }
func (silent) Stats() (s afpacket.Stats)                    { return s }
func (silent) Close() error                                 { return nil }
