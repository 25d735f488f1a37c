package pptp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// octets reads hex with blanks between groups.
func octets(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMessages has every message with every field set, beside its octets as
// the figures of RFC 2637 draw them.
func TestMessages(t *testing.T) {
	host, vendor := "686f7374"+strings.Repeat("00", 60), "76656e646f72"+strings.Repeat("00", 58)
	number, sub := "353535"+strings.Repeat("00", 61), "737562"+strings.Repeat("00", 61)
	own := Capabilities{
		FramingCapabilities: FramingCapabilityAsync | FramingCapabilitySync, BearerCapabilities: BearerCapabilityDigital,
		MaximumChannels: 7, FirmwareRevision: 8, HostName: TextOf("host"), VendorString: TextOf("vendor"),
	}
	for _, c := range []struct {
		message Message
		want    string
	}{
		{&StartControlConnectionRequestMessage{ProtocolVersion: Version, Reserved1: 9, Capabilities: own},
			"009c 0001 1a2b3c4d 0001 0000 0100 0009 00000003 00000002 0007 0008" + host + vendor},
		{&StartControlConnectionReplyMessage{ProtocolVersion: Version, ResultCode: StartResultGeneralError, ErrorCode: ErrorCodeNoResource, Capabilities: own},
			"009c 0001 1a2b3c4d 0002 0000 0100 02 04 00000003 00000002 0007 0008" + host + vendor},
		{&StopControlConnectionRequestMessage{Reason: StopReasonLocalShutdown, Reserved1: 1, Reserved2: 2}, "0010 0001 1a2b3c4d 0003 0000 03 01 0002"},
		{&StopControlConnectionReplyMessage{ResultCode: StopResultGeneralError, ErrorCode: ErrorCodeBadFormat, Reserved1: 3}, "0010 0001 1a2b3c4d 0004 0000 02 02 0003"},
		{&EchoRequestMessage{Common: Common{Reserved0: 0xABCD}, Identifier: 0x01020304}, "0010 0001 1a2b3c4d 0005 abcd 01020304"},
		{&EchoReplyMessage{Identifier: 0x01020304, ResultCode: EchoResultOK, ErrorCode: 9, Reserved1: 8}, "0014 0001 1a2b3c4d 0006 0000 01020304 01 09 0008"},
		{&OutgoingCallRequestMessage{CallID: 1, CallSerialNumber: 2, MinimumBPS: 3, MaximumBPS: 4, BearerType: BearerTypeAny, FramingType: FramingTypeSync,
			PacketRecvWindowSize: 5, PacketProcessingDelay: 6, PhoneNumberLength: 3, Reserved1: 7, PhoneNumber: TextOf("555"), Subaddress: TextOf("sub")},
			"00a8 0001 1a2b3c4d 0007 0000 0001 0002 00000003 00000004 00000003 00000002 0005 0006 0003 0007" + number + sub},
		{&OutgoingCallReplyMessage{CallID: 1, PeerCallID: 2, ResultCode: OutCallResultTimeOut, ErrorCode: 3, CauseCode: 4, ConnectSpeed: 5,
			PacketRecvWindowSize: 6, PacketProcessingDelay: 7, PhysicalChannelID: 8}, "0020 0001 1a2b3c4d 0008 0000 0001 0002 06 03 0004 00000005 0006 0007 00000008"},
		{&IncomingCallRequestMessage{CallID: 1, CallSerialNumber: 2, BearerType: BearerTypeAnalog, PhysicalChannelID: 3, DialedNumberLength: 3,
			DialingNumberLength: 4, DialedNumber: TextOf("555"), DialingNumber: TextOf("host"), Subaddress: TextOf("sub")},
			"00dc 0001 1a2b3c4d 0009 0000 0001 0002 00000001 00000003 0003 0004" + number + host + sub},
		{&IncomingCallReplyMessage{CallID: 1, PeerCallID: 2, ResultCode: InCallResultDoNotAccept, ErrorCode: 4, PacketRecvWindowSize: 5, PacketTransmitDelay: 6, Reserved1: 7},
			"0018 0001 1a2b3c4d 000a 0000 0001 0002 03 04 0005 0006 0007"},
		{&IncomingCallConnectedMessage{PeerCallID: 1, Reserved1: 2, ConnectSpeed: 3, PacketRecvWindowSize: 4, PacketTransmitDelay: 5, FramingType: FramingTypeEither},
			"001c 0001 1a2b3c4d 000b 0000 0001 0002 00000003 0004 0005 00000003"},
		{&CallClearRequestMessage{CallID: 1, Reserved1: 2}, "0010 0001 1a2b3c4d 000c 0000 0001 0002"},
		{&CallDisconnectNotifyMessage{CallID: 1, ResultCode: DisconnectResultRequest, ErrorCode: 2, CauseCode: 3, Reserved1: 4, CallStatistics: StatisticsOf("host")},
			"0094 0001 1a2b3c4d 000d 0000 0001 04 02 0003 0004" + host + strings.Repeat("00", 64)},
		{&WANErrorNotifyMessage{PeerCallID: 1, Reserved1: 2, CRCErrors: 3, FramingErrors: 4, HardwareOverruns: 5, BufferOverruns: 6, TimeOutErrors: 7, AlignmentErrors: 8},
			"0028 0001 1a2b3c4d 000e 0000 0001 0002 00000003 00000004 00000005 00000006 00000007 00000008"},
		{&SetLinkInfoMessage{Common: Common{Trailing: []byte("more")}, PeerCallID: 1, Reserved1: 2, SendACCM: 0xFFFFFFFF, ReceiveACCM: 3},
			"001c 0001 1a2b3c4d 000f 0000 0001 0002 ffffffff 00000003 6d6f7265"},
	} {
		want := octets(t, c.want)
		got, err := Encode(c.message)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: encoded %x, %v\nwant %x", c.message.ControlType(), got, err, want)
		}
		decoded, err := Decode(append(want, "next message"...))
		if err != nil || !cmp.Equal(decoded, c.message) {
			t.Errorf("%v: decoded with error %v, differs by %s", c.message.ControlType(), err, cmp.Diff(c.message, decoded))
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	echo := "0010 0001 1a2b3c4d 0005 0000 01020304"
	for _, c := range []struct {
		name, message string
		want          error
		text          string
	}{
		{"nothing", "", ErrTruncated, "0 octets, the header has 12"},
		{"half a header", echo[:14], ErrTruncated, "6 octets, the header has 12"},
		{"management message", "0010 0002 1a2b3c4d 0005 0000 01020304", ErrMessageType, "PPTP Message Type is 2, want 1"},
		{"bad magic", "0010 0001 1a2b3c4e 0005 0000 01020304", ErrMagicCookie, "0x1a2b3c4e, want 0x1a2b3c4d"},
		{"zero magic", "0010 0001 00000000 0005 0000 01020304", ErrMagicCookie, "0x00000000, want 0x1a2b3c4d"},
		{"type 0", "0010 0001 1a2b3c4d 0000 0000 01020304", ErrControlType, ": 0"},
		{"type 16", "0010 0001 1a2b3c4d 0010 0000 01020304", ErrControlType, ": 16"},
		{"type 65535", "0010 0001 1a2b3c4d ffff 0000 01020304", ErrControlType, ": 65535"},
		{"Length 0", "0000 0001 1a2b3c4d 0005 0000 01020304", ErrLength, "Echo-Request: Length is 0, the header alone has 12 octets"},
		{"Length 11", "000b 0001 1a2b3c4d 0005 0000 01020304", ErrLength, "Echo-Request: Length is 11, the header alone has 12 octets"},
		{"Length 65535", "ffff 0001 1a2b3c4d 0005 0000 01020304", ErrTruncated, "Echo-Request: Length is 65535, but only 16 octets are there"},
		{"no body", "000c 0001 1a2b3c4d 0005 0000 01020304", ErrLength, "Echo-Request: Identifier is missing or cut: Length is 12, want 16 or more octets"},
		{"one octet short", "000f 0001 1a2b3c4d 000c 0000 01020304", ErrLength, "Call-Clear-Request: Reserved1 is missing or cut: Length is 15, want 16 or more octets"},
	} {
		m, err := Decode(octets(t, c.message))
		if m != nil || !errors.Is(err, c.want) || !strings.HasSuffix(err.Error(), c.text) {
			t.Errorf("%s: got %v, %v, want %q", c.name, m, err, c.text)
		}
	}
}

// TestDecodeEveryLength gives each message every Length from 0 to beyond the
// RFC's.
func TestDecodeEveryLength(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, ct := range allTypes() {
		b := randomMessage(rnd, ct, 5)
		for n := range len(b) + 1 {
			binary.BigEndian.PutUint16(b, uint16(n))
			m, err := Decode(b)
			if (err == nil) != (n >= FixedLength(ct)) {
				t.Errorf("%v with Length %d: %v", ct, n, err)
			}
			if err == nil && len(m.common().Trailing) != n-FixedLength(ct) {
				t.Errorf("%v with Length %d: %d octets trailing", ct, n, len(m.common().Trailing))
			}
		}
	}
}

// TestRoundTrip decodes and encodes messages that are random but for their
// header.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		for _, ct := range allTypes() {
			checkRoundTrip(t, randomMessage(rnd, ct, rnd.IntN(40)))
		}
	}
	for _, c := range readGolden(t) {
		checkRoundTrip(t, c.message)
	}
}

func checkRoundTrip(t *testing.T, b []byte) {
	t.Helper()
	m, err := Decode(b)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	before := bytes.Clone(b)
	clear(b) // the message must keep nothing of it
	again, err := Append([]byte("before"), m)
	if err != nil || !bytes.Equal(again, append([]byte("before"), before...)) {
		t.Fatalf("%v of %x became %x, %v", m.ControlType(), before, again, err)
	}
}

func TestAppendTooLong(t *testing.T) {
	most := math.MaxUint16 - FixedLength(EchoRequest)
	m := &EchoRequestMessage{Common: Common{Trailing: make([]byte, most)}}
	if b, err := Encode(m); err != nil || len(b) != math.MaxUint16 || View(b).Length() != math.MaxUint16 {
		t.Errorf("the longest message: %d octets, %v", len(b), err)
	}
	m.Trailing = append(m.Trailing, 0)
	b, err := Append([]byte("before"), m)
	if string(b) != "before" || !errors.Is(err, ErrLength) || !strings.Contains(err.Error(), "Echo-Request: 65536 octets with Trailing") {
		t.Errorf("one octet more: %d octets, %v", len(b), err)
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ in, raw, text string }{
		{"", "", ""},
		{"plain", "plain", "plain"},
		{"cut\x00off", "cut", "cut"},
		{"a\nb\x1b[2J\x7f\xff", "a\nb\x1b[2J\x7f\xff", "a^Jb^[[2J^?M-^?"},
		{strings.Repeat("n", 70), strings.Repeat("n", 64), strings.Repeat("n", 64)},
	} {
		text := TextOf(c.in)
		if text.Raw() != c.raw || text.String() != c.text {
			t.Errorf("%q: raw %q, text %q", c.in, text.Raw(), text.String())
		}
		statistics := StatisticsOf(c.in)
		if len(c.in) <= 64 && (statistics.Raw() != c.raw || statistics.String() != c.text) {
			t.Errorf("statistics %q: raw %q, text %q", c.in, statistics.Raw(), statistics.String())
		}
	}
}

// FuzzDecode: no panic; what decodes encodes to the same octets and prints as
// one line of printable ASCII; View never disagrees with it.
func FuzzDecode(f *testing.F) {
	for _, c := range readGolden(f) {
		f.Add(c.message)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		readAll(b)
		m, err := Decode(b)
		if err != nil {
			return
		}
		if again, err := Encode(m); err != nil || !bytes.Equal(again, b[:View(b).Length()]) {
			t.Errorf("%x became %x, %v", b, again, err)
		}
		if !View(b).Complete() || View(b).ControlType() != m.ControlType() {
			t.Errorf("%x: View says %v, complete: %v", b, View(b).ControlType(), View(b).Complete())
		}
		for _, c := range []byte(m.String() + Verbose(m)) {
			if c < ' ' || c > '~' {
				t.Fatalf("%x prints as %q", b, Verbose(m))
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	message, err := Encode(&OutgoingCallRequestMessage{CallID: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(message); err != nil {
			b.Fatal(err)
		}
	}
}
