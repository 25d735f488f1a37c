package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d

	pcapHeaderLength = 24
	pcapRecordLength = 16

	// pcapLinkMask leaves out the bits that say how long the frame check
	// sequence at the end of every frame is.
	pcapLinkMask = 0x03ffffff
)

// pcapFile reads the format of draft-ietf-opsawg-pcap.
type pcapFile struct {
	in    *bufio.Reader
	order binary.ByteOrder
	unit  uint32 // nanoseconds in a unit of the timestamp's fraction
	link  LinkType
	buf   []byte
}

func newPcap(in *bufio.Reader, order binary.ByteOrder, unit uint32) (*pcapFile, error) {
	var header [pcapHeaderLength]byte
	if err := readFull(in, header[:]); err != nil {
		return nil, notCapture(err)
	}
	major, minor := order.Uint16(header[4:]), order.Uint16(header[6:])
	if major != 2 || minor != 4 {
		return nil, fmt.Errorf("pcap version %d.%d is not supported, only 2.4", major, minor)
	}
	link := LinkType(order.Uint32(header[20:]) & pcapLinkMask)
	if err := link.check(); err != nil {
		return nil, err
	}
	return &pcapFile{in: in, order: order, unit: unit, link: link}, nil
}

func (f *pcapFile) next() (packet, error) {
	var header [pcapRecordLength]byte
	// A file may end in front of a record, but not within.
	if _, err := io.ReadFull(f.in, header[:]); err != nil {
		return packet{}, err
	}
	captured := f.order.Uint32(header[8:])
	if captured > MaxFrame {
		return packet{}, tooLong(captured)
	}
	f.buf = grow(f.buf, int(captured))
	if err := readFull(f.in, f.buf); err != nil {
		return packet{}, err
	}
	fraction := uint64(f.order.Uint32(header[4:])) * uint64(f.unit)
	return packet{
		seconds: uint64(f.order.Uint32(header[0:])) + fraction/1e9,
		nanos:   uint32(fraction % 1e9),
		link:    f.link,
		length:  f.order.Uint32(header[12:]),
		data:    f.buf,
	}, nil
}

func (f *pcapFile) interfaces() map[string]bool { return nil }

func tooLong(captured uint32) error {
	return fmt.Errorf("its captured length says %d octets, more than %d: the file is damaged here", captured, MaxFrame)
}
