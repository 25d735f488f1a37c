// Package privilege takes from the process what the box does not need once it
// is set up: capabilities(7), the way to new ones, and files (landlock(7)).
//
// There is no seccomp(2) filter here: a list of system calls has to follow
// every release of the Go runtime and of each library, and a call that it
// forgets ends the box, and with it the wire. The systemd unit has one made of
// systemd's own groups of calls, where an operator can mend it.
package privilege
