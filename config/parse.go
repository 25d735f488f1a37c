package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"
)

// MaxSize is the size of the largest file that is read, in bytes. It holds
// tens of thousands of prefixes.
const MaxSize = 1 << 20

// Load reads and checks a file. The error is Faults where the file could be
// read and is wrong, and wraps the operating system's where it could not.
func Load(path string) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// LoadWithoutNICs is Load for a program that touches no NIC: bridge.lan and
// bridge.wan may be missing.
func LoadWithoutNICs(path string) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data, notYet, nicRules)
}

// Parse checks the contents of a file. The name appears in faults. The error
// is always Faults; with it, the Config is nil.
func Parse(name string, data []byte) (*Config, error) {
	return parse(name, data, notYet, nil)
}

// readTimeout is how long a file may take that is no plain one: a pipe, or a
// terminal.
const readTimeout = 3 * time.Second

// read returns at most MaxSize+1 bytes of a file, so that Parse can tell that
// it is too large. A reload, and with it the end of the box, waits for it: a pipe
// that nobody has opened for writing is empty (O_NONBLOCK), and one whose writer
// says nothing, or too little, is an error after readTimeout.
func read(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	defer file.Close()
	_ = file.SetReadDeadline(time.Now().Add(readTimeout)) // a plain file has none, and needs none
	data, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fmt.Errorf("cannot read the configuration: %s is a pipe, and was not written whole within %s: name a plain file", path, readTimeout)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return data, nil
}

// rule checks a Config as a whole and reports what is wrong to the document.
type rule func(c *Config, doc *document, places *place)

// parse is Parse with the features that are to be refused, without the rules
// that are to be left out, and with more of them.
func parse(name string, data []byte, refused []feature, without map[string]bool, more ...rule) (*Config, error) {
	tree, places, faults := readTOML(data)
	for i := range faults {
		faults[i].File = name
	}
	if tree == nil {
		faults.sort()
		return nil, faults
	}
	c := Default()
	schema := c.schema()
	doc := &document{file: name, notYet: refused, known: keysOf("", schema), faults: faults, blamed: make(map[string]bool)}
	for _, fault := range faults {
		doc.blamed[fault.Key] = true
	}
	schema.set(value{raw: tree, place: places, doc: doc})
	c.checkRules(doc, places, without)
	for _, check := range more {
		check(&c, doc, places)
	}
	if len(doc.faults) > 0 {
		doc.faults.sort()
		return nil, doc.faults
	}
	return &c, nil
}

// readTOML returns the values of a text and their places, without the
// statements that are at fault; no values where a fault keeps the whole from
// being read.
func readTOML(data []byte) (map[string]any, *place, Faults) {
	if len(data) > MaxSize {
		return nil, nil, Faults{{Line: 1, Message: fmt.Sprintf("larger than %d bytes, which no configuration is", MaxSize)}}
	}
	if at := invalidUTF8(data); at >= 0 {
		line := 1 + bytes.Count(data[:at], []byte("\n"))
		return nil, nil, Faults{{Line: line, Message: fmt.Sprintf("byte 0x%02x is not UTF-8 text; is this a TOML file?", data[at])}}
	}
	// The library counts a CRLF line end as the line before or the line after,
	// by the kind of error.
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	var faults Faults
	for range maxRounds {
		places, err := locate(text)
		var tree map[string]any
		if err == nil {
			tree, err = decode(text)
		}
		if err == nil {
			return tree, places, faults
		}
		faults = append(faults, *syntaxFault(text, err))
		rest, ok := withoutStatement(text, err)
		if !ok {
			break
		}
		text = rest
	}
	return nil, nil, faults
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

func syntaxFault(text string, err error) *Fault {
	if tooDeep, ok := errors.AsType[*depthError](err); ok {
		return &Fault{Line: tooDeep.line, Message: err.Error()}
	}
	fault := &Fault{Line: 1, Message: err.Error()}
	if syntax, ok := errors.AsType[toml.ParseError](err); ok {
		fault.Line, fault.Key, fault.Message = syntax.Position.Line, syntax.LastKey, syntax.Message
	}
	if rest, ok := strings.CutPrefix(fault.Message, "Key '"); ok && fault.Key == "" {
		fault.Key, _, _ = strings.Cut(rest, "'") // of a table that comes twice
	}
	// At the end of the text the library is one line off in either direction.
	lines := 1 + strings.Count(strings.TrimSuffix(text, "\n"), "\n")
	fault.Line = min(max(fault.Line, 1), lines)
	fault.Key = oneLine(fault.Key)
	fault.Message = oneLine("not valid TOML: " + strings.TrimSuffix(fault.Message, "."))
	return fault
}
