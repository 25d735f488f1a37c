//go:build amd64 || arm64

package flow

// prefetch starts to bring the cache lines of two words in and waits for
// neither. To read the words does the same for few of them only: a processor
// goes on past a read that misses until some hundred instructions wait for it,
// which is the work of ten frames.
//
//go:noescape
func prefetch(first, last *uint64)
