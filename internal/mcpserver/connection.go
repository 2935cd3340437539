package mcpserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

const (
	// maxLine bounds one message of a client, in bytes: what a program can be given, quoted.
	maxLine = 8 << 20
	// lineTimeout is how long a message may take to arrive, once it has begun.
	lineTimeout = 30 * time.Second
	// maxCalls is how many requests of one connection may be under way at once: many more than
	// a model makes, and with maxMCP of execproxy no more than there may be calls.
	maxCalls = 64
	// maxNotice bounds the parameters of a notification, in bytes.
	maxNotice = 4 << 10
	// copies is how often a request is in memory while it is carried out: its parameters, the
	// arguments in them, what is decoded of those, and what that leaves for the collector.
	copies = 5
	// elementWeight is what an element of an array or object takes, in bytes: a program that
	// sends the shortest ones has many times the memory of its message otherwise.
	elementWeight = 64
	// callWeight is what a request takes beside that, in bytes: what is kept of both outputs, and
	// the answer that is made of them.
	callWeight = 256 << 10
)

// codeBusy is the code of the error for a request that there is no room for; JSON-RPC leaves
// it to servers.
const codeBusy = -32000

var errNoRoom = errors.New(execproxy.TooMuchHeld)

// transport connects to the client at the other end of conn. It reads messages as the one of
// the SDK does, a line each, but takes no more memory for them than the budget of the session
// has, nor more requests at once than maxCalls.
type transport struct {
	conn io.ReadWriteCloser
	hold func() *execproxy.Held
}

// Connect implements mcp.Transport.
func (t transport) Connect(context.Context) (mcp.Connection, error) {
	c := &connection{transport: t, lines: make(chan line), closed: make(chan struct{}), calls: map[jsonrpc.ID]*underWay{}}
	go c.receive()
	return c, nil
}

// connection is one client.
type connection struct {
	transport
	lines   chan line
	closed  chan struct{}
	once    sync.Once
	failed  error
	writing sync.Mutex
	begun   bool // the client has said that it is initialized; of the goroutine that calls Read

	mu    sync.Mutex
	calls map[jsonrpc.ID]*underWay
}

// line is a message that has arrived, and the memory that it takes; or why there is none.
type line struct {
	text []byte
	held *execproxy.Held
	err  error
}

// underWay is a request that is not answered yet.
type underWay struct {
	held      *execproxy.Held
	cancelled bool // the client has said that it wants no answer
}

// SessionID implements mcp.Connection.
func (c *connection) SessionID() string { return "" }

// Close implements mcp.Connection. It returns the error of the first time.
func (c *connection) Close() error {
	c.once.Do(func() {
		c.failed = c.conn.Close()
		close(c.closed)
		c.mu.Lock()
		defer c.mu.Unlock()
		for id, call := range c.calls {
			call.held.Free()
			delete(c.calls, id)
		}
	})
	return c.failed
}

// receive reads lines until there are no more. It is a goroutine of its own, since not every
// reader can be interrupted.
func (c *connection) receive() {
	r := bufio.NewReader(c.conn)
	for {
		l := c.readLine(r)
		select {
		case c.lines <- l:
		case <-c.closed:
			l.held.Free()
			return
		}
		if l.err != nil {
			return
		}
	}
}

// readLine reads the next line, or what a client has said in full when it goes without ending
// the line. A client that takes too long for it is gone.
func (c *connection) readLine(r *bufio.Reader) line {
	l := line{held: c.hold()}
	if _, l.err = r.Peek(1); l.err != nil {
		return l
	}
	defer time.AfterFunc(lineTimeout, func() { _ = c.Close() }).Stop()
	for {
		part, err := r.ReadSlice('\n')
		if l.err = l.append(part); l.err != nil {
			return l
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && json.Valid(l.text):
			err = nil
		}
		l.err = err
		return l
	}
}

// append adds to the line, or says why it cannot.
func (l *line) append(part []byte) error {
	l.text = append(l.text, part...)
	switch {
	case len(l.text) > maxLine:
		return fmt.Errorf("a message has more than %d bytes", maxLine)
	case !l.held.Set(int64(cap(l.text))):
		return errNoRoom
	}
	return nil
}

// Read implements mcp.Connection.
func (c *connection) Read(ctx context.Context) (jsonrpc.Message, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-c.closed:
			return nil, io.EOF
		case l := <-c.lines:
			if msg, err := c.take(l); msg != nil || err != nil {
				return msg, err
			}
		}
	}
}

// take returns the message of a line, or nil for one that is not to be carried out.
func (c *connection) take(l line) (jsonrpc.Message, error) {
	msg, err := l.decode()
	request, ok := msg.(*jsonrpc.Request)
	if err != nil || !ok { // clients are asked nothing, so what is no request answers nothing
		l.held.Free()
		return nil, err
	}
	if !request.IsCall() {
		l.held.Free()
		return c.notice(request), nil
	}
	if err := c.begin(request, l); err != nil {
		l.held.Free()
		return nil, c.write(&jsonrpc.Response{ID: request.ID, Error: err})
	}
	return request, nil
}

// decode returns the message, nil for an empty line.
func (l line) decode() (jsonrpc.Message, error) {
	if l.err != nil || len(bytes.TrimSpace(l.text)) == 0 {
		return nil, l.err
	}
	return jsonrpc.DecodeMessage(l.text)
}

// weight is how much memory the line takes as a request that is carried out, in bytes.
func (l line) weight() int64 {
	return callWeight + copies*int64(len(l.text)) + elementWeight*int64(elements(l.text))
}

// elements returns how many elements the arrays and objects of a JSON text have at most.
func elements(text []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++ // what follows does not end the string
		case !quoted && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

// begin notes a request as under way, or returns the error that is its answer.
func (c *connection) begin(r *jsonrpc.Request, l line) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closed: // nobody would free it
		return &jsonrpc.Error{Code: codeBusy, Message: "the connection is closed"}
	default:
	}
	switch {
	case c.calls[r.ID] != nil:
		return &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: "the id is that of a request under way"}
	case len(c.calls) >= maxCalls:
		return &jsonrpc.Error{Code: codeBusy, Message: fmt.Sprintf("%d requests of this client are under way; try again when some have ended", maxCalls)}
	case !l.held.Set(l.weight()):
		return &jsonrpc.Error{Code: codeBusy, Message: execproxy.TooMuchHeld}
	}
	c.calls[r.ID] = &underWay{held: l.held}
	return nil
}

// notice returns a notification that is of use here, or nil. The SDK queues them without
// limit while an answer cannot be written, so of each there is one.
func (c *connection) notice(r *jsonrpc.Request) jsonrpc.Message {
	switch {
	case len(r.Params) > maxNotice:
	case r.Method == "notifications/initialized" && !c.begun:
		c.begun = true
		return r
	case r.Method == "notifications/cancelled" && c.cancel(r.Params):
		return r
	}
	return nil
}

// cancel notes that a request is cancelled, and reports whether that is new.
func (c *connection) cancel(params json.RawMessage) bool {
	var p struct {
		RequestID any `json:"requestId"`
	}
	if json.Unmarshal(params, &p) != nil {
		return false
	}
	id, err := jsonrpc.MakeID(p.RequestID)
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.calls[id]
	if err != nil || call == nil || call.cancelled {
		return false
	}
	call.cancelled = true
	return true
}

// Write implements mcp.Connection.
func (c *connection) Write(ctx context.Context, msg jsonrpc.Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if answer, ok := msg.(*jsonrpc.Response); ok {
		defer c.end(answer.ID)()
	}
	return c.write(msg)
}

// end takes out a request that is answered: a client that has its answer may use its id again.
// What the request takes is free when the function that end returns is called.
func (c *connection) end(id jsonrpc.ID) (free func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.calls[id]
	if call == nil {
		return func() {}
	}
	delete(c.calls, id)
	return call.held.Free
}

func (c *connection) write(msg jsonrpc.Message) error {
	text, err := jsonrpc.EncodeMessage(msg)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err = c.conn.Write(append(text, '\n'))
	return err
}
