package afpacket

import (
	"bytes"
	"runtime"

	"golang.org/x/sys/unix"
)

// crowd tells whether more threads want to run than there are CPUs.
type crowd struct {
	fd   int // of /proc/loadavg; -1: nobody knows
	cpus int
	text [128]byte
}

func openCrowd() *crowd {
	fd, err := unix.Open("/proc/loadavg", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = -1
	}
	return &crowd{fd: fd, cpus: runtime.NumCPU()}
}

// crowded asks the kernel, which counts the threads of all CPUs that run or
// could, the calling one among them.
func (c *crowd) crowded() bool {
	if c.fd < 0 {
		return false
	}
	n, err := unix.Pread(c.fd, c.text[:], 0)
	return err == nil && runnable(c.text[:n]) > c.cpus
}

// runnable is the number before the slash in the fourth field of /proc/loadavg
// (proc_loadavg(5)): "0.20 0.18 0.12 3/80 11206". It is 0 where there is none.
func runnable(loadavg []byte) (n int) {
	slash := bytes.IndexByte(loadavg, '/')
	if slash < 0 {
		return 0
	}
	for _, digit := range loadavg[bytes.LastIndexByte(loadavg[:slash], ' ')+1 : slash] {
		if digit < '0' || digit > '9' || n > 1<<20 {
			return 0
		}
		n = 10*n + int(digit-'0')
	}
	return n
}

func (c *crowd) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}
