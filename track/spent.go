package track

// A batch is bounded by what it costs, not by its frames: 64 of them may be a few
// microseconds' work or, of the largest segments there are, full of messages, as
// many thousand. What waits behind them is bounded by the part of a batch that a
// worker does before it sends what is decided, and shows that it moves.
//
// Work is counted where it is done, in units of about a fifth of a microsecond.
// What a frame of data costs is not worth counting.
const (
	messageWork = 2 // a control message is read
	// passedPerUnit messages with the header of the last are passed over.
	passedPerUnit = 16
	callWork      = 12 // a call is made, agreed or ended, or a connection evicted
	// partWork is how much a part has at least when it ends: less than a
	// millisecond's, and more than what batches of normal traffic have.
	partWork = 4096
)
