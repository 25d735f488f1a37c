package status

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// errNoTurn says that a list was not made because too many others are being
// read.
var errNoTurn = errors.New("too many clients read lists at the moment; try again")

// list answers with a list. A full one takes megabytes, so that few are in
// memory at a time: one is made at a time, a few are being sent, others
// wait for their turn. It is encoded an element at a time, so that its JSON is
// never in memory as a whole.
func list[T any](s *Server, snapshot func() []T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// The deadline for the request would end the wait with it.
		if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
			return
		}
		if err := s.takeTurn(r.Context()); err != nil {
			refuse(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		defer s.lists.give(asker(r.Context()))
		w.Header().Set("Content-Type", "application/json")
		// An error means that the client has left, or takes nothing: nobody is
		// there to be told.
		_ = writeList(&patientWriter{w, http.NewResponseController(w), s.patience, time.Now().Add(s.whole)}, snapshotOf(s, snapshot))
	}
}

// takeTurn waits for a place of s.lists.
func (s *Server) takeTurn(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.turn, errNoTurn)
	defer cancel()
	return s.lists.wait(ctx, asker(ctx))
}

func snapshotOf[T any](s *Server, snapshot func() []T) []T {
	s.building.Lock()
	defer s.building.Unlock()
	return snapshot()
}

// listBuffer is how much of a list is written at a time, in bytes.
const listBuffer = 64 << 10

// writeList writes a list as json.Encoder does, an empty one as [].
func writeList[T any](to io.Writer, rows []T) error {
	out := bufio.NewWriterSize(to, listBuffer)
	separator := "["
	for i := range rows {
		row, err := json.Marshal(&rows[i])
		if err != nil {
			return err
		}
		out.WriteString(separator) // bufio keeps an error for Flush
		if _, err := out.Write(row); err != nil {
			return err
		}
		separator = ","
	}
	if len(rows) == 0 {
		out.WriteString(separator)
	}
	out.WriteString("]\n")
	return out.Flush()
}

// patientWriter gives the reader some time for every write, and more for all of
// the reply.
type patientWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	end      time.Time
}

// Write implements io.Writer.
func (p *patientWriter) Write(b []byte) (int, error) {
	deadline := time.Now().Add(p.patience)
	if p.end.Before(deadline) {
		deadline = p.end
	}
	if err := p.control.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}
