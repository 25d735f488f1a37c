package pptp

import (
	"encoding/binary"
	"testing"
)

// rfcLengths are the lengths of RFC 2637's figures, by type.
var rfcLengths = [numControlTypes]int{0, 156, 156, 16, 16, 16, 20, 168, 32, 220, 24, 28, 16, 148, 40, 24}

// offsetWalker notes where each field of a message stands.
type offsetWalker struct {
	at    int
	found map[*field]int
}

func (w *offsetWalker) number(f *field, width int, value uint32) uint32 {
	w.octets(f, make([]byte, width), 0)
	return value
}

func (w *offsetWalker) octets(f *field, b []byte, _ int) {
	w.found[f] = w.at
	w.at += len(b)
}

// resultFields are the fields that View.Result reads.
var resultFields = map[*field]bool{
	startResult: true, stopResult: true, echoResult: true, outCallResult: true, inCallResult: true, disconnectResult: true,
}

// TestLayout holds the table of View against the messages themselves.
func TestLayout(t *testing.T) {
	for _, ct := range allTypes() {
		w := offsetWalker{at: HeaderLength, found: map[*field]int{}}
		m := newMessage[ct]()
		m.walk(&w)
		want := offsets{length: uint8(w.at)}
		for f, at := range w.found {
			switch {
			case f == callID:
				want.callID = uint8(at)
			case f == peerCallID:
				want.peerCallID = uint8(at)
			case f == errorCode:
				want.errorCode = uint8(at)
			case f == causeCode:
				want.cause = uint8(at)
			case resultFields[f]:
				want.result = uint8(at)
			}
		}
		if layout[ct] != want {
			t.Errorf("%v: layout %+v, its fields say %+v", ct, layout[ct], want)
		}
		if FixedLength(ct) != rfcLengths[ct] || m.ControlType() != ct {
			t.Errorf("%v: length %d, want %d; its message says %v", ct, FixedLength(ct), rfcLengths[ct], m.ControlType())
		}
	}
}

func TestOffsetsOfUnknownTypes(t *testing.T) {
	for _, ct := range []ControlType{0, numControlTypes, 0xFFFF} {
		_, hasCallID := CallIDOffset(ct)
		_, hasPeerCallID := PeerCallIDOffset(ct)
		if FixedLength(ct) != 0 || hasCallID || hasPeerCallID {
			t.Errorf("%v has a length or an offset", ct)
		}
	}
	if at, ok := CallIDOffset(OutgoingCallReply); at != 12 || !ok {
		t.Errorf("CallIDOffset(Outgoing-Call-Reply) = %d, %v", at, ok)
	}
	if at, ok := PeerCallIDOffset(OutgoingCallReply); at != 14 || !ok {
		t.Errorf("PeerCallIDOffset(Outgoing-Call-Reply) = %d, %v", at, ok)
	}
}

func TestViewFields(t *testing.T) {
	reply, err := Encode(&OutgoingCallReplyMessage{
		CallID: 0x1111, PeerCallID: 0x2222, ResultCode: OutCallResultBusy, ErrorCode: ErrorCodePACError, CauseCode: 0x3333,
	})
	if err != nil {
		t.Fatal(err)
	}
	v := View(reply)
	if v.Length() != 32 || v.MessageType() != ControlMessage || v.Magic() != MagicCookie || v.ControlType() != OutgoingCallReply {
		t.Errorf("header: %d, %v, %#x, %v", v.Length(), v.MessageType(), v.Magic(), v.ControlType())
	}
	if id, ok := v.CallID(); id != 0x1111 || !ok {
		t.Errorf("CallID: %#x, %v", id, ok)
	}
	if id, ok := v.PeerCallID(); id != 0x2222 || !ok {
		t.Errorf("PeerCallID: %#x, %v", id, ok)
	}
	if result, ok := v.Result(); result != uint8(OutCallResultBusy) || !ok {
		t.Errorf("Result: %d, %v", result, ok)
	}
	if code, ok := v.ErrorCode(); code != ErrorCodePACError || !ok {
		t.Errorf("ErrorCode: %v, %v", code, ok)
	}
	if cause, ok := v.CauseCode(); cause != 0x3333 || !ok {
		t.Errorf("CauseCode: %#x, %v", cause, ok)
	}
}

// TestViewCut cuts every message at every octet: a field is there exactly when
// all its octets are.
func TestViewCut(t *testing.T) {
	for _, ct := range allTypes() {
		whole := make([]byte, FixedLength(ct)+4)
		binary.BigEndian.PutUint16(whole[8:], uint16(ct))
		for n := range len(whole) + 1 {
			checkPresence(t, ct, whole[:n:n])
		}
	}
}

func checkPresence(t *testing.T, ct ControlType, b []byte) {
	t.Helper()
	v, at := View(b), layout[ct]
	present := func(offset uint8, width int) bool {
		return len(b) >= 10 && offset != 0 && len(b) >= int(offset)+width
	}
	_, hasCallID := v.CallID()
	_, hasPeerCallID := v.PeerCallID()
	_, hasResult := v.Result()
	_, hasErrorCode := v.ErrorCode()
	_, hasCause := v.CauseCode()
	got := [...]bool{hasCallID, hasPeerCallID, hasResult, hasErrorCode, hasCause, v.Complete()}
	want := [...]bool{present(at.callID, 2), present(at.peerCallID, 2), present(at.result, 1), present(at.errorCode, 1), present(at.cause, 2), len(b) >= FixedLength(ct)}
	if got != want {
		t.Errorf("%v of %d octets: present %v, want %v", ct, len(b), got, want)
	}
}

// readAll calls every method of View and every state machine once.
func readAll(v View) (sum int) {
	id, _ := v.CallID()
	peer, _ := v.PeerCallID()
	result, _ := v.Result()
	code, _ := v.ErrorCode()
	cause, _ := v.CauseCode()
	sum = int(v.Length()) + int(v.Magic()) + int(v.MessageType()) + int(id) + int(peer) + int(result) + int(code) + int(cause)
	if v.Complete() {
		sum++
	}
	session, _ := SessionRequested.Next(v.ControlType(), false, result)
	kind, _ := KindOf(v.ControlType())
	call, _ := CallRequested.Next(kind, v.ControlType(), result)
	role, _ := SenderOf(v.ControlType())
	return sum + int(session) + int(call) + int(role)
}

func TestViewAllocatesNothing(t *testing.T) {
	for _, c := range readGolden(t) {
		if n := testing.AllocsPerRun(10, func() { readAll(c.message) }); n != 0 {
			t.Errorf("%v: %v allocations", View(c.message).ControlType(), n)
		}
	}
}

func BenchmarkView(b *testing.B) {
	message, err := Encode(&OutgoingCallReplyMessage{CallID: 1, PeerCallID: 2, ResultCode: OutCallResultConnected})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		readAll(message)
	}
}
