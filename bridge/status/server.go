package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/grewire/grewire/track"
)

// Limits of the socket. Its users are trusted, but none of them may take the
// box's memory or files by mistake.
const (
	maxConnections = 64
	maxStreams     = 32 // of them, readers of events
	maxHeader      = 8 << 10

	requestTimeout = 10 * time.Second
	replyTimeout   = 30 * time.Second
	eventTimeout   = 10 * time.Second
	stopTimeout    = 2 * time.Second
)

// Source is what the control socket tells about.
type Source interface {
	Calls() []track.Call
	Expectations() []track.Expectation
	// Stats returns the counters in a form that encoding/json takes.
	Stats() any
	// Subscribe returns the events from now on and a function that ends the
	// subscription. What a reader is too slow for is left out of its channel,
	// never waited for.
	Subscribe() (<-chan track.Event, func())
}

// Options configures a Server.
type Options struct {
	Socket  string // path of the Unix socket
	Source  Source
	Version any // the answer to GET /version
	Log     *slog.Logger
}

// Server answers requests on the control socket.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server
	streams  chan struct{} // a token for each reader of events
	patience time.Duration // with a reader that takes nothing
}

// Listen makes the socket: its directory if that is missing, mode 0660, in
// place of a socket that a dead process left. It refuses to replace a socket
// that answers (ErrInUse) or a file that is no socket.
func Listen(o Options) (*Server, error) {
	listener, err := listen(o.Socket)
	if err != nil {
		return nil, err
	}
	return newServer(o, listener), nil
}

func newServer(o Options, listener net.Listener) *Server {
	s := &Server{options: o, listener: newLimited(listener, maxConnections), streams: make(chan struct{}, maxStreams), patience: eventTimeout}
	s.http = &http.Server{
		Handler:        s.handler(),
		ReadTimeout:    requestTimeout,
		WriteTimeout:   replyTimeout,
		IdleTimeout:    requestTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	return s
}

// Serve answers until ctx is done, then ends every connection and removes the
// socket.
func (s *Server) Serve(ctx context.Context) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("control socket %s: %w", s.options.Socket, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.http.Shutdown(grace); err != nil {
		s.http.Close()
	}
	<-served
	return nil
}

// Close removes the socket of a Server that will not Serve.
func (s *Server) Close() error { return s.listener.Close() }

func (s *Server) handler() http.Handler {
	source := s.options.Source
	routes := map[string]http.HandlerFunc{
		"/calls":        reply(func() any { return orEmpty(source.Calls()) }),
		"/expectations": reply(func() any { return orEmpty(source.Expectations()) }),
		"/stats":        reply(source.Stats),
		"/version":      reply(func() any { return s.options.Version }),
		"/events":       s.events,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, known := routes[r.URL.Path]
		switch {
		case !known:
			refuse(w, http.StatusNotFound, "no such path; there are /calls, /expectations, /stats, /events and /version")
		case r.Method != http.MethodGet:
			w.Header().Set("Allow", http.MethodGet)
			refuse(w, http.StatusMethodNotAllowed, "only GET is allowed")
		case r.ContentLength != 0:
			w.Header().Set("Connection", "close")
			refuse(w, http.StatusBadRequest, "the request must have no body")
		default:
			route(w, r)
		}
	})
}

// orEmpty keeps an empty list from being written as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func reply(answer func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// An error here means that the client has left: nobody is there to be
		// told.
		_ = json.NewEncoder(w).Encode(answer())
	}
}

// problem is the body of an error reply.
type problem struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(problem{message})
}

// events streams events until the client leaves, the box stops, or the client
// takes nothing for too long.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d clients read events already", maxStreams))
		return
	}
	events, cancel := s.options.Source.Subscribe()
	defer cancel()
	if err := s.stream(w, r, events); err != nil && r.Context().Err() == nil {
		s.options.Log.Warn("a reader of events was too slow and is cut off", "error", err)
	}
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request, events <-chan track.Event) error {
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
		select {
		case <-r.Context().Done():
			return nil
		case event, more := <-events:
			if !more {
				return nil
			}
			if err := send(func() error { return encoder.Encode(event) }); err != nil {
				return err
			}
		}
	}
}
