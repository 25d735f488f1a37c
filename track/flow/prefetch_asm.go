//go:build amd64 || arm64

package flow

// prefetch starts to bring the cache line of first in, and that of what lies
// distance octets behind it, and waits for neither. To read there does the same for few of them only: a processor
// goes on past a read that misses until some hundred instructions wait for it,
// which is the work of ten frames.
//
//go:noescape
func prefetch(first *uint64, distance uintptr)
