// Package state keeps what the box knows in a file, so that calls outlive a
// restart.
//
// A file is a header, the connections and calls of a track.Saved as records of
// fixed size, and the SHA-256 of all of it. Whoever reads it learns the size of
// everything from the header, which must fit the size of the file, before
// anything is allocated for it. A file of another version is not read: calls
// that are lost by that are dialled anew.
//
// The file is replaced as a whole (rename(2)), so that a box which is killed
// leaves the one before or the one after. It grants GRE a way through the box:
// its mode is 0600, and one that others could have written is refused.
package state
