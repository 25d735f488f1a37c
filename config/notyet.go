package config

import (
	"fmt"
	"slices"
)

// feature is a value that the format names and this version does not act upon.
// It is refused: whoever writes it counts on what it says.
type feature struct {
	key string
	is  func(raw any) bool // whether a value, as decoded, asks for it
	do  string             // what to do instead
}

// notYet lists the features to come. Once one is there, its row goes; nothing
// else here needs to change.
var notYet = []feature{
	{"status.listen", notEmpty, `use "" or take it out`},
}

func notEmpty(raw any) bool {
	s, ok := raw.(string)
	return ok && s != ""
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
	what := fmt.Sprint(v.raw)
	if s, ok := v.raw.(string); ok {
		what = show(s)
	}
	v.fault("%s is not available in this version; %s", what, f.do)
}
