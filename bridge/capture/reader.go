package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// MaxFrame is the longest captured frame that is read, in octets: tcpdump's
// own upper limit for a snapshot length. A longer one is a lying length.
const MaxFrame = 262144

// Record is one frame of a capture file.
type Record struct {
	// Number of the frame in its file, from 1.
	Number uint64
	// Time of the capture in UTC with the file's own precision, up to
	// nanoseconds. A frame of a file that has no time for it (a pcapng Simple
	// Packet Block) has the time of the frame before, the first one 1970.
	Time time.Time
	// Interface is the name of the interface in pcapng, else empty.
	Interface string
	// Outbound is set when pcapng says that the frame was leaving by
	// Interface rather than coming in.
	Outbound bool
	// Data is the frame from the destination MAC address on. It is valid
	// until the next call of Next.
	Data []byte
	// Link is what the frame had before Data's first 14 octets were made up.
	Link Link
	// Length is how long the captured packet was on its link, in octets, of
	// which the capture may hold fewer.
	Length int
	// Truncated is set when the capture does not hold the frame whole.
	Truncated bool
}

// A FrameError says at which frame a capture could not be read any further.
// Everything before it was returned. Err is io.ErrUnexpectedEOF when the file
// is cut short.
type FrameError struct {
	Frame uint64 // from 1
	Err   error
}

// Error names the frame and what is wrong with it.
func (e *FrameError) Error() string {
	if errors.Is(e.Err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("frame %d: the capture is cut short", e.Frame)
	}
	return fmt.Sprintf("frame %d: %v", e.Frame, e.Err)
}

// Unwrap returns the reason.
func (e *FrameError) Unwrap() error { return e.Err }

// packet is what a file format yields, before its link type is looked at.
type packet struct {
	seconds  uint64
	nanos    uint32
	timeless bool
	iface    string
	outbound bool
	link     LinkType
	length   uint32
	data     []byte // valid until the next one
}

// format is a file format. next returns io.EOF where the file ends in order,
// io.ErrUnexpectedEOF where it is cut.
type format interface {
	next() (packet, error)
	// interfaces returns the names of the interfaces declared so far.
	interfaces() map[string]bool
}

// Reader reads the frames of one capture file in their order.
type Reader struct {
	format format
	closer io.Closer
	count  uint64
	last   time.Time
	frame  []byte
}

// Open opens a pcap or pcapng file. The error names the file.
func Open(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.closer = file
	return r, nil
}

// NewReader reads a capture from any stream of bytes. A file that is neither
// pcap nor pcapng is an error; a fault behind the file's header is left to
// Next.
func NewReader(from io.Reader) (*Reader, error) {
	in := bufio.NewReaderSize(from, 1<<16)
	magic, err := in.Peek(4)
	if len(magic) == 0 && err == io.EOF {
		return nil, errors.New("the file is empty, not a capture")
	}
	if len(magic) < 4 {
		return nil, notCapture(err)
	}
	f, err := newFormat(in, magic)
	if err != nil {
		return nil, err
	}
	return &Reader{format: f, last: time.Unix(0, 0).UTC()}, nil
}

func notCapture(err error) error {
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	return errors.New("not a capture: too short for a pcap or pcapng header")
}

func newFormat(in *bufio.Reader, magic []byte) (format, error) {
	if binary.BigEndian.Uint32(magic) == blockSection {
		return newPcapng(in), nil
	}
	if magic[0] == 0x1f && magic[1] == 0x8b {
		return nil, errors.New("compressed with gzip: unpack it first (gunzip)")
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(magic) {
		case magicMicroseconds:
			return newPcap(in, order, 1000)
		case magicNanoseconds:
			return newPcap(in, order, 1)
		}
	}
	return nil, fmt.Errorf("not a capture: it starts with % x, neither pcap nor pcapng", magic)
}

// Next returns the next frame. The error is io.EOF at the end of the file, a
// *FrameError where the file is cut or broken; both are final.
func (r *Reader) Next() (Record, error) {
	p, err := r.format.next()
	if err == io.EOF {
		return Record{}, io.EOF
	}
	if err != nil {
		return Record{}, &FrameError{Frame: r.count + 1, Err: err}
	}
	rec, err := r.record(p)
	if err != nil {
		return Record{}, &FrameError{Frame: r.count + 1, Err: err}
	}
	r.count++
	rec.Number = r.count
	return rec, nil
}

// record makes an Ethernet frame of a packet.
func (r *Reader) record(p packet) (Record, error) {
	when, err := r.time(p)
	if err != nil {
		return Record{}, err
	}
	link, payload, ether, err := splitLink(p.link, p.data)
	if err != nil {
		return Record{}, err
	}
	rec := Record{Time: when, Interface: p.iface, Outbound: p.outbound, Link: link, Data: p.data}
	if link.Type != LinkEthernet {
		r.frame = append(append(r.frame[:0], ether[:]...), payload...)
		rec.Data = r.frame
	}
	rec.Length = max(int(p.length), len(p.data))
	rec.Truncated = len(p.data) < rec.Length
	return rec, nil
}

// time bounds a timestamp to what the box's clock can tell.
func (r *Reader) time(p packet) (time.Time, error) {
	if p.timeless {
		return r.last, nil
	}
	if p.seconds >= math.MaxInt64/uint64(time.Second) {
		return time.Time{}, fmt.Errorf("its time, %d seconds after 1970, is beyond the year 2262", p.seconds)
	}
	r.last = time.Unix(int64(p.seconds), int64(p.nanos)).UTC()
	return r.last, nil
}

// hasInterfaces reports whether the file has declared interfaces of all these
// names so far.
func (r *Reader) hasInterfaces(names ...string) bool {
	declared := r.format.interfaces()
	for _, name := range names {
		if !declared[name] {
			return false
		}
	}
	return true
}

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// readFull is io.ReadFull for the middle of a file, where an end is a cut.
func readFull(in io.Reader, b []byte) error {
	_, err := io.ReadFull(in, b)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// grow returns a buffer of n octets, reusing b. The caller has bounded n.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, n+n/2)
	}
	return b[:n]
}
