package load

// Maker makes the frames of flows in turn, for who needs them without a NIC. It is
// for one goroutine.
type Maker struct {
	flows    []kernelFlow
	template []byte
	turn     int
}

// NewMaker returns a maker of frames of so many octets, check sequence included.
func NewMaker(flows []Flow, size int) (*Maker, error) {
	if err := checkSizes([]int{size}); err != nil {
		return nil, err
	}
	m := &Maker{template: template([6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}, []int{size})}
	for i, f := range flows {
		entry, err := f.entry(i, m.template)
		if err != nil {
			return nil, err
		}
		m.flows = append(m.flows, entry)
	}
	return m, nil
}

// Frame returns memory for a frame, without the check sequence.
func (m *Maker) Frame() []byte { return append([]byte(nil), m.template...) }

// Next makes what Frame has returned the next frame.
func (m *Maker) Next(frame []byte) {
	m.flows[m.turn].patch(frame, 0)
	if m.turn++; m.turn == len(m.flows) {
		m.turn = 0
	}
}
