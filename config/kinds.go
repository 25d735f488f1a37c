package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// text is a kind for strings; check returns what is wrong with one, or "".
func text(to *string, want string, check func(string) string) setter {
	return func(v value) {
		s, ok := v.raw.(string)
		if !ok {
			v.wrongType(want)
			return
		}
		if wrong := check(s); wrong != "" {
			v.fault("%s %s", show(s), wrong)
			return
		}
		*to = s
	}
}

func boolean(to *bool) setter {
	return func(v value) {
		b, ok := v.raw.(bool)
		if !ok {
			v.wrongType("true or false, without quotes")
			return
		}
		*to = b
	}
}

// integer takes least to most; whyMost is the reason for the upper bound.
func integer(to *int, least, most int64, whyMost string) setter {
	return func(v value) {
		n, ok := v.raw.(int64)
		switch {
		case !ok:
			v.wrongType("an integer, without quotes")
		case n < least:
			v.fault("%d is too small: must be from %d to %d", n, least, most)
		case n > most:
			v.fault("%d is too large: must be from %d to %d (%s)", n, least, most, whyMost)
		default:
			*to = int(n)
		}
	}
}

func duration(to *time.Duration) setter {
	return func(v value) {
		s, ok := v.raw.(string)
		if !ok {
			v.wrongType(`a duration in quotes, such as "60s", "5m" or "120h"`)
			return
		}
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			v.fault(`%s is not a duration: write a number and s, m or h, such as "60s", "5m" or "120h"%s`, show(s), inHours(s))
		case d < minTimeout || d > maxTimeout:
			v.fault("%s is out of range: must be from %v to %v", show(s), minTimeout, maxTimeout)
		default:
			*to = d
		}
	}
}

// inHours says how to write a number of days, which Go's durations lack.
func inHours(s string) string {
	days, err := strconv.ParseUint(strings.TrimSuffix(s, "d"), 10, 16)
	if err != nil || !strings.HasSuffix(s, "d") {
		return ""
	}
	return "; " + s + " is \"" + strconv.FormatUint(24*days, 10) + "h\""
}

// choice takes one of some words.
func choice[T ~string](to *T, words ...T) setter {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(string(w))
	}
	return func(v value) {
		s, ok := v.raw.(string)
		switch {
		case !ok:
			v.wrongType(list(quoted))
		case !slices.Contains(words, T(s)):
			v.fault("%s is unknown; must be %s", show(s), list(quoted))
		default:
			*to = T(s)
		}
	}
}

// nic takes what Linux takes as the name of a network interface
// (dev_valid_name in net/core/dev.c; IFNAMSIZ is 16 with the final NUL).
func nic(to *string) setter {
	return text(to, `the name of a NIC, such as "eth0"`, func(name string) string {
		switch {
		case name == "":
			return `is no name: name a NIC, such as "eth0"`
		case len(name) > 15:
			return "is too long for the name of a NIC: Linux has at most 15 bytes"
		case name == "." || name == ".." || strings.ContainsAny(name, "/:"):
			return `is no name of a NIC: "." and ".." are none, and "/" and ":" are in none`
		case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }):
			return "is no name of a NIC: it has a space or a control character in it"
		}
		return ""
	})
}

// socketPath takes what fits sun_path of unix(7), 108 bytes with the final NUL.
func socketPath(to *string) setter {
	return text(to, `an absolute path, such as "/run/grewire/grewire.sock"`, func(path string) string {
		if wrong := filePath(path); wrong != "" {
			return wrong
		}
		if len(path) > 107 {
			return "is too long for a Unix socket: at most 107 bytes"
		}
		return ""
	})
}

// statePath takes an absolute path; the empty string is none.
func statePath(to *string) setter {
	return text(to, `an absolute path, such as "/var/lib/grewire/state", or ""`, func(path string) string {
		if path == "" {
			return ""
		}
		if len(path) > 4000 { // PATH_MAX, with room for a suffix
			return "is too long for a path"
		}
		return filePath(path)
	})
}

// filePath says what is wrong with the absolute path of a file.
func filePath(path string) string {
	switch {
	case !filepath.IsAbs(path):
		return "is not an absolute path: it must begin with a slash"
	case filepath.Clean(path) != path:
		return "is not the plain path of a file: write " + show(filepath.Clean(path))
	case path == "/":
		return "is a directory"
	case strings.ContainsRune(path, 0):
		return "has a NUL byte in it"
	}
	return ""
}

// listenAddress takes host:port; the empty string is off.
func listenAddress(to *string) setter {
	return text(to, `a host:port, such as "127.0.0.1:9723"`, func(s string) string {
		if s == "" {
			return ""
		}
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			return `is not a host:port: write "127.0.0.1:9723", "[::1]:9723" or ":9723"`
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "has no sound port: must be from 1 to 65535"
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
			return `has no sound host: must be an IP address, "localhost", or nothing for all addresses`
		}
		return ""
	})
}

// prefixes takes an array of prefixes or single addresses.
func prefixes(to *[]netip.Prefix) setter {
	const want = `an array of prefixes, such as ["10.0.0.0/8", "2001:db8::/32"]`
	return func(v value) {
		items, ok := v.items()
		if !ok {
			v.wrongType(want)
			return
		}
		var all []netip.Prefix
		for _, item := range items {
			s, ok := item.raw.(string)
			if !ok {
				item.fault("must be %s, not with %s in it", want, typeName(item.raw))
				continue
			}
			p, wrong := parsePrefix(s)
			if wrong != "" {
				item.fault("%s %s", show(s), wrong)
			}
			all = append(all, p)
		}
		*to = all
	}
}

// parsePrefix returns a prefix, or what is wrong with it.
func parsePrefix(s string) (p netip.Prefix, wrong string) {
	p, err := netip.ParsePrefix(s)
	if a, errAddr := netip.ParseAddr(s); errAddr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil:
		return p, `is not a prefix, such as "10.0.0.0/8" or "2001:db8::/32"`
	case p.Addr().Is4In6():
		return p, "has to be written in IPv4's form"
	case p.Masked() != p:
		return p, "has bits set beyond its length: write " + show(p.Masked().String()) + ", or the address alone"
	}
	return p, ""
}
