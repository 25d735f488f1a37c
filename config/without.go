package config

import (
	"errors"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxRounds bounds how often a text is read again without what was at fault.
const maxRounds = 20

// withoutStatement returns a text without the statement that the TOML library
// has refused: a pair, or a table up to the next one's header. All lines keep
// their numbers. It is ok for what is well-formed and yet wrong (a key that
// comes twice, a number that is too large); after any other error nobody knows
// where a statement ends.
func withoutStatement(text string, err error) (rest string, ok bool) {
	refused, ok := errors.AsType[toml.ParseError](err)
	if !ok || !strings.Contains(refused.Message, "has already been defined") && !strings.Contains(refused.Message, "is out of range") {
		return "", false
	}
	start, end, ok := statementAt(text, refused.Position.Line)
	if !ok {
		return "", false
	}
	return text[:start] + strings.Repeat("\n", strings.Count(text[start:end], "\n")) + text[end:], true
}

// statementAt returns the bounds of the statement with a line in it.
func statementAt(text string, line int) (start, end int, ok bool) {
	s := &scanner{text: text, line: 1}
	for s.blanks(); s.pos < len(text); s.blanks() {
		first, table := s.line, s.peek() == '['
		start = s.pos
		if s.statement() != nil {
			return 0, 0, false
		}
		if line < first || line > s.line {
			continue
		}
		for s.blanks(); table && s.pos < len(text) && s.peek() != '['; s.blanks() {
			if s.statement() != nil {
				return 0, 0, false
			}
		}
		return start, s.pos, true
	}
	return 0, 0, false
}

// statement reads a header or a pair, to the end of its line.
func (s *scanner) statement() (err error) {
	if s.peek() == '[' {
		_, err = s.header(new(place))
	} else {
		s.depth = 0
		err = s.pair(new(place))
	}
	s.restOfLine()
	return err
}
