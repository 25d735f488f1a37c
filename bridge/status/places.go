package status

import (
	"context"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// share is how many places there are of a kind, and who may have how many of
// them: what is left is for root, and for the user of the box.
type share struct{ all, others, each int }

// places is who has which places of a kind.
type places struct {
	share
	mu     sync.Mutex
	taken  map[int]int   // by user, of those who have any
	total  int           // of all
	theirs int           // of others than root and the user of the box
	freed  chan struct{} // closed when one is given back
}

func newPlaces(s share) *places {
	return &places{share: s, taken: make(map[int]int), freed: make(chan struct{})}
}

// take gives a user a place, if there is one for him.
func (p *places) take(user int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.total == p.all, !privileged(user) && (p.theirs == p.others || p.taken[user] == p.each):
		return false
	case !privileged(user):
		p.theirs++
	}
	p.total++
	p.taken[user]++
	return true
}

// give takes a place back.
func (p *places) give(user int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !privileged(user) {
		p.theirs--
	}
	p.total--
	if p.taken[user]--; p.taken[user] == 0 {
		delete(p.taken, user)
	}
	close(p.freed)
	p.freed = make(chan struct{})
}

// wait takes a place, as soon as there is one.
func (p *places) wait(ctx context.Context, user int) error {
	for {
		p.mu.Lock()
		freed := p.freed
		p.mu.Unlock()
		if p.take(user) {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// nobody is a user who is not known.
const nobody = -1

// privileged reports whether a user is root, or whom the box runs as.
func privileged(user int) bool { return user == 0 || user == os.Geteuid() }

// userOf returns who has opened a connection (SO_PEERCRED in unix(7)).
func userOf(conn net.Conn) int {
	user := nobody
	if c, ok := conn.(*net.UnixConn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					user = int(peer.Uid)
				}
			})
		}
	}
	return user
}

// userKey is the key of the user in the context of a request.
type userKey struct{}

// withUser notes who asks.
func withUser(ctx context.Context, conn net.Conn) context.Context {
	user := nobody
	if c, ok := conn.(*counted); ok {
		user = c.user
	}
	return context.WithValue(ctx, userKey{}, user)
}

// asker returns who asks.
func asker(ctx context.Context) int {
	if user, ok := ctx.Value(userKey{}).(int); ok {
		return user
	}
	return nobody
}
