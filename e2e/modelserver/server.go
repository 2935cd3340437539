// Package modelserver is a language model that says what it is told to: a small
// server for tests, which speaks the OpenAI chat completions and responses APIs
// and answers by a script. Agents run against it for real, and a test sees what
// they report of the tools that they used.
//
// It has no state but its records: which turn of the script a conversation has
// come to is counted in the conversation that each request holds. So a request
// that an agent repeats gets the same answer, and several may run at once.
package modelserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Model is the name of the model.
const Model = "script"

// bodyLimit is far above what a conversation of a test has.
const bodyLimit = 64 << 20

// Turn is one answer of the model. It says something, or else has the agent
// run a shell command, or use one of the agent's own tools.
type Turn struct {
	Say  string         `json:"say,omitempty"`
	Run  string         `json:"run,omitempty"`
	Tool string         `json:"tool,omitempty"`
	With map[string]any `json:"with,omitempty"` // arguments of Tool
}

// Request is one question to the model.
type Request struct {
	Path    string
	Key     string   // the bearer token
	Tools   []string // that the agent has
	Turn    int      // how many answers the conversation has already
	Results map[int]string
	Body    []byte
}

// Server answers by its script.
type Server struct {
	turns []Turn

	mu       sync.Mutex
	requests []Request
}

// New returns a server with the script.
func New(turns ...Turn) *Server { return &Server{turns: turns} }

// Requests returns all requests so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Result returns what the agent reported of the tool that it was told to use
// in a turn, and whether it has.
func (s *Server) Result(turn int) (string, bool) {
	for _, r := range s.Requests() {
		if result, ok := r.Results[turn]; ok {
			return result, true
		}
	}
	return "", false
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method + " " + strings.TrimPrefix(r.URL.Path, "/v1") {
	case "GET /models":
		err = write(w, object{"object": "list", "data": []object{{"id": Model, "object": "model", "owned_by": "test"}}})
	case "POST /chat/completions":
		err = s.answer(w, r, &chat{})
	case "POST /responses":
		err = s.answer(w, r, &responses{})
	default:
		err = fmt.Errorf("no %s %s here", r.Method, r.URL.Path)
	}
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = write(w, object{"error": object{"message": err.Error(), "type": "invalid_request_error"}})
	}
}

// conversation is a request of one of the APIs.
type conversation interface {
	streams() bool
	tools() []string
	turns() int // answers so far
	results() map[int]string

	whole(reply) object   // the reply in one piece
	events(reply) []event // the reply as a stream
}

// reply is what the model says, or the call of a tool.
type reply struct {
	turn      int
	say       string
	tool      string
	arguments string // JSON
}

// event is one of a stream; the chat API has no names for them, and one that is
// no JSON.
type event struct {
	name string
	data object
	text string // in place of data
}

func (e event) payload() ([]byte, error) {
	if e.text != "" {
		return []byte(e.text), nil
	}
	return json.Marshal(e.data)
}

type object = map[string]any

func (s *Server) answer(w http.ResponseWriter, r *http.Request, c conversation) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, bodyLimit))
	if err == nil {
		err = json.Unmarshal(body, c)
	}
	if err != nil {
		return err
	}
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.record(Request{Path: r.URL.Path, Key: key, Tools: c.tools(), Turn: c.turns(), Results: c.results(), Body: body})
	a, err := s.next(c)
	if err != nil {
		return err
	}
	if !c.streams() {
		return write(w, c.whole(a))
	}
	return stream(w, c.events(a))
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

// next returns the answer to a conversation. One without tools is about the
// conversation itself, such as its title, and is no part of the script.
func (s *Server) next(c conversation) (reply, error) {
	turn := c.turns()
	switch {
	case len(c.tools()) == 0:
		return reply{say: "A conversation"}, nil
	case turn >= len(s.turns):
		return reply{}, fmt.Errorf("the script has %d turns, and the agent asks for another", len(s.turns))
	}
	return s.turns[turn].reply(turn, c.tools())
}

// shells are the tools by which agents run a shell command, with the arguments.
var shells = map[string]func(command string) any{
	"bash":          func(c string) any { return object{"command": c, "description": "Runs a command"} },
	"exec_command":  func(c string) any { return object{"cmd": c} },
	"shell_command": func(c string) any { return object{"command": c} },
	"shell":         func(c string) any { return object{"command": []string{"bash", "-lc", c}} },
}

func (t Turn) reply(turn int, tools []string) (reply, error) {
	var with any = t.With
	a := reply{turn: turn, say: t.Say, tool: t.Tool}
	if t.Run != "" {
		a.tool = shellOf(tools)
		if a.tool == "" {
			return a, fmt.Errorf("of the agent's tools %q none is known to run a command", tools)
		}
		with = shells[a.tool](t.Run)
	}
	arguments, err := json.Marshal(with)
	a.arguments = string(arguments)
	return a, err
}

func shellOf(tools []string) string {
	for _, t := range tools {
		if shells[t] != nil {
			return t
		}
	}
	return ""
}

const callPrefix = "call_"

// callID names the call of a tool by the turn.
func callID(turn int) string { return fmt.Sprint(callPrefix, turn) }

// turnOf is the opposite.
func turnOf(callID string) int {
	turn := -1
	_, _ = fmt.Sscanf(callID, callPrefix+"%d", &turn)
	return turn
}

func write(w http.ResponseWriter, o object) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(o)
}

func stream(w http.ResponseWriter, events []event) error {
	w.Header().Set("Content-Type", "text/event-stream")
	var errs []error
	for _, e := range events {
		if e.name != "" {
			fmt.Fprintf(w, "event: %s\n", e.name)
		}
		data, err := e.payload()
		fmt.Fprintf(w, "data: %s\n\n", data)
		errs = append(errs, err, http.NewResponseController(w).Flush())
	}
	return errors.Join(errs...)
}
