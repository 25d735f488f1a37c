//go:build amd64 || arm64

package afpacket

// prefetch starts to bring in the cache lines behind a slot's first, where the
// virtio_net_hdr and a small frame are, which another CPU has written; it waits
// for neither, and memory behind the ring's end does not matter to it.
//
//go:noescape
func prefetch(slot *byte)
