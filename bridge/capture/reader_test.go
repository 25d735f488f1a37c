package capture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/grewire/grewire/bridge/capture"
)

const (
	micro = 0xa1b2c3d4
	nano  = 0xa1b23c4d
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian

	frameA = []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5one")
	frameB = []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5second")
)

func TestTimes(t *testing.T) {
	stamp := func(unit time.Duration) uint64 { return uint64(start.UnixNano()+123_456_789) / uint64(unit) }
	resolution := func(n *ng, r byte) []byte { return n.option(9, []byte{r}) }
	n := func(order byteOrder) *ng { return newNG(order) }
	tests := []struct {
		name string
		file []byte
		want time.Duration // after start
	}{
		{"pcap microseconds", pcapOf(le, micro, 1, frameA), 123456 * time.Microsecond},
		{"pcap microseconds, big endian", pcapOf(be, micro, 1, frameA), 123456 * time.Microsecond},
		{"pcap nanoseconds", pcapOf(le, nano, 1, frameA), 123456},
		{"pcap nanoseconds, big endian", pcapOf(be, nano, 1, frameA), 123456},
		{"pcapng default", n(le).iface(1, 0).packet(0, stamp(time.Microsecond), frameA).Bytes(), 123456 * time.Microsecond},
		{"pcapng big endian", n(be).iface(1, 0).packet(0, stamp(time.Microsecond), frameA).Bytes(), 123456 * time.Microsecond},
		{"pcapng 10^-9", n(le).iface(1, 0, resolution(n(le), 9)).packet(0, stamp(1), frameA).Bytes(), 123456789},
		{"pcapng 10^0", n(le).iface(1, 0, resolution(n(le), 0)).packet(0, stamp(time.Second), frameA).Bytes(), 0},
		{"pcapng 2^-32", n(le).iface(1, 0, resolution(n(le), 0x80|32)).packet(0, 1_000_000_000<<32|1<<31, frameA).Bytes(), time.Second / 2},
		{"pcapng 2^-10", n(le).iface(1, 0, resolution(n(le), 0x80|10)).packet(0, 1_000_000_000<<10|256, frameA).Bytes(), time.Second / 4},
		{"pcapng offset", n(le).iface(1, 0, n(le).option(14, le.AppendUint64(nil, 1_000_000_000))).packet(0, 5, frameA).Bytes(), 5 * time.Microsecond},
		{"pcapng negative offset", n(le).iface(1, 0, n(le).option(14, le.AppendUint64(nil, 1<<64-1))).packet(0, 1_000_000_001_000_005, frameA).Bytes(), 5 * time.Microsecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := records(t, test.file)
			if err != io.EOF || len(got) != 1 {
				t.Fatalf("got %d frames and %v, want 1 and EOF", len(got), err)
			}
			if want := start.Add(test.want); !got[0].Time.Equal(want) {
				t.Errorf("time %v, want %v", got[0].Time, want)
			}
			if !bytes.Equal(got[0].Data, frameA) || got[0].Length != len(frameA) || got[0].Truncated || got[0].Number != 1 {
				t.Errorf("got %+v", got[0])
			}
		})
	}
}

func TestPcapngBlocks(t *testing.T) {
	n := newNG(le)
	n.block(0x0bad, []byte("a custom block")).
		iface(1, 4, n.option(2, []byte("lan")), n.option(1, []byte("a comment"))).
		iface(101, 0, n.option(2, []byte("tun0"))).
		packet(1, 1e15, []byte("\x45raw"), n.option(2, n.u32(2))).
		block(2, append(append(n.AppendUint16(n.AppendUint16(nil, 0), 7), n.u32(232830, 2764472320, 3, 9)...), "old"...)).
		block(3, append(n.u32(9), "simp"...)).
		block(5, n.u32(0, 0, 0))
	second := newNG(be)
	second.iface(1, 0, second.option(2, []byte("wan"))).packet(0, 1e15+1, frameB)
	got, err := records(t, append(n.Bytes(), second.Bytes()...))
	if err != io.EOF || len(got) != 4 {
		t.Fatalf("got %d frames and %v, want 4 and EOF", len(got), err)
	}
	want := []capture.Record{
		{Number: 1, Interface: "tun0", Outbound: true, Data: append(make([]byte, 12), "\x08\x00\x45raw"...), Length: 4},
		{Number: 2, Interface: "lan", Data: []byte("old"), Length: 9, Truncated: true},
		{Number: 3, Interface: "lan", Data: []byte("simp"), Length: 9, Truncated: true},
		{Number: 4, Interface: "wan", Data: frameB, Length: len(frameB)},
	}
	for i, w := range want {
		g := got[i]
		if g.Number != w.Number || g.Interface != w.Interface || g.Outbound != w.Outbound || !bytes.Equal(g.Data, w.Data) ||
			g.Length != w.Length || g.Truncated != w.Truncated || g.Time.Before(start) {
			t.Errorf("frame %d: got %+v, want %+v", i+1, g, w)
		}
	}
}

// TestCut cuts files at every octet: whatever came before is returned, and the
// error names the frame, or is io.EOF where nothing is missing.
func TestCut(t *testing.T) {
	n := newNG(le)
	n.iface(1, 0)
	ends := []int{n.Len()}
	n.packet(0, 1e15, frameA)
	ends = append(ends, n.Len())
	n.packet(0, 1e15, frameB)
	tests := []struct {
		name string
		file []byte
		ends []int // lengths at which 0, 1, … frames are whole
	}{
		{"pcap", pcapOf(le, micro, 1, frameA, frameB), []int{24, 24 + 16 + len(frameA), 24 + 32 + len(frameA) + len(frameB)}},
		{"pcapng", n.Bytes(), append(ends, n.Len())},
	}
	for _, test := range tests {
		for cut := test.ends[0]; cut <= len(test.file); cut++ {
			got, err := records(t, test.file[:cut])
			whole := 0
			for whole+1 < len(test.ends) && cut >= test.ends[whole+1] {
				whole++
			}
			if len(got) != whole {
				t.Fatalf("%s cut at %d: got %d frames, want %d", test.name, cut, len(got), whole)
			}
			if cut == test.ends[whole] {
				if err != io.EOF {
					t.Errorf("%s ending at %d: %v, want EOF", test.name, cut, err)
				}
				continue
			}
			var broken *capture.FrameError
			if !errors.As(err, &broken) || broken.Frame != uint64(whole+1) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut at %d: %v, want frame %d cut short", test.name, cut, err, whole+1)
			}
		}
	}
}

func TestBadFiles(t *testing.T) {
	n := newNG(le)
	long := pcapOf(le, micro, 1, frameA, frameB)
	le.PutUint32(long[24+16+len(frameA)+8:], 1<<31)
	version := pcapOf(le, micro, 1)
	version[4] = 3
	order := newNG(le).Bytes()
	order[8] = 0
	tests := []struct {
		name, want string
		file       []byte
	}{
		{"empty", "the file is empty", nil},
		{"short", "too short", []byte("abc")},
		{"text", "neither pcap nor pcapng", []byte("hello, world")},
		{"gzip", "gunzip", []byte("\x1f\x8b\x08\x00")},
		{"header cut", "too short", pcapOf(le, micro, 1)[:20]},
		{"version", "version 3.4", version},
		{"link type", "link type 105 is not supported", pcapOf(le, micro, 105, frameA)},
		{"long frame", "frame 2: its captured length says 2147483648", long},
		{"ng link type", "frame 1: link type 105", newNG(le).iface(105, 0).packet(0, 0, frameA).Bytes()},
		{"ng no interface", "frame 1: it is of interface 0, but the section has declared 0", newNG(le).packet(0, 0, frameA).Bytes()},
		{"ng other interface", "interface 4294967295", newNG(le).iface(1, 0).packet(1<<32-1, 0, frameA).Bytes()},
		{"ng captured beyond block", "its block has room for 4", newNG(le).iface(1, 0).block(6, n.u32(0, 0, 0, 5, 5, 0)).Bytes()},
		{"ng captured length", "captured length says 4294967295", newNG(le).iface(1, 0).block(6, n.u32(0, 0, 0, 1<<32-1, 5, 0)).Bytes()},
		{"ng short packet", "too short for its fields", newNG(le).iface(1, 0).block(6, n.u32(0, 0, 0, 0)).Bytes()},
		{"ng short interface", "too short for its fields", newNG(le).block(1, n.u32(1)).Bytes()},
		{"ng short simple", "too short for its fields", newNG(le).iface(1, 0).block(3, nil).Bytes()},
		{"ng simple beyond block", "its block has room for 4", newNG(le).iface(1, 0).block(3, n.u32(9, 0)).Bytes()},
		{"ng short section", "too short for its fields", n.block(0x0a0d0d0a, n.u32(0x1a2b3c4d)).Bytes()},
		{"ng option", "option 2 says it is 60 octets long", newNG(le).iface(1, 0, append(n.AppendUint16(nil, 2), 60, 0)).Bytes()},
		{"ng resolution", "timestamp resolution of 0x14", newNG(le).iface(1, 0, n.option(9, []byte{20})).Bytes()},
		{"ng binary resolution", "timestamp resolution of 0xc0", newNG(le).iface(1, 0, n.option(9, []byte{0xc0})).Bytes()},
		{"ng time", "beyond the year 2262", newNG(le).iface(1, 0).packet(0, 1<<64-1, frameA).Bytes()},
		{"ng block length", "says it is 13 octets long", append(newNG(le).Bytes(), n.u32(1, 13, 0, 0)...)},
		{"ng block lengths differ", "32 octets long at its start and 5 at its end", append(newNG(le).Bytes(), n.u32(6, 32, 0, 0, 0, 0, 0, 5)...)},
		{"ng huge block", "more than 1048576", append(newNG(le).Bytes(), n.u32(6, 1<<30, 0)...)},
		{"ng byte order", "byte order mark is 00", order},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := records(t, test.file); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("not a capture at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "nosuch.pcap"), text, dir} {
		if _, err := capture.Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s): %v, want an error that names it", path, err)
		}
	}
}

// TestAgreesWithPcapgo holds the reader against gopacket's on real captures.
func TestAgreesWithPcapgo(t *testing.T) {
	files, err := filepath.Glob("../../cmd/grewire/testdata/captures/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatalf("captures: %v %v", files, err)
	}
	for _, path := range files {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		other, err := pcapgo.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := records(t, file)
		if err != io.EOF {
			t.Errorf("%s: %v", path, err)
		}
		for i, rec := range got {
			data, info, err := other.ReadPacketData()
			if err != nil {
				t.Fatalf("%s: pcapgo at frame %d: %v", path, i+1, err)
			}
			if !bytes.Equal(rec.Data, data) || !rec.Time.Equal(info.Timestamp) || rec.Length != info.Length {
				t.Errorf("%s: frame %d differs", path, i+1)
			}
		}
		if _, _, err := other.ReadPacketData(); err != io.EOF {
			t.Errorf("%s: pcapgo finds more than our %d frames", path, len(got))
		}
	}
}
