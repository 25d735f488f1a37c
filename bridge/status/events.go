package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// events streams events until the client leaves, the box stops, or the client
// takes nothing for too long.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	user := asker(r.Context())
	if !s.streams.take(user) {
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d clients read events already, or %d of this user", streams.all, streams.each))
		return
	}
	defer s.streams.give(user)
	next, cancel := s.options.Source.Subscribe()
	defer cancel()
	if err := s.stream(w, r, next); err != nil && r.Context().Err() == nil {
		s.options.Log.Warn("a reader of events was too slow and is cut off", "error", err)
	}
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request, next Next) error {
	control := http.NewResponseController(w)
	send := func(write func() error) error {
		return errors.Join(control.SetWriteDeadline(time.Now().Add(s.patience)), write(), control.Flush())
	}
	// The deadline for the request would end the stream with it.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/jsonl")
	// The client sees the reply once the subscription holds.
	if err := send(func() error { return nil }); err != nil {
		return err
	}
	encoder := json.NewEncoder(w)
	for {
		event, err := next(r.Context())
		if err != nil || r.Context().Err() != nil {
			return nil
		}
		if err := send(func() error { return encoder.Encode(event) }); err != nil {
			return err
		}
	}
}
