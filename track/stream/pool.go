package stream

import "sync"

// BufferSize is how many octets a Direction looks ahead of a gap or keeps of
// a split message: nine of the longest messages (220 octets), and far more
// than any real peer has in flight.
const BufferSize = 2048

// BufferMemory is how many octets of memory a buffer takes, with its record of
// which octets are there.
const BufferMemory = BufferSize + BufferSize/8

// Ref names a buffer of a Pool; the zero Ref names none. A Ref is no pointer,
// so that tables that hold it need not be scanned by the garbage collector.
type Ref uint32

// Pool is a fixed number of buffers. It is safe for concurrent use; a buffer
// belongs to whoever got it until it is put back.
type Pool struct {
	mu      sync.Mutex
	buffers []*buffer // by ref; grows up to limit; a buffer once made is kept, or nil and unused since SetLimit
	free    []Ref
	limit   int
}

// NewPool returns a pool that holds at most limit buffers.
func NewPool(limit int) *Pool { return &Pool{limit: limit} }

// SetLimit changes how many buffers p may hold. Those in use beyond it stay
// until they are put back; the memory of those that are not is given up.
func (p *Pool) SetLimit(limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if limit < p.limit {
		for _, ref := range p.free {
			p.buffers[ref-1] = nil
		}
	}
	p.limit = limit
}

// get returns an unused buffer, or 0 if no more than leave are left.
func (p *Pool) get(leave int) Ref {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit-len(p.buffers)+len(p.free) <= leave {
		return 0
	}
	if n := len(p.free); n > 0 {
		ref := p.free[n-1]
		p.free = p.free[:n-1]
		if p.buffers[ref-1] == nil {
			p.buffers[ref-1] = new(buffer)
		}
		p.buffers[ref-1].have = marks{}
		return ref
	}
	p.buffers = append(p.buffers, new(buffer))
	return Ref(len(p.buffers))
}

func (p *Pool) put(ref Ref) {
	p.mu.Lock()
	p.free = append(p.free, ref)
	p.mu.Unlock()
}

// buffer returns the buffer named by ref.
func (p *Pool) buffer(ref Ref) *buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buffers[ref-1]
}

// Used returns the number of buffers in use.
func (p *Pool) Used() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.buffers) - len(p.free)
}

// Limit returns the number of buffers the pool may hold.
func (p *Pool) Limit() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}
