package bridgetest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge"
	"github.com/grewire/grewire/bridge/bridgetest"
	"github.com/grewire/grewire/track"
)

func TestPortReceive(t *testing.T) {
	p := bridgetest.NewPort()
	for range bridge.BatchSize + 1 {
		p.Inject([]byte("frame"))
	}
	first, err := p.Receive(testWait)
	if err != nil || len(first) != bridge.BatchSize || first[0].Number != 1 || string(first[0].Data) != "frame" {
		t.Fatalf("first batch: %d frames, %v", len(first), err)
	}
	second, err := p.Receive(testWait)
	if err != nil || len(second) != 1 || p.Received() != bridge.BatchSize+1 {
		t.Fatalf("second batch: %d frames, %v", len(second), err)
	}
	if string(first[0].Data) == "frame" {
		t.Error("the first batch outlived the second Receive")
	}
	if none, err := p.Receive(time.Millisecond); len(none) != 0 || err != nil {
		t.Errorf("nothing injected: %v, %v", none, err)
	}
}

func TestPortWake(t *testing.T) {
	p, done := bridgetest.NewPort(), make(chan error)
	go func() {
		_, err := p.Receive(testWait)
		done <- err
	}()
	p.Wake()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-testContext(t).Done():
		t.Error("Receive did not wake up")
	}
}

func send(p *bridgetest.Port, frames ...*track.Frame) error { return p.Send(frames) }

func TestPortSend(t *testing.T) {
	p := bridgetest.NewPort()
	data := []byte("abc")
	p.RefuseNext(1, track.ReasonEgressFull)
	refused, taken := &track.Frame{Data: data, Verdict: track.Forward}, &track.Frame{Data: data, Verdict: track.Rewrite}
	dropped, cut := &track.Frame{Verdict: track.Drop, Reason: track.ReasonPause}, &track.Frame{Verdict: track.Forward, Truncated: true}
	if err := send(p, refused, taken, dropped, cut); err != nil {
		t.Fatal(err)
	}
	data[0] = 'x' // the port keeps a copy
	if sent := p.Sent(); len(sent) != 1 || !bytes.Equal(sent[0].Data, []byte("abc")) || sent[0].Verdict != track.Rewrite {
		t.Errorf("sent %+v, want only the second frame", sent)
	}
	for f, want := range map[*track.Frame]track.Reason{refused: track.ReasonEgressFull, dropped: track.ReasonPause, cut: track.ReasonTruncated} {
		if f.Verdict != track.Drop || f.Reason != want {
			t.Errorf("frame is %v %v, want drop %v", f.Verdict, f.Reason, want)
		}
	}
}

func TestPortDown(t *testing.T) {
	p := bridgetest.NewPort()
	p.SetDown(true)
	f := &track.Frame{Data: []byte("abc"), Verdict: track.Forward}
	if err := send(p, f); !errors.Is(err, bridge.ErrPortDown) || f.Reason != track.ReasonEgressDown {
		t.Errorf("Send on a port that is down: %v, frame %v %v", err, f.Verdict, f.Reason)
	}
	if _, err := p.Receive(testWait); !errors.Is(err, bridge.ErrPortDown) {
		t.Errorf("Receive on a port that is down: %v", err)
	}
	p.SetDown(false)
	if err := send(p, &track.Frame{Verdict: track.Forward}); err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	p.FailReceive(broken)
	if _, err := p.Receive(testWait); !errors.Is(err, broken) {
		t.Errorf("Receive = %v, want the error set", err)
	}
}

func TestPipe(t *testing.T) {
	a, b := bridgetest.NewPipe()
	if err := send(a, &track.Frame{Data: []byte("abc"), Verdict: track.Forward}); err != nil {
		t.Fatal(err)
	}
	got, err := b.Receive(testWait)
	if err != nil || len(got) != 1 || string(got[0].Data) != "abc" || got[0].Verdict != 0 {
		t.Errorf("received %+v, %v", got, err)
	}
	if sent, err := a.WaitSent(testContext(t), 1); err != nil || len(sent) != 1 {
		t.Errorf("WaitSent = %d frames, %v", len(sent), err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.WaitSent(ended, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitSent beyond what comes = %v", err)
	}
}
