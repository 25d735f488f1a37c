package wire

// General is Decode without its short way.
func General(frame []byte, p *Packet) {
	*p = Packet{}
	p.general(frame)
}

// Common reports whether Decode takes its short way.
func Common(frame []byte) bool { return new(Packet).common(frame) }
