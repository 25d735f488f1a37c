package capture_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/gopacket/pcapgo"
	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/track/flow"
)

const (
	sll  = "\x00\x00\x00\x01\x00\x06\x02\x00\x00\x00\x00\x07\xab\xcd\x08\x00"
	sll2 = "\x08\x00\x00\x00\x00\x00\x00\x03\x00\x01\x00\x06\x02\x00\x00\x00\x00\x07\xab\xcd"
)

// TestLinkTypes reads packets of every link type as Ethernet and writes them
// back.
func TestLinkTypes(t *testing.T) {
	zero := string(make([]byte, 12))
	from := string(make([]byte, 6)) + "\x02\x00\x00\x00\x00\x07"
	tests := []struct {
		name         string
		link         uint32
		packet, want string
	}{
		{"Ethernet", 1, string(frameA), string(frameA)},
		{"Ethernet, a byte", 1, "x", "x"},
		{"SLL", 113, sll + "\x45ip", from + "\x08\x00\x45ip"},
		{"SLL, no address", 113, "\x00\x04\x02\x00\x00\x00" + sll[6:14] + "\x86\xdd\x60", zero + "\x86\xdd\x60"},
		{"SLL, 802.2", 113, sll[:14] + "\x00\x04LLC", from + "\x00\x03LLC"},
		{"SLL, VLAN", 113, sll[:14] + "\x81\x00\x00\x64\x08\x00\x45", from + "\x81\x00\x00\x64\x08\x00\x45"},
		{"SLL, cut", 113, sll[:15], zero + "\x00\x00"},
		{"SLL2", 276, sll2 + "\x45ip", from + "\x08\x00\x45ip"},
		{"SLL2, cut", 276, sll2[:3], zero + "\x00\x00"},
		{"raw IPv4", 101, "\x45ip", zero + "\x08\x00\x45ip"},
		{"raw IPv6", 12, "\x60ip", zero + "\x86\xdd\x60ip"},
		{"raw, neither", 14, "\x10ip", zero + "\x00\x00\x10ip"},
		{"raw, empty", 101, "", zero + "\x00\x00"},
		{"IPv4", 228, "\x45ip", zero + "\x08\x00\x45ip"},
		{"IPv6", 229, "\x60ip", zero + "\x86\xdd\x60ip"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := records(t, pcapOf(le, nano, test.link, []byte(test.packet)))
			if err != io.EOF || len(got) != 1 {
				t.Fatalf("%d frames, %v", len(got), err)
			}
			if string(got[0].Data) != test.want {
				t.Errorf("as Ethernet % x, want % x", got[0].Data, test.want)
			}
			again, err := records(t, written(t, capture.LinkType(test.link), got))
			if err != io.EOF || len(again) != 1 {
				t.Fatalf("written: %d frames, %v", len(again), err)
			}
			if again[0].Link != asWritten(got[0].Link) || !bytes.Equal(again[0].Data, got[0].Data) {
				t.Errorf("written back: %+v, want %+v", again[0], got[0])
			}
		})
	}
}

// asWritten is link as it is read back: raw IP has one of its three numbers.
func asWritten(link capture.Link) capture.Link {
	if link.Type == capture.LinkRaw || link.Type == 14 {
		link.Type = 12
	}
	return link
}

// written writes the records in turn on wan and on lan.
func written(t testing.TB, link capture.LinkType, all []capture.Record) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := capture.NewWriter(&out, link)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if err := w.Write(flow.Side((i+1)%2), &all[i], all[i].Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestWriterForOthers reads what the Writer wrote with gopacket.
func TestWriterForOthers(t *testing.T) {
	all, err := records(t, pcapOf(le, nano, 1, frameA, frameB, []byte("x")))
	if err != io.EOF {
		t.Fatal(err)
	}
	all[2].Length = 60
	r, err := pcapgo.NewNgReader(bytes.NewReader(written(t, capture.LinkEthernet, all)), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range all {
		data, info, err := r.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		iface, err := r.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		if side := flow.Side((i + 1) % 2).String(); iface.Name != side {
			t.Errorf("frame %d is on %s, want %s", i+1, iface.Name, side)
		}
		if !bytes.Equal(data, want.Data) || !info.Timestamp.Equal(want.Time) || info.Length != want.Length {
			t.Errorf("frame %d: % x %+v, want %+v", i+1, data, info, want)
		}
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestWriterMixedLinks writes frames of two link types to one file.
func TestWriterMixedLinks(t *testing.T) {
	cooked, _ := records(t, pcapOf(le, nano, 276, []byte(sll2+"\x45ip")))
	plain, _ := records(t, pcapOf(le, nano, 1, frameA))
	all := append(cooked, plain...)
	got, err := records(t, written(t, capture.LinkEthernet, all))
	if err != io.EOF || len(got) != 2 {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	for i, name := range []string{"wan", "lan"} {
		if got[i].Interface != name || got[i].Link != all[i].Link || !got[i].Outbound || !bytes.Equal(got[i].Data, all[i].Data) {
			t.Errorf("frame %d: %+v, want %+v on %s", i+1, got[i], all[i], name)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(pcapOf(le, micro, 1, frameA, frameB))
	f.Add(pcapOf(be, nano, 113, []byte(sll+"\x45")))
	f.Add(pcapOf(le, nano, 276, []byte(sll2)))
	n := newNG(le)
	n.iface(1, 9, n.option(2, []byte("lan")), n.option(9, []byte{0x83}), n.option(14, make([]byte, 8))).
		packet(0, 1e15, frameA, n.option(2, n.u32(2))).block(3, n.u32(3, 0)).block(2, n.u32(0, 0, 0, 1, 1, 1))
	f.Add(n.Bytes())
	f.Add(newNG(be).iface(101, 0).packet(0, 7, []byte("\x45")).Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		all, err := records(t, file)
		if err == nil {
			t.Fatal("no end")
		}
		for i, rec := range all {
			if rec.Number != uint64(i+1) || len(rec.Data) > capture.MaxFrame+14 || rec.Length < 0 {
				t.Fatalf("frame %d: %+v", i+1, rec)
			}
		}
		survey(t, nil, file)
		again, err := records(t, written(t, capture.LinkEthernet, all))
		if err != io.EOF || len(again) != len(all) {
			t.Fatalf("written: %d of %d frames, %v", len(again), len(all), err)
		}
		for i := range all {
			if !bytes.Equal(again[i].Data, all[i].Data) || again[i].Link != asWritten(all[i].Link) || again[i].Length != all[i].Length ||
				!again[i].Time.Equal(all[i].Time) {
				t.Fatalf("frame %d: %+v, was %+v", i+1, again[i], all[i])
			}
		}
	})
}
