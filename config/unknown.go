package config

import (
	"slices"
	"strings"
)

// unknown reports a key of a table that the format does not have, with the one
// that was probably meant.
func (v value) unknown(table, name string) {
	what := "unknown key"
	switch v.raw.(type) {
	case map[string]any, []map[string]any:
		what = "unknown table"
	}
	meant := nearest(table, name, v.doc.known)
	switch {
	case meant != "":
		v.fault("%s; did you mean %s?", what, meant)
		v.doc.blamed[meant] = true
	case table == "":
		v.fault("%s; the tables are %s", what, strings.Join(within("", v.doc.known), ", "))
	default:
		v.fault("%s; [%s] has %s", what, table, strings.Join(within(table, v.doc.known), ", "))
	}
}

// nearest returns the known key that differs from an unknown one by a slip of
// the hand, or is of the same name in another table; "" if there is none.
func nearest(table, name string, known []string) string {
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	best, least := "", 1+max(1, min(len(name)/3, 3))
	for _, sibling := range within(table, known) {
		if n := distance(name, sibling, least); n < least {
			best, least = join(table, sibling), n
		}
	}
	if best != "" {
		return best
	}
	i := slices.IndexFunc(known, func(k string) bool { _, other := split(k); return other == name })
	if i < 0 {
		return ""
	}
	return known[i]
}

// within returns the names of the known keys of a table.
func within(table string, known []string) []string {
	var names []string
	for _, k := range known {
		if t, name := split(k); t == table {
			names = append(names, name)
		}
	}
	return names
}

// split parts a known key, which has no quoted names, into its table and its name.
func split(key string) (table, name string) {
	i := strings.LastIndexByte(key, '.')
	return key[:max(i, 0)], key[i+1:]
}

// distance returns how many letters must be put in, taken out, changed or
// swapped with the next to make one word of the other. From enough on it need
// not be exact.
func distance(a, b string, enough int) int {
	if len(a) > len(b)+enough || len(b) > len(a)+enough {
		return enough
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			rows[i][j] = edits(a, b, i, j, rows)
		}
	}
	return rows[len(a)][len(b)]
}

// edits returns the distance of a[:i] and b[:j] from the shorter ones' in rows
// (Levenshtein's, with swaps: optimal string alignment).
func edits(a, b string, i, j int, rows [][]int) int {
	if i == 0 || j == 0 {
		return i + j
	}
	change := 1
	if a[i-1] == b[j-1] {
		change = 0
	}
	n := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
	if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
		n = min(n, rows[i-2][j-2]+1)
	}
	return n
}
