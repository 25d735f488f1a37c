package pptp

// rowIndex has the rows of a state table by their state and message.
type rowIndex[R any] [CallEnded + 1][numControlTypes][]R

var (
	sessionRows = indexRows(sessionTable, func(r *sessionRow) (int, ControlType) { return int(r.state), r.message })
	callRows    = indexRows(callTable, func(r *callRow) (int, ControlType) { return int(r.state), r.message })
)

func indexRows[R any](table []R, key func(*R) (state int, t ControlType)) (index *rowIndex[R]) {
	index = new(rowIndex[R])
	for i := range table {
		state, t := key(&table[i])
		index[state][t] = append(index[state][t], table[i])
	}
	return index
}

// of returns the rows of a state and a message, in the table's order.
func (x *rowIndex[R]) of(state int, t ControlType) []R {
	if state >= len(x) || int(t) >= len(x[0]) {
		return nil
	}
	return x[state][t]
}
