package state

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/grewire/grewire/track"
)

// Why a file is refused. An error of Decode or Read wraps one of them, or, if
// the operating system would not have it read, what that said.
var (
	ErrBroken  = errors.New("the file is no whole state")
	ErrVersion = errors.New("the file is of another version of grewire")
	ErrOther   = errors.New("the file is another box's")
	ErrOld     = errors.New("the file is too old")
)

// Identity tells boxes apart: their NICs, by name.
type Identity struct{ LAN, WAN string }

// String returns the names.
func (i Identity) String() string { return i.LAN + " and " + i.WAN }

// Contents are what a file has.
type Contents struct {
	Identity Identity
	Written  Moment
	Saved    track.Saved
}

// Moment is a point in time as two clocks show it: the wall's, which can be set,
// and the time since the machine was started, which goes for one boot only.
type Moment struct {
	Wall  int64    // nanoseconds since the Unix epoch
	Since int64    // nanoseconds since boot, suspend included (CLOCK_BOOTTIME)
	Boot  [36]byte // the kernel's name for this boot; zero if not known
}

// Until returns how long it is from m to now. It is negative if the wall clock
// was set back in between, and the machine started anew.
func (m Moment) Until(now Moment) time.Duration {
	if m.Boot == now.Boot && m.Boot != [36]byte{} {
		return time.Duration(now.Since - m.Since)
	}
	return time.Duration(now.Wall - m.Wall)
}

// version goes up whenever header or the records of track.Saved change.
const version = 3

var magic = [16]byte{'g', 'r', 'e', 'w', 'i', 'r', 'e', ' ', 's', 't', 'a', 't', 'e', '\n'}

// header is what a file begins with.
type header struct {
	Magic              [16]byte
	Version            uint32
	LAN, WAN           [16]byte // names, filled up with NUL: IFNAMSIZ
	Written            Moment
	Now                track.Time
	Serial             uint64
	Connections, Calls uint32
}

var (
	headerSize     = binary.Size(header{})
	connectionSize = binary.Size(track.SavedConnection{})
	callSize       = binary.Size(track.SavedCall{})
)

// maxRecords is how many connections, and calls, a file may have: as many as
// the largest configuration allows.
const maxRecords = 1 << 20

// size is how many bytes the file has.
func (h *header) size() int64 {
	return int64(headerSize) + int64(h.Connections)*int64(connectionSize) + int64(h.Calls)*int64(callSize) + sha256.Size
}

// Encode writes c.
func Encode(to io.Writer, c *Contents) error {
	h := header{
		Magic: magic, Version: version, Written: c.Written, Now: c.Saved.Now, Serial: c.Saved.Serial,
		Connections: uint32(len(c.Saved.Connections)), Calls: uint32(len(c.Saved.Calls)),
	}
	if copy(h.LAN[:], c.Identity.LAN) < len(c.Identity.LAN) || copy(h.WAN[:], c.Identity.WAN) < len(c.Identity.WAN) {
		return fmt.Errorf("state of %s: the name of a NIC is too long", c.Identity)
	}
	if h.Connections > maxRecords || h.Calls > maxRecords {
		return fmt.Errorf("state of %d connections and %d calls: there may be %d", h.Connections, h.Calls, maxRecords)
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(to, sum), chunk)
	if err := write(out, &h); err != nil {
		return err
	}
	if err := errors.Join(writeAll(out, c.Saved.Connections), writeAll(out, c.Saved.Calls), out.Flush()); err != nil {
		return err
	}
	_, err := to.Write(sum.Sum(nil))
	return err
}

const chunk = 64 << 10

func writeAll[T any](out *bufio.Writer, records []T) error {
	for i := range records {
		if err := write(out, &records[i]); err != nil {
			return err
		}
	}
	return nil
}

func write(out *bufio.Writer, record any) error {
	b, err := binary.Append(out.AvailableBuffer(), binary.BigEndian, record)
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}

// Decode reads contents of size bytes. Whatever comes, it takes no more memory
// than a few times that.
func Decode(from io.Reader, size int64) (*Contents, error) {
	sum := sha256.New()
	in := bufio.NewReaderSize(from, chunk)
	hashed := io.TeeReader(in, sum)
	h, err := readHeader(hashed, size)
	if err != nil {
		return nil, err
	}
	c := &Contents{Identity: Identity{name(h.LAN), name(h.WAN)}, Written: h.Written, Saved: track.Saved{Now: h.Now, Serial: h.Serial}}
	c.Saved.Connections, err = readAll[track.SavedConnection](hashed, h.Connections, connectionSize)
	if err == nil {
		c.Saved.Calls, err = readAll[track.SavedCall](hashed, h.Calls, callSize)
	}
	if err != nil {
		return nil, err
	}
	var written [sha256.Size]byte
	if _, err := io.ReadFull(in, written[:]); err != nil {
		return nil, broken(err)
	}
	if !bytes.Equal(written[:], sum.Sum(nil)) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrBroken)
	}
	return c, nil
}

func readHeader(from io.Reader, size int64) (*header, error) {
	var h header
	b := make([]byte, headerSize)
	if _, err := io.ReadFull(from, b); err != nil {
		return nil, broken(err)
	}
	if _, err := binary.Decode(b, binary.BigEndian, &h); err != nil {
		return nil, broken(err)
	}
	switch {
	case h.Magic != magic:
		return nil, fmt.Errorf("%w: it does not begin like one", ErrBroken)
	case h.Version != version:
		return nil, fmt.Errorf("%w: its format is %d, this is %d", ErrVersion, h.Version, version)
	case h.Connections > maxRecords || h.Calls > maxRecords || h.size() != size:
		return nil, fmt.Errorf("%w: it has %d bytes and claims %d connections and %d calls", ErrBroken, size, h.Connections, h.Calls)
	}
	return &h, nil
}

// readAll reads n records. There is room for them in the file; what is
// allocated for them grows with what is read all the same.
func readAll[T any](from io.Reader, n uint32, size int) ([]T, error) {
	records := make([]T, 0, min(n, 1024))
	b := make([]byte, size)
	for range n {
		if _, err := io.ReadFull(from, b); err != nil {
			return nil, broken(err)
		}
		var record T
		if _, err := binary.Decode(b, binary.BigEndian, &record); err != nil {
			return nil, broken(err)
		}
		records = append(records, record)
	}
	return records, nil
}

// broken is an error that a whole file would not have given.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut short", ErrBroken)
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

func name(b [16]byte) string { return string(bytes.TrimRight(b[:], "\x00")) }
