package status

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// ErrNotRunning says that nobody listens on the socket.
var ErrNotRunning = errors.New("no grewire is running there")

// maxLine bounds an event on the wire, in bytes.
const maxLine = 1 << 20

// AnswerTimeout is how long Get waits for an answer unless told otherwise. The
// longest list takes the box a fraction of it.
const AnswerTimeout = 30 * time.Second

// Client asks the box behind a control socket.
type Client struct {
	Socket  string
	Timeout time.Duration // of Get; 0 is AnswerTimeout
}

// silentError says that a box took a request, or let it wait, and did not
// answer in time.
type silentError struct {
	path    string
	timeout time.Duration
}

func (e *silentError) Error() string {
	return fmt.Sprintf("the box gave no answer to %s within %s: it is stopped, stuck or overloaded; see whether its process runs (a stopped one goes on with SIGCONT) and what it logs, or start it anew", e.path, e.timeout)
}

// Get asks for a path and decodes the answer into value. The error is that of
// ctx if ctx is done.
func (c *Client) Get(ctx context.Context, path string, value any) error {
	_, err := c.ask(ctx, http.MethodGet, path, value)
	return err
}

// Post asks the box to do something and decodes the answer into value. It is
// not ok if the box has refused, and the answer says why.
func (c *Client) Post(ctx context.Context, path string, value any) (ok bool, err error) {
	return c.ask(ctx, http.MethodPost, path, value)
}

func (c *Client) ask(ctx context.Context, method, path string, value any) (ok bool, err error) {
	silent := &silentError{path, cmp.Or(c.Timeout, AnswerTimeout)}
	ctx, cancel := context.WithTimeoutCause(ctx, silent.timeout, silent)
	defer cancel()
	response, err := c.open(ctx, method, path)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(value); err != nil {
		if ctx.Err() != nil {
			return false, c.explain(ctx, err)
		}
		return false, fmt.Errorf("control socket %s: the answer to %s is not right: %w", c.Socket, path, err)
	}
	return response.StatusCode == http.StatusOK, nil
}

// Events calls each with every event, a line of JSON without its end, until
// ctx is done or each returns an error. The error is io.EOF when the box ends
// the stream. The line is valid until each returns.
func (c *Client) Events(ctx context.Context, each func(line []byte) error) error {
	response, err := c.open(ctx, http.MethodGet, "/events")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := each(lines.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("control socket %s: %w", c.Socket, err)
	}
	return io.EOF
}

// open sends a request and returns its answer: what was asked for, or, to POST,
// a refusal in the same form.
func (c *Client) open(ctx context.Context, method, path string) (*http.Response, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, method, "http://grewire"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if response.StatusCode != http.StatusOK && (method != http.MethodPost || response.StatusCode != http.StatusConflict) {
		defer response.Body.Close()
		return nil, fmt.Errorf("control socket %s: %s", c.Socket, refusal(response))
	}
	return response, nil
}

// explain says what to do about a box that cannot be reached.
func (c *Client) explain(ctx context.Context, err error) error {
	switch {
	case errors.As(context.Cause(ctx), new(*silentError)):
		return fmt.Errorf("control socket %s: %w", c.Socket, context.Cause(ctx))
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("control socket %s: %w: start it with \"grewire run\", or name its socket with -socket", c.Socket, ErrNotRunning)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("control socket %s: permission denied: ask as root or as a member of the socket's group", c.Socket)
	}
	return fmt.Errorf("control socket %s: %w", c.Socket, err)
}

func refusal(response *http.Response) string {
	var said problem
	if json.NewDecoder(io.LimitReader(response.Body, maxLine)).Decode(&said) != nil || said.Error == "" {
		return response.Status
	}
	return fmt.Sprintf("%s: %q", response.Status, said.Error)
}
