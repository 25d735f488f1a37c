package status

import (
	"context"
	"encoding/json"
	"net/http"
)

// Action does what a POST asks for and returns the answer, in a form that
// encoding/json takes; not ok if it was refused, and then the answer says why.
// Several may be called at once.
type Action func(ctx context.Context) (answer any, ok bool)

func act(action Action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, ok := action(r.Context())
		w.Header().Set("Content-Type", "application/json")
		if !ok {
			w.WriteHeader(http.StatusConflict)
		}
		_ = json.NewEncoder(w).Encode(answer) // as in reply
	}
}
