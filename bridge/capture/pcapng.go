package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// The block types of draft-ietf-opsawg-pcapng, section 4.
const (
	blockSection   = 0x0a0d0d0a // reads the same in both byte orders
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

// The options used, by the block they belong to.
const (
	optionEnd          = 0
	optionIfName       = 2
	optionIfResolution = 9
	optionIfOffset     = 14
	optionPacketFlags  = 2
	optionApplication  = 4
)

const (
	byteOrderMagic = 0x1a2b3c4d
	maxBlock       = 1 << 20 // octets of a block that is looked into
	maxInterfaces  = 4096
	maxName        = 256

	flagDirection = 3 // of optionPacketFlags
	flagOutbound  = 2
)

// ngInterface is what an Interface Description Block says.
type ngInterface struct {
	name   string
	link   LinkType
	snap   uint32
	units  uint64 // of a timestamp, in a second
	offset uint64 // seconds to add; two's complement, so that adding wraps rightly
}

// ngFile reads the format of draft-ietf-opsawg-pcapng.
type ngFile struct {
	in     *bufio.Reader
	order  binary.ByteOrder
	ifaces []ngInterface // of the current section
	names  map[string]bool
	buf    []byte
}

func newPcapng(in *bufio.Reader) *ngFile {
	return &ngFile{in: in, order: binary.LittleEndian, names: make(map[string]bool)}
}

func (f *ngFile) interfaces() map[string]bool { return f.names }

// next reads blocks up to and including the next packet.
func (f *ngFile) next() (packet, error) {
	for {
		kind, body, err := f.block()
		if err != nil {
			return packet{}, err
		}
		switch kind {
		case blockSection:
			err = f.section(body)
		case blockInterface:
			err = f.declare(body)
		case blockEnhanced:
			return f.enhanced(body, f.order.Uint32)
		case blockPacket:
			return f.enhanced(body, func(b []byte) uint32 { return uint32(f.order.Uint16(b)) })
		case blockSimple:
			return f.simple(body)
		}
		if err != nil {
			return packet{}, err
		}
	}
}

// block reads a block. The body of a kind that is of no use here is skipped
// and comes back empty.
func (f *ngFile) block() (kind uint32, body []byte, err error) {
	var header [8]byte
	// A file may end in front of a block, but not within.
	if _, err := io.ReadFull(f.in, header[:]); err != nil {
		return 0, nil, err
	}
	if binary.BigEndian.Uint32(header[:]) == blockSection {
		if err := f.byteOrder(); err != nil {
			return 0, nil, err
		}
	}
	kind, total := f.order.Uint32(header[:]), f.order.Uint32(header[4:])
	if total < 12 || total%4 != 0 {
		return 0, nil, fmt.Errorf("a block of type %#x says it is %d octets long: the file is damaged here", kind, total)
	}
	body, err = f.body(kind, total)
	if err != nil {
		return 0, nil, err
	}
	if err := readFull(f.in, header[:4]); err != nil {
		return 0, nil, err
	}
	if again := f.order.Uint32(header[:]); again != total {
		return 0, nil, fmt.Errorf("a block of type %#x says it is %d octets long at its start and %d at its end", kind, total, again)
	}
	return kind, body, nil
}

// byteOrder looks at the magic ahead that says in which order a section, its
// header's length included, is written.
func (f *ngFile) byteOrder() error {
	magic, err := f.in.Peek(4)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint32(magic) == byteOrderMagic {
			f.order = order
			return nil
		}
	}
	return fmt.Errorf("a section's byte order mark is % x", magic)
}

// body reads what is in a block of total octets, between the 8 in front and the
// 4 behind.
func (f *ngFile) body(kind, total uint32) ([]byte, error) {
	length := total - 12
	switch kind {
	case blockSection, blockInterface, blockEnhanced, blockPacket, blockSimple:
	default:
		_, err := io.CopyN(io.Discard, f.in, int64(length))
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if total > maxBlock {
		return nil, fmt.Errorf("a block of type %#x says it is %d octets long, more than %d", kind, total, maxBlock)
	}
	f.buf = grow(f.buf, int(length))
	return f.buf, readFull(f.in, f.buf)
}

var errShortBlock = errors.New("a block is too short for its fields")

// section starts anew: interfaces are numbered by section.
func (f *ngFile) section(body []byte) error {
	if len(body) < 16 {
		return errShortBlock
	}
	if major, minor := f.order.Uint16(body[4:]), f.order.Uint16(body[6:]); major != 1 {
		return fmt.Errorf("pcapng version %d.%d is not supported, only 1.x", major, minor)
	}
	f.ifaces = f.ifaces[:0]
	return nil
}

// declare reads an Interface Description Block.
func (f *ngFile) declare(body []byte) error {
	if len(body) < 8 {
		return errShortBlock
	}
	if len(f.ifaces) == maxInterfaces {
		return fmt.Errorf("the section declares more than %d interfaces", maxInterfaces)
	}
	iface := ngInterface{link: LinkType(f.order.Uint16(body)), snap: f.order.Uint32(body[4:]), units: 1e6}
	if err := f.options(body[8:], iface.option(f.order)); err != nil {
		return err
	}
	f.ifaces = append(f.ifaces, iface)
	if iface.name != "" && len(f.names) < maxInterfaces {
		f.names[iface.name] = true
	}
	return nil
}

// option returns what takes in one option of an interface.
func (i *ngInterface) option(order binary.ByteOrder) func(code uint16, value []byte) error {
	return func(code uint16, value []byte) error {
		switch {
		case code == optionIfName:
			i.name = string(value[:min(len(value), maxName)])
		case code == optionIfOffset && len(value) == 8:
			i.offset = order.Uint64(value)
		case code == optionIfResolution && len(value) == 1:
			return i.resolution(value[0])
		}
		return nil
	}
}

// resolution sets the units of a second: a power of 10, or of 2 when the
// highest bit is set.
func (i *ngInterface) resolution(r byte) error {
	exponent := r & 0x7f
	switch {
	case r&0x80 != 0 && exponent < 64:
		i.units = 1 << exponent
	case r&0x80 == 0 && exponent < 20: // 10^19 is the last to fit in 64 bits
		i.units = 1
		for range exponent {
			i.units *= 10
		}
	default:
		return fmt.Errorf("interface %q has a timestamp resolution of %#x, finer than 64 bits can tell", i.name, r)
	}
	return nil
}

// when converts a timestamp to seconds and nanoseconds.
func (i *ngInterface) when(high, low uint32) (seconds uint64, nanos uint32) {
	stamp := uint64(high)<<32 | uint64(low)
	productHigh, productLow := bits.Mul64(stamp%i.units, 1e9)
	n, _ := bits.Div64(productHigh, productLow, i.units) // below 1e9, since the remainder is below units
	return stamp/i.units + i.offset, uint32(n)
}

// enhanced reads an Enhanced Packet Block, or the obsolete Packet Block,
// which has the interface in 16 bits and a drop count in the other 16.
func (f *ngFile) enhanced(body []byte, index func([]byte) uint32) (packet, error) {
	const fixed = 20
	if len(body) < fixed {
		return packet{}, errShortBlock
	}
	iface, err := f.iface(index(body))
	if err != nil {
		return packet{}, err
	}
	captured := f.order.Uint32(body[12:])
	if captured > MaxFrame {
		return packet{}, tooLong(captured)
	}
	padded := (int(captured) + 3) &^ 3
	if padded > len(body)-fixed {
		return packet{}, fmt.Errorf("its captured length says %d octets, but its block has room for %d", captured, len(body)-fixed)
	}
	p := packet{iface: iface.name, link: iface.link, length: f.order.Uint32(body[16:]), data: body[fixed : fixed+captured]}
	p.seconds, p.nanos = iface.when(f.order.Uint32(body[4:]), f.order.Uint32(body[8:]))
	err = f.options(body[fixed+padded:], func(code uint16, value []byte) error {
		if code == optionPacketFlags && len(value) == 4 {
			p.outbound = f.order.Uint32(value)&flagDirection == flagOutbound
		}
		return nil
	})
	return p, err
}

// simple reads a Simple Packet Block: no time, the section's first interface,
// and as much captured as the interface's snapshot length lets through.
func (f *ngFile) simple(body []byte) (packet, error) {
	if len(body) < 4 {
		return packet{}, errShortBlock
	}
	iface, err := f.iface(0)
	if err != nil {
		return packet{}, err
	}
	length := f.order.Uint32(body)
	captured := length
	if iface.snap != 0 {
		captured = min(captured, iface.snap)
	}
	if captured > MaxFrame {
		return packet{}, tooLong(captured)
	}
	if int(captured) > len(body)-4 {
		return packet{}, fmt.Errorf("its length says %d octets, but its block has room for %d", captured, len(body)-4)
	}
	return packet{timeless: true, iface: iface.name, link: iface.link, length: length, data: body[4 : 4+captured]}, nil
}

func (f *ngFile) iface(index uint32) (*ngInterface, error) {
	if uint64(index) >= uint64(len(f.ifaces)) {
		return nil, fmt.Errorf("it is of interface %d, but the section has declared %d", index, len(f.ifaces))
	}
	return &f.ifaces[index], nil
}

// options hands every option of a block to take.
func (f *ngFile) options(b []byte, take func(code uint16, value []byte) error) error {
	for len(b) >= 4 {
		code, length := f.order.Uint16(b), int(f.order.Uint16(b[2:]))
		if code == optionEnd {
			return nil
		}
		padded := (length + 3) &^ 3
		if padded > len(b)-4 {
			return fmt.Errorf("option %d says it is %d octets long, but its block has room for %d", code, length, len(b)-4)
		}
		if err := take(code, b[4:4+length]); err != nil {
			return err
		}
		b = b[4+padded:]
	}
	return nil
}
