package capture_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/grewire/grewire/bridge/capture"
)

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// pcapOf is a pcap file with one record for each of frames, a second apart
// from 1,000,000,000 on, each with fraction 123,456 of the file's unit.
func pcapOf(order byteOrder, magic, link uint32, frames ...[]byte) []byte {
	u32 := func(b []byte, values ...uint32) []byte {
		for _, v := range values {
			b = order.AppendUint32(b, v)
		}
		return b
	}
	b := u32(nil, magic)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	b = u32(b, 0, 0, 65535, link)
	for i, frame := range frames {
		b = u32(b, 1_000_000_000+uint32(i), 123_456, uint32(len(frame)), uint32(len(frame)))
		b = append(b, frame...)
	}
	return b
}

// ng builds pcapng files.
type ng struct {
	byteOrder
	bytes.Buffer
}

func (n *ng) block(kind uint32, body []byte) *ng {
	body = padded(body)
	length := n.AppendUint32(nil, uint32(len(body)+12))
	n.Write(n.AppendUint32(nil, kind))
	n.Write(length)
	n.Write(body)
	n.Write(length)
	return n
}

func padded(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

func (n *ng) u32(values ...uint32) (b []byte) {
	for _, v := range values {
		b = n.AppendUint32(b, v)
	}
	return b
}

func (n *ng) option(code uint16, value []byte) []byte {
	b := n.AppendUint16(n.AppendUint16(nil, code), uint16(len(value)))
	return padded(append(b, value...))
}

func (n *ng) section() *ng {
	b := n.AppendUint16(n.AppendUint16(n.u32(0x1a2b3c4d), 1), 0)
	return n.block(0x0a0d0d0a, append(b, bytes.Repeat([]byte{0xff}, 8)...))
}

func (n *ng) iface(link uint16, snap uint32, options ...[]byte) *ng {
	b := n.AppendUint32(n.AppendUint16(n.AppendUint16(nil, link), 0), snap)
	return n.block(1, append(append(b, bytes.Join(options, nil)...), 0, 0, 0, 0))
}

func (n *ng) packet(iface uint32, stamp uint64, frame []byte, options ...[]byte) *ng {
	b := n.u32(iface, uint32(stamp>>32), uint32(stamp), uint32(len(frame)), uint32(len(frame)))
	b = padded(append(b, frame...))
	return n.block(6, append(b, bytes.Join(options, nil)...))
}

func newNG(order byteOrder) *ng { return (&ng{byteOrder: order}).section() }

// records reads everything there is; the records have their own bytes.
func records(t testing.TB, file []byte) ([]capture.Record, error) {
	t.Helper()
	r, err := capture.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	var all []capture.Record
	for {
		rec, err := r.Next()
		if err != nil {
			return all, err
		}
		rec.Data = bytes.Clone(rec.Data)
		all = append(all, rec)
	}
}

var start = time.Unix(1_000_000_000, 0).UTC()
