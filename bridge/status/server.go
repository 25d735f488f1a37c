package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grewire/grewire/track"
)

// Limits of the socket. Its users may ask, but none of them may take the box's
// memory or files, or keep root from asking.
var (
	connections = share{all: 64, others: 48, each: 16}
	streams     = share{all: 32, others: 24, each: 8} // of connections, readers of events
	lists       = share{all: 4, others: 3, each: 2}   // of connections, being sent a list, which is in memory meanwhile
)

const (
	maxHeader = 8 << 10

	requestTimeout = 10 * time.Second
	replyTimeout   = 30 * time.Second
	readerTimeout  = 10 * time.Second // with a reader of events or of a list that takes nothing
	wholeTimeout   = time.Minute      // with a reader of a list that takes little at a time
	stopTimeout    = 2 * time.Second
	// listTimeout is how long a request for a list waits for its turn: longer
	// than a client that takes nothing can hold up others (readerTimeout), and
	// short enough that the refusal still gets out (replyTimeout).
	listTimeout = 20 * time.Second
)

// Source is what the control socket tells about.
type Source interface {
	Calls() []track.Call
	Expectations() []track.Expectation
	// Stats returns the counters in a form that encoding/json takes.
	Stats() any
	// Subscribe returns how to read the events from now on, and a function that
	// ends the subscription. What a reader is too slow for is left out, never
	// waited for.
	Subscribe() (next Next, cancel func())
}

// Next waits for the next event. Its error is io.EOF when there are no more.
type Next = func(context.Context) (track.Event, error)

// Options configures a Server.
type Options struct {
	Socket  string // path of the Unix socket
	Source  Source
	Version any // the answer to GET /version
	// Actions are what POST may ask for, by path.
	Actions map[string]Action
	Log     *slog.Logger
}

// Server answers requests on the control socket.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server
	streams  *places       // of readers of events
	lists    *places       // of lists that are being sent
	building sync.Mutex    // held while a list is made
	patience time.Duration // with a reader that takes nothing
	whole    time.Duration // with a reader of a list, until it has all of it
	turn     time.Duration // how long a list waits for its place
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
	s := &Server{
		options: o, listener: newLimited(listener, connections), patience: readerTimeout, whole: wholeTimeout, turn: listTimeout,
		streams: newPlaces(streams), lists: newPlaces(lists),
	}
	s.http = &http.Server{
		Handler:        s.handler(),
		ReadTimeout:    requestTimeout,
		WriteTimeout:   replyTimeout,
		IdleTimeout:    requestTimeout,
		MaxHeaderBytes: maxHeader,
		ConnContext:    withUser,
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

// Close removes the socket. A Server that has served did so itself.
func (s *Server) Close() error {
	if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (s *Server) handler() http.Handler {
	source := s.options.Source
	routes := map[string]http.HandlerFunc{
		"/calls":        list(s, source.Calls),
		"/expectations": list(s, source.Expectations),
		"/stats":        reply(source.Stats),
		"/version":      reply(func() any { return s.options.Version }),
		"/events":       s.events,
	}
	methods := make(map[string]string, len(routes))
	for path := range routes {
		methods[path] = http.MethodGet
	}
	for path, action := range s.options.Actions {
		routes[path], methods[path] = act(action), http.MethodPost
	}
	paths := strings.Join(slices.Sorted(maps.Keys(routes)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, known := routes[r.URL.Path]
		method := methods[r.URL.Path]
		switch {
		case !known:
			refuse(w, http.StatusNotFound, "no such path; there are "+paths)
		case r.Method != method:
			w.Header().Set("Allow", method)
			refuse(w, http.StatusMethodNotAllowed, "only "+method+" is allowed")
		case r.ContentLength != 0:
			w.Header().Set("Connection", "close")
			refuse(w, http.StatusBadRequest, "the request must have no body")
		default:
			route(w, r)
		}
	})
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
