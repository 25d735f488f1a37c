package track

import "fmt"

// lookup finds the member of a closed list that has the given name. The names
// are indexed by member; "" is none's.
func lookup[T ~uint8](what string, names []string, text []byte) (T, error) {
	for i, name := range names {
		if name != "" && name == string(text) {
			return T(i), nil
		}
	}
	return 0, fmt.Errorf("%s %q is unknown", what, text)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Verdict) UnmarshalText(text []byte) (err error) {
	*v, err = lookup[Verdict]("verdict", verdictNames[:], text)
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Reason) UnmarshalText(text []byte) (err error) {
	*r, err = lookup[Reason]("reason", reasonNames[:], text)
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *EventKind) UnmarshalText(text []byte) (err error) {
	*k, err = lookup[EventKind]("event", eventNames[:], text)
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *CallState) UnmarshalText(text []byte) (err error) {
	*s, err = lookup[CallState]("call state", callStateNames[:], text)
	return err
}
