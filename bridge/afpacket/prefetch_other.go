//go:build !amd64 && !arm64

package afpacket

// prefetch does nothing here: who reads a slot waits for its cache misses.
func prefetch(slot *byte) {}
