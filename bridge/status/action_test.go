package status

import (
	"context"
	"strings"
	"testing"
)

// TestPost: an action is done once for each POST, its answer arrives whether or
// not it was refused, and nothing is done by GET.
func TestPost(t *testing.T) {
	done := 0
	action := func(ok bool) Action {
		return func(context.Context) (any, bool) { done++; return map[string]int{"done": done}, ok }
	}
	source := newFakeSource()
	socket, _ := running(t, source, func(s *Server) {
		s.options.Actions = map[string]Action{"/well": action(true), "/badly": action(false)}
		s.http.Handler = s.handler()
	})
	client := &Client{Socket: socket}
	for i, path := range []string{"/well", "/badly"} {
		var answer map[string]int
		ok, err := client.Post(within(t), path, &answer)
		if err != nil || ok != (path == "/well") || answer["done"] != i+1 {
			t.Errorf("POST %s: %v %v %v", path, ok, err, answer)
		}
	}
	for path, want := range map[string]string{
		"GET /well": "405 Method Not Allowed: \"only POST is allowed\"", "POST /stats": "only GET is allowed",
		"POST /nothing": "no such path; there are /badly, /calls, /events, /expectations, /stats, /version, /well",
	} {
		method, path, _ := strings.Cut(path, " ")
		ask := func() error { _, err := client.Post(within(t), path, new(any)); return err }
		if method == "GET" {
			ask = func() error { return client.Get(within(t), path, new(any)) }
		}
		if err := ask(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %s: %v, want %q", method, path, err, want)
		}
	}
	if done != 2 {
		t.Errorf("%d actions done, want 2", done)
	}
}
