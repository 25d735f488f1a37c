package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Change is a key whose value is another one than before. The values are
// written as in a file; long lists are cut.
type Change struct {
	Key  string `json:"key"` // dotted
	From string `json:"from"`
	To   string `json:"to"`
}

// String returns the change as KEY: FROM, now TO.
func (c Change) String() string { return c.Key + ": " + c.From + ", now " + c.To }

// Reload is Load for a box that runs by a Config and, without being started
// anew, can only take some changes: those of policy, limits and timeouts, and
// of log.level. Every other change is a fault, and so are limits larger than
// made, the limits that the box was started with, where those size its tables.
// With the new Config come the changes, in the order of the format.
func Reload(path string, running *Config, made Limits) (*Config, []Change, error) {
	data, err := read(path)
	if err != nil {
		return nil, nil, err
	}
	var changes []Change
	conf, err := parse(path, data, notYet, nil, func(c *Config, doc *document, places *place) {
		changes = Changes(running, c)
		for _, change := range changes {
			doc.refuseChange(change, places)
		}
		doc.refuseGrowth("limits.connections", c.Limits.Connections, made.Connections, places)
		doc.refuseGrowth("limits.calls", c.Limits.Calls, made.Calls, places)
	})
	if err != nil {
		return nil, nil, err
	}
	return conf, changes, nil
}

// live are the tables and keys that a running box takes changes of.
var live = []string{"policy", "limits", "timeouts", "log.level"}

// refuseChange reports a change that needs a restart. A key that is at fault
// anyway has its default, which says nothing.
func (d *document) refuseChange(c Change, places *place) {
	table, name := split(c.Key)
	if slices.Contains(live, table) || slices.Contains(live, c.Key) || !d.sound(c.Key) {
		return
	}
	d.fault(c.Key, places.lineOf(table, name), "%s needs a restart: the running box has %s", c.To, c.From)
}

func (d *document) refuseGrowth(key string, want, made int, places *place) {
	if want <= made || !d.sound(key) {
		return
	}
	table, name := split(key)
	d.fault(key, places.lineOf(table, name), "%d needs a restart: the running box has made its table for %d, and takes less", want, made)
}

// Changes returns the keys whose values differ, in the order of the format.
func Changes(from, to *Config) []Change {
	var changes []Change
	a, b := reflect.ValueOf(from).Elem(), reflect.ValueOf(to).Elem()
	for i := range a.NumField() {
		table := a.Type().Field(i).Tag.Get("toml")
		for j := range a.Field(i).NumField() {
			old, now := a.Field(i).Field(j).Interface(), b.Field(i).Field(j).Interface()
			if written(old) != written(now) {
				key := join(table, a.Field(i).Type().Field(j).Tag.Get("toml"))
				changes = append(changes, Change{Key: key, From: cut(written(old), maxValue), To: cut(written(now), maxValue)})
			}
		}
	}
	return changes
}

// maxValue bounds how much of a value a Change has, in bytes.
const maxValue = 200

// written is a value as it stands in a file.
func written(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return strconv.Quote(shortDuration(v))
	case netip.Addr:
		if !v.IsValid() {
			return `""`
		}
		return strconv.Quote(v.String())
	case PortRange:
		return strconv.Quote(v.String())
	case []netip.Prefix:
		quoted := make([]string, len(v))
		for i, p := range v {
			quoted[i] = strconv.Quote(p.String())
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case []Forward:
		tables := make([]string, len(v))
		for i, f := range v {
			tables[i] = fmt.Sprintf("{address = %q, to = %q}", f.Address, f.To)
		}
		return "[" + strings.Join(tables, ", ") + "]"
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.String {
		return strconv.Quote(r.String())
	}
	return fmt.Sprint(v)
}

// shortDuration leaves out the zeros of Go's form: "5m", not "5m0s".
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
