package afpacket

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The status word of a slot hands the slot over between kernel and process:
// what is read of the slot is read after loadStatus, and nothing of it is
// touched after storeStatus. sync/atomic keeps that order on every processor.
// offset is a multiple of 16.

func loadStatus(mem []byte, offset int) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&mem[offset])))
}

func storeStatus(mem []byte, offset int, status uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&mem[offset])), status)
}

// mapShared maps what a descriptor shares with the kernel.
func mapShared(fd, size int) ([]byte, error) {
	at, err := unix.MmapPtr(fd, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(at), size), nil
}

func unmap(mem []byte) error {
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(mem)), uintptr(len(mem)))
}

// replaceByZeros puts memory of the process's own where mem is mapped. It
// happens in one step, so that who reads mem meanwhile reads on.
func replaceByZeros(mem []byte) {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(mem)), uintptr(len(mem)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		// The old mapping stays and with it the socket, until the process ends.
		return
	}
}
