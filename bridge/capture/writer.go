package capture

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/grewire/grewire/track/flow"
)

// Writer writes a pcapng file with two interfaces named lan and wan. A frame
// on one of them has left the box there, and is marked outbound.
type Writer struct {
	out    *bufio.Writer
	first  map[LinkType]uint32 // the number of the link type's lan interface
	ifaces uint32
	buf    []byte
}

// NewWriter starts a file whose interfaces are of link type t. A frame of
// another link type gets a second pair of interfaces of the same names.
func NewWriter(to io.Writer, t LinkType) (*Writer, error) {
	w := &Writer{out: bufio.NewWriterSize(to, 1<<16), first: make(map[LinkType]uint32)}
	section := binary.LittleEndian.AppendUint32(nil, byteOrderMagic)
	section = append(section, 1, 0, 0, 0) // version 1.0
	section = binary.LittleEndian.AppendUint64(section, 1<<64-1)
	section = appendOption(section, optionApplication, []byte("grewire"))
	if err := w.block(blockSection, endOptions(section)); err != nil {
		return nil, err
	}
	return w, w.declare(t.written())
}

// declare writes the interfaces of a link type, in the order of flow.Side.
func (w *Writer) declare(t LinkType) error {
	w.first[t] = w.ifaces
	for _, side := range []flow.Side{flow.LAN, flow.WAN} {
		b := binary.LittleEndian.AppendUint16(nil, uint16(t))
		b = append(b, 0, 0, 0, 0, 0, 0) // reserved, and no snapshot length
		b = appendOption(b, optionIfName, []byte(side.String()))
		b = appendOption(b, optionIfResolution, []byte{9})
		if err := w.block(blockInterface, endOptions(b)); err != nil {
			return err
		}
		w.ifaces++
	}
	return nil
}

// Write writes frame as sent out by side. Of rec it takes the time, the link
// header and the length; frame is rec.Data, or what became of it.
func (w *Writer) Write(side flow.Side, rec *Record, frame []byte) error {
	link := rec.Link.Type.written()
	if _, known := w.first[link]; !known {
		if err := w.declare(link); err != nil {
			return err
		}
	}
	header, payload := rec.Link.restore(frame)
	captured := len(header) + len(payload)
	stamp := uint64(rec.Time.UnixNano())
	b := binary.LittleEndian.AppendUint32(w.buf[:0], w.first[link]+uint32(side))
	b = binary.LittleEndian.AppendUint32(b, uint32(stamp>>32))
	b = binary.LittleEndian.AppendUint32(b, uint32(stamp))
	b = binary.LittleEndian.AppendUint32(b, uint32(captured))
	b = binary.LittleEndian.AppendUint32(b, uint32(max(captured, rec.Length)))
	b = pad(append(append(b, header...), payload...))
	b = appendOption(b, optionPacketFlags, []byte{flagOutbound, 0, 0, 0})
	w.buf = endOptions(b)
	return w.block(blockEnhanced, w.buf)
}

// Flush hands everything written to the underlying writer.
func (w *Writer) Flush() error { return w.out.Flush() }

// block writes a block around body, which is padded to 32 bits.
func (w *Writer) block(kind uint32, body []byte) error {
	var frame [8]byte
	binary.LittleEndian.PutUint32(frame[:], kind)
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(body)+12))
	for _, b := range [][]byte{frame[:], body, frame[4:]} {
		if _, err := w.out.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func appendOption(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...))
}

func endOptions(b []byte) []byte { return append(b, 0, 0, 0, 0) }

// pad fills up to 32 bits; every part in front is padded already.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
