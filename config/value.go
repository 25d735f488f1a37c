package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// document is a file being checked.
type document struct {
	file   string
	notYet []feature
	known  []string // every key of the format, dotted
	faults Faults
	// blamed has each key that is at fault, or that an unknown key was
	// probably meant to be: what follows from that is not worth a fault too.
	blamed map[string]bool
}

func (d *document) fault(key string, line int, format string, args ...any) {
	d.blamed[key] = true
	d.faults = append(d.faults, Fault{
		File: d.file, Line: line, Key: oneLine(key), Message: oneLine(fmt.Sprintf(format, args...)),
	})
}

// sound says that none of the keys is blamed, nor a table that one is in.
func (d *document) sound(keys ...string) bool {
	for _, key := range keys {
		table, _, _ := strings.Cut(key, ".")
		if d.blamed[key] || d.blamed[table] {
			return false
		}
	}
	return true
}

// value is one value of a document.
type value struct {
	key   string // dotted; empty for the document itself
	raw   any    // as the TOML library decoded it
	place *place
	doc   *document
}

func (v value) fault(format string, args ...any) {
	v.doc.fault(v.key, v.place.line, format, args...)
}

func (v value) wrongType(want string) {
	v.fault("must be %s, not %s", want, typeName(v.raw))
}

// child returns the value of a key in table v.
func (v value) child(name string, raw any) value {
	c := value{key: join(v.key, name), raw: raw, place: v.place, doc: v.doc}
	if p := v.place.keys[name]; p != nil {
		c.place = p
	}
	return c
}

// items returns the elements of array v; ok is false if it is no array.
func (v value) items() (items []value, ok bool) {
	switch list := v.raw.(type) {
	case []any:
		for i, raw := range list {
			items = append(items, v.item(i, raw))
		}
	case []map[string]any: // from [[name]] headers
		for i, raw := range list {
			items = append(items, v.item(i, raw))
		}
	default:
		return nil, false
	}
	return items, true
}

func (v value) item(i int, raw any) value {
	it := value{key: v.key, raw: raw, place: v.place, doc: v.doc}
	if i < len(v.place.items) {
		it.place = v.place.items[i]
	}
	return it
}

// join appends a name to a dotted key, quoted as in TOML where it must be.
func join(key, name string) string {
	bare := name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-'
	}) < 0
	if !bare {
		name = strconv.Quote(name)
	}
	if key == "" {
		return name
	}
	return key + "." + name
}

// typeName names the TOML type of a decoded value.
func typeName(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	}
	return "an array"
}

// What of a file is repeated in a message, and a whole message, are bounded in
// bytes.
const (
	maxShown   = 64
	maxMessage = 400
)

// show quotes a string of the file for a message.
func show(s string) string { return strconv.Quote(cut(s, maxShown)) }

// oneLine makes text fit for one line of a terminal.
func oneLine(text string) string {
	return cut(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text), maxMessage)
}

func cut(text string, size int) string {
	if len(text) <= size {
		return text
	}
	return strings.ToValidUTF8(text[:size], "") + "…"
}

// list joins words as in a sentence: "a", "b" or "c".
func list(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
	return strings.Join(words, "")
}
