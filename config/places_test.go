package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// lines lists the places within p as "key:line", elements of arrays as key[0].
func (p *place) lines(key string, into map[string]int) {
	for name, child := range p.keys {
		into[join(key, name)] = child.line
		child.lines(join(key, name), into)
	}
	for i, item := range p.items {
		into[fmt.Sprintf("%s[%d]", key, i)] = item.line
		item.lines(fmt.Sprintf("%s[%d]", key, i), into)
	}
}

func TestLocate(t *testing.T) {
	text := strings.TrimPrefix(`
a = 1 # [not.a.table]
"b" . 'c d' = "]" # b = 2
[t.u] # comment
k = '''
x = 1
''''' # five quotes
l = """\
   y = "" \""" \
z = 1"""
m = [ # one
  "#", '''
''', [
  1,
  2 ], { n = 1, o.p = [ 3 ],
    q = 4 },
]
d = 1979-05-27 07:32:00
[[t.v]]
k = 1
[[t.v]]

k = 2
[t.v.w]
k = 3
[t]
"\u006b" = "\\"
k2 = "\\\""
last = 1`, "\n")
	places, err := locate(text)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	places.lines("", got)
	want := map[string]int{
		"a": 1, "b": 2, `b."c d"`: 2, "t": 25, "t.u": 3, "t.u.k": 4, "t.u.l": 7, "t.u.m": 10,
		"t.u.m[0]": 11, "t.u.m[1]": 11, "t.u.m[2]": 12, "t.u.m[2][0]": 13, "t.u.m[2][1]": 14,
		"t.u.m[3]": 14, "t.u.m[3].n": 14, "t.u.m[3].o": 14, "t.u.m[3].o.p": 14, "t.u.m[3].o.p[0]": 14, "t.u.m[3].q": 15,
		"t.u.d": 17, "t.v": 18, "t.v[0]": 18, "t.v[0].k": 19, "t.v[1]": 20, "t.v[1].k": 22, "t.v[1].w": 23, "t.v[1].w.k": 24,
		"t.k": 26, "t.k2": 27, "t.last": 28,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	checkPlaces(t, text)
}

// checkPlaces holds the places of a text against what the TOML library reads:
// every key and every element has one, on a line where its name stands.
func checkPlaces(t *testing.T, text string) {
	tree, places, fault := readTOML([]byte(text))
	if fault != nil {
		return
	}
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	lines := strings.Split(text, "\n")
	var walk func(raw any, p *place)
	walk = func(raw any, p *place) {
		table, ok := raw.(map[string]any)
		if ok && len(table) != len(p.keys) {
			t.Fatalf("%d places for %d keys in %q", len(p.keys), len(table), text)
		}
		for name, child := range table {
			place := p.keys[name]
			if place == nil {
				t.Fatalf("no place for key %q in %q", name, text)
			}
			if line := lines[place.line-1]; !strings.Contains(line, name) && !strings.Contains(line, `\`) {
				t.Fatalf("key %q is not on line %d of %q", name, place.line, text)
			}
			walk(child, place)
		}
		list := reflect.ValueOf(raw)
		if list.Kind() != reflect.Slice {
			return
		}
		if list.Len() != len(p.items) {
			t.Fatalf("%d places for %d elements in %q", len(p.items), list.Len(), text)
		}
		for i := range list.Len() {
			walk(list.Index(i).Interface(), p.items[i])
		}
	}
	walk(tree, places)
}

// TestHugeInput has the text that costs most for its size read: it has to be
// bounded by MaxSize and maxDepth.
func TestHugeInput(t *testing.T) {
	fill := func(unit string) string { return strings.Repeat(unit, MaxSize/len(unit)) }
	number := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < MaxSize-200; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	deep := strings.Repeat("a.", maxDepth-1)
	for name, text := range map[string]string{
		"brackets":      "a = " + strings.Repeat("[", MaxSize-4),
		"braces":        "a = " + fill("{a=")[4:],
		"dotted":        fill("a.")[2:] + "=1",
		"header":        "[" + fill("a.")[2:],
		"long name":     fill("a")[3:] + "=1",
		"elements":      "bridge.lan = [" + fill("1,")[16:] + "]",
		"bad prefixes":  "policy.clients = [" + fill("'x',")[20:] + "]",
		"unknown keys":  "[limits]\n" + number("calls%x=1\n"),
		"quoted keys":   number("\"\\t%x\"=1\n"),
		"deep keys":     number(deep + "b%x=1\n"),
		"deep tables":   number("[" + deep + "b%x]\n"),
		"forwards":      fill("[[nat.forward]]\n"),
		"inline tables": "nat.forward=[" + fill("{a=1},")[20:] + "]",
		"escapes":       "a=\"" + fill(`\\`)[8:] + "\"",
		"newlines":      fill("\n"),
		"quotes":        fill(`"`),
	} {
		t.Run(name, func(t *testing.T) {
			if len(text) > MaxSize {
				t.Fatalf("%d bytes", len(text))
			}
			if _, err := Parse("f.toml", []byte(text)); err == nil {
				t.Error("no error")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(examplePath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Add("bridge = {lan = 'a', wan = \"b\",}\n[[nat.forward]]\nto = '::1'\n[nat.x]\n[policy]\nclients=['10.0.0.0/8', # c\n]")
	f.Add("[bridge]\r\nlan='''\r\na'''''\nwan=\"\"\"b\\\n  c\"\"\"\"\n\"\\u0061\".'b' . c = [[1,2],{d=1979-05-27 07:32:00,e=nan}]")
	f.Add("bridge.lan = 'a'\nbridge.wan = 'b'\nlimits.calls = -0x1\ntimeouts.tcp_syn = '1h2m3.5s'\nstatus.listen = '[::1]:80'")
	f.Fuzz(func(t *testing.T, text string) {
		checkPlaces(t, text)
		c, err := Parse("f.toml", []byte(text))
		if err != nil {
			checkSane(t, text, err)
			return
		}
		var encoded strings.Builder
		if err := toml.NewEncoder(&encoded).Encode(c); err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		again, err := Parse("encoded.toml", []byte(encoded.String()))
		if err != nil {
			t.Fatalf("%q\nwas accepted, but not\n%s\n%v", text, encoded.String(), err)
		}
		if diff := cmp.Diff(c, again, equal); diff != "" {
			t.Fatalf("%q read again (-first +second):\n%s", text, diff)
		}
	})
}

// checkSane checks that an error is Faults, on lines of the text and in their
// order, each one line long.
func checkSane(t *testing.T, text string, err error) {
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) == 0 {
		t.Fatalf("%q: error %#v, want Faults", text, err)
	}
	line, last := 1, 1+strings.Count(text, "\n")
	for _, fault := range faults {
		if fault.Line < line || fault.Line > last {
			t.Errorf("%q: fault on line %d after one on line %d, of %d: %v", text, fault.Line, line, last, fault)
		}
		line = fault.Line
		if fault.Message == "" || strings.ContainsAny(fault.String(), "\n\r\x00\x1b") || fault.File != "f.toml" {
			t.Errorf("%q: fault %#v", text, fault)
		}
		if fault.Key == "" && len(faults) > 1 && !strings.HasPrefix(fault.Message, "not valid TOML: ") {
			t.Errorf("%q: fault without a key beside others that is no syntax error: %v", text, err)
		}
	}
}
