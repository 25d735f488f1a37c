package config

import (
	"slices"
	"strconv"
)

// feature is a value that the format names and this version does not act upon.
// It is refused: whoever writes it counts on what it says.
type feature struct {
	key string
	is  func(raw any) bool // whether a value, as decoded, asks for it
	do  string             // what to do instead; of a choice, the other words are offered
}

// notYet lists the features to come. Once one is there, its row goes; nothing
// else here needs to change.
var notYet = []feature{
	{"bridge.workers", above(1), "use 1"},
	{"nat.mode", word(NATCallID), ""},
	{"nat.mode", word(NATMasquerade), ""},
	{"nat.forward", notEmpty, "take it out"},
	{"status.listen", notEmpty, `use "" or take it out`},
}

func word[T ~string](w T) func(any) bool {
	return func(raw any) bool { return raw == any(string(w)) }
}

func above(most int64) func(any) bool {
	return func(raw any) bool { n, ok := raw.(int64); return ok && n > most }
}

func notEmpty(raw any) bool {
	switch raw := raw.(type) {
	case string:
		return raw != ""
	case []any:
		return len(raw) > 0
	case []map[string]any:
		return len(raw) > 0
	}
	return false
}

// refuses returns the feature that a value asks for, if it is to come.
func (d *document) refuses(key string, raw any) *feature {
	i := slices.IndexFunc(d.notYet, func(f feature) bool { return f.key == key && f.is(raw) })
	if i < 0 {
		return nil
	}
	return &d.notYet[i]
}

// refuse reports a sound value that asks for a feature to come.
func (v value) refuse() {
	f := v.doc.refuses(v.key, v.raw)
	if f == nil {
		return
	}
	what := "[[" + v.key + "]]"
	switch raw := v.raw.(type) {
	case string:
		what = show(raw)
	case int64:
		what = strconv.FormatInt(raw, 10)
	}
	v.fault("%s is not available in this version; %s", what, f.do)
}

// offered lists the words of a choice that this version acts upon.
func offered[T ~string](d *document, key string, words []T) string {
	var quoted []string
	for _, w := range words {
		if d.refuses(key, string(w)) == nil {
			quoted = append(quoted, strconv.Quote(string(w)))
		}
	}
	return list(quoted)
}
