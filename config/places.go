package config

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxDepth bounds the length of a key with all the tables and arrays around
// it. The format needs three; the TOML library recurses once per level and
// walks the whole path for every key, so that its work must be bounded here.
const maxDepth = 16

// place is where a value stands in the text: the line of its key, or of the
// value itself for an element of an array. The TOML library reports positions
// for errors of its own only.
type place struct {
	line  int
	keys  map[string]*place // of a table
	items []*place          // of an array
}

// at returns the place of a key in table p, made at that line if it is new. As
// in TOML, the table of an array of tables is the last one.
func (p *place) at(name string, line int) *place {
	if n := len(p.items); n > 0 {
		p = p.items[n-1]
	}
	if p.keys == nil {
		p.keys = make(map[string]*place)
	}
	if p.keys[name] == nil {
		p.keys[name] = &place{line: line}
	}
	return p.keys[name]
}

func (p *place) path(names []string, line int) *place {
	for _, name := range names {
		p = p.at(name, line)
	}
	return p
}

func (p *place) item(line int) *place {
	it := &place{line: line}
	p.items = append(p.items, it)
	return it
}

// lineOf returns the line of a key, or of the innermost table around it that
// is there.
func (p *place) lineOf(names ...string) int {
	for _, name := range names {
		if p.keys[name] == nil {
			break
		}
		p = p.keys[name]
	}
	return p.line
}

// locate finds the place of every key of a TOML text. It takes the text for
// well-formed; of any other the result is unspecified, and the TOML library
// will refuse it. The only error is a *depthError.
func locate(text string) (*place, error) {
	root := &place{line: 1}
	s := &scanner{text: text, line: 1}
	return root, s.document(root)
}

// depthError is a key or value nested deeper than maxDepth.
type depthError struct{ line int }

func (e *depthError) Error() string {
	return fmt.Sprintf("nested more than %d levels deep", maxDepth)
}

// scanner walks over TOML text, counting lines.
type scanner struct {
	text  string
	pos   int
	line  int
	depth int
}

func (s *scanner) document(root *place) error {
	table := root
	for s.blanks(); s.pos < len(s.text); s.blanks() {
		var err error
		if s.peek() == '[' {
			table, err = s.header(root)
		} else {
			err = s.pair(table)
		}
		if err != nil {
			return err
		}
		s.restOfLine()
	}
	return nil
}

// header reads [name] or [[name]] and returns the table that it opens.
func (s *scanner) header(root *place) (*place, error) {
	line := s.line
	s.pos++
	array := s.peek() == '['
	if array {
		s.pos++
	}
	names := s.key()
	s.depth = 0
	if err := s.descend(len(names)); err != nil {
		return nil, err
	}
	table := root.path(names, line)
	if array {
		return table.item(line), nil
	}
	table.line = line // until now it was at most implied by a table within
	return table, nil
}

// pair reads key = value into a table.
func (s *scanner) pair(table *place) error {
	line := s.line
	names := s.key()
	if s.peek() != '=' {
		return nil // not well-formed
	}
	s.pos++
	if err := s.descend(len(names)); err != nil {
		return err
	}
	defer func() { s.depth -= len(names) }()
	return s.value(table.path(names, line))
}

func (s *scanner) descend(levels int) error {
	if s.depth += levels; s.depth > maxDepth {
		return &depthError{s.line}
	}
	return nil
}

func (s *scanner) value(p *place) error {
	s.spaces()
	switch s.peek() {
	case '"', '\'':
		s.string()
	case '[':
		return s.list(']', func() error { return s.value(p.item(s.line)) })
	case '{':
		return s.list('}', func() error { return s.pair(p) })
	default:
		s.until(",]}#\n")
	}
	return nil
}

// list reads an array or an inline table, up to and with its closing bracket.
func (s *scanner) list(end byte, element func() error) error {
	if err := s.descend(1); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	s.pos++
	for s.blanks(); s.pos < len(s.text); s.blanks() {
		switch s.peek() {
		case end:
			s.pos++
			return nil
		case ',':
			s.pos++
			continue
		}
		before := s.pos
		if err := element(); err != nil {
			return err
		}
		if s.pos == before { // a stray closing bracket
			s.pos++
		}
	}
	return nil
}

// key reads a dotted key and the spaces after it.
func (s *scanner) key() []string {
	var names []string
	for {
		s.spaces()
		names = append(names, s.name())
		s.spaces()
		if s.peek() != '.' {
			return names
		}
		s.pos++
	}
}

func (s *scanner) name() string {
	start := s.pos
	if c := s.peek(); c == '"' || c == '\'' {
		s.string()
		return unquote(s.text[start:s.pos])
	}
	s.until(" \t.=[]{},\"'#\n")
	return s.text[start:s.pos]
}

// unquote returns the name that a quoted key stands for.
func unquote(quoted string) string {
	if !strings.Contains(quoted, `\`) {
		return strings.Trim(quoted, quoted[:1])
	}
	v, err := decode("v = " + quoted)
	if name, ok := v["v"].(string); ok && err == nil {
		return name
	}
	return quoted
}

// string reads a string of any of the four kinds.
func (s *scanner) string() {
	quote := s.text[s.pos : s.pos+1]
	escapes := quote == `"`
	long := strings.Repeat(quote, 3)
	if !strings.HasPrefix(s.text[s.pos:], long) {
		s.pos++
		s.stringEnd(quote, escapes)
		return
	}
	s.pos += 3
	s.stringEnd(long, escapes)
	for range 2 { // up to two quotes may stand right before the closing three
		if strings.HasPrefix(s.text[s.pos:], quote) {
			s.pos++
		}
	}
}

func (s *scanner) stringEnd(end string, escapes bool) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case strings.HasPrefix(s.text[s.pos:], end):
			s.pos += len(end)
			return
		case c == '\\' && escapes && s.pos+1 < len(s.text) && s.text[s.pos+1] != '\n':
			s.pos++
		case c == '\n' && len(end) == 1:
			return
		case c == '\n':
			s.line++
		}
		s.pos++
	}
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// until goes to the next of these bytes, none of which may pass a newline.
func (s *scanner) until(stops string) {
	if n := strings.IndexAny(s.text[s.pos:], stops); n >= 0 {
		s.pos += n
		return
	}
	s.pos = len(s.text)
}

func (s *scanner) restOfLine() { s.until("\n") }

func (s *scanner) spaces() {
	for c := s.peek(); c == ' ' || c == '\t'; c = s.peek() {
		s.pos++
	}
}

// blanks goes over spaces, newlines and comments.
func (s *scanner) blanks() {
	for {
		s.spaces()
		switch s.peek() {
		case '\n':
			s.line++
			s.pos++
		case '#':
			s.restOfLine()
		default:
			return
		}
	}
}

// decode has the TOML library read a text.
func decode(text string) (tree map[string]any, err error) {
	// The library panics where it finds itself at fault; a file must not be
	// able to end the program.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	_, err = toml.Decode(text, &tree)
	return tree, err
}
