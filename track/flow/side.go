package flow

import "fmt"

// Side is a port of the box. The zero value is LAN.
type Side uint8

// The box has exactly two ports.
const (
	LAN Side = iota
	WAN
)

// Sides is the number of sides; arrays per direction are indexed by Side.
const Sides = 2

// Other returns the side a frame leaves by when it came in by s.
func (s Side) Other() Side { return s ^ 1 }

// String returns "lan" or "wan".
func (s Side) String() string {
	switch s {
	case LAN:
		return "lan"
	case WAN:
		return "wan"
	}
	return fmt.Sprintf("Side(%d)", uint8(s))
}

// MarshalText implements encoding.TextMarshaler.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Side) UnmarshalText(text []byte) error {
	switch string(text) {
	case "lan":
		*s = LAN
	case "wan":
		*s = WAN
	default:
		return fmt.Errorf("side %q: want lan or wan", text)
	}
	return nil
}
