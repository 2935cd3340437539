//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/syncbuf"
)

const (
	// hovers are an hour's worth, at one a second.
	hovers = 3600
	// symbols are how many there are to ask about.
	symbols = 10
)

// languageServer is one that a toolchain's image has, and what it is asked about:
// a file whose line first+i has symbol i at the column.
type languageServer struct {
	kind          string
	command       []string
	language      string
	file          string
	head, line    string
	first, column int
	more          map[string]string
}

var languageServers = map[string]languageServer{
	"clangd": {
		kind: "c-cpp", command: []string{"clangd"}, language: "cpp", file: "answers.cpp",
		line: "int answer%[1]d(int question) { return question + %[1]d; }\n", column: len("int "),
	},
	"gopls": {
		kind: "go", command: []string{"gopls"}, language: "go", file: "main.go",
		head: "package main\nfunc main() { answer0(0) }\n", first: 2,
		line: "func answer%[1]d(question int) int { return question + %[1]d }\n", column: len("func "),
		more: map[string]string{"go.mod": "module answers\n\ngo 1.19\n"},
	},
}

// The server's standard input and output are the agent's; what is for the test
// goes to standard error.
// gopls would fetch the configuration of its telemetry, which goes on after its end.
const serverAgent = `
if [ "$1" = gopls ]; then
	aifo-run go sh -c 'mkdir -p ~/.config/go/telemetry && echo off > ~/.config/go/telemetry/mode'
fi
"$1" --help </dev/null >/dev/null 2>&1
echo READY >&2; : <begin
"$@"
echo "CODE $?" >&2; : <end
`

// TestLanguageServer asks a language server in a sidecar an hour's worth of
// questions, and counts what aifo-coder and the exec server hold before, in
// between and after.
func TestLanguageServer(t *testing.T) {
	for name, server := range languageServers {
		for transport, flags := range transports {
			t.Run(name+"/"+transport, func(t *testing.T) { server.test(t, flags) })
		}
	}
}

func (l languageServer) test(t *testing.T, flags []string) {
	c := self(t)
	l.write(c)
	begin, end := c.gate("begin"), c.gate("end")
	s, e := c.edit(append(flags, append([]string{"--toolchain", l.kind, "shell", "--", "bash", "-c", serverAgent, "agent"}, l.command...)...)...)
	before := c.heldFirst(s, l.kind)
	begin()
	l.open(e)
	l.hover(e, symbols)
	ours, theirs := usageOf(s.cmd.Process.Pid), c.server(l.kind)
	l.hover(e, hovers)
	eventually(t, func() bool {
		return usageOf(s.cmd.Process.Pid).within(ours, fewThreads) && c.server(l.kind).within(theirs, fewThreads)
	}, "no more is held than after the first answers")
	e.request("shutdown", nil)
	e.notify("exit", nil)
	eventually(t, func() bool { return strings.Contains(s.out.String(), "CODE") }, "the server has ended")
	require.Contains(t, s.out.String(), "CODE 0\n")
	c.requireReleased(s, l.kind, before, fewThreads)
	end()
	require.Equal(t, 0, s.end(t))
}

// write makes the files that the server is asked about.
func (l languageServer) write(c *caller) {
	c.t.Helper()
	for name, text := range l.more {
		c.write(name, text)
	}
	c.write(l.file, l.text())
}

func (l languageServer) text() string {
	text := l.head
	for i := range symbols {
		text += fmt.Sprintf(l.line, i)
	}
	return text
}

func (l languageServer) uri() string { return "file:///workspace/" + l.file }

// open begins a session of editing.
func (l languageServer) open(e *editor) {
	e.t.Helper()
	e.request("initialize", object{"processId": nil, "rootUri": "file:///workspace", "capabilities": object{}})
	e.notify("initialized", object{})
	e.notify("textDocument/didOpen", object{"textDocument": object{
		"uri": l.uri(), "languageId": l.language, "version": 1, "text": l.text(),
	}})
}

// hover asks n times for what a symbol is.
func (l languageServer) hover(e *editor, n int) {
	e.t.Helper()
	for i := range n {
		symbol := i % symbols
		answer := e.request("textDocument/hover", object{
			"textDocument": object{"uri": l.uri()}, "position": object{"line": l.first + symbol, "character": l.column},
		})
		require.Contains(e.t, string(answer), fmt.Sprintf("answer%d", symbol))
	}
}

// editor is a client of a language server.
type editor struct {
	t    *testing.T
	to   io.Writer
	from chan message // closed at the end
	last int
}

type object = map[string]any

// message is what a server sends.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// edit starts aifo-coder with a language server, and waits until its agent is READY.
func (c *caller) edit(args ...string) (*session, *editor) {
	c.t.Helper()
	s := &session{cmd: c.command(c.t.Context(), args...), out: &syncbuf.Buffer{}, done: make(chan error, 1)}
	s.cmd.Stderr = s.out
	to, err := s.cmd.StdinPipe()
	require.NoError(c.t, err)
	from, stdout := io.Pipe() // Wait does not close it early, as it would StdoutPipe
	s.cmd.Stdout = stdout
	e := &editor{t: c.t, to: to, from: make(chan message)}
	require.NoError(c.t, s.cmd.Start())
	go func() {
		s.done <- s.cmd.Wait()
		_ = stdout.Close()
	}()
	go e.listen(from)
	eventually(c.t, func() bool { return strings.Contains(s.out.String(), "READY") }, "the session is ready")
	return s, e
}

// listen receives messages until they end, or one is damaged.
func (e *editor) listen(from *io.PipeReader) {
	defer from.Close() // nobody shall wait for us
	defer close(e.from)
	for r := bufio.NewReader(from); ; {
		head, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			return
		}
		n, _ := strconv.Atoi(head.Get("Content-Length"))
		body := make([]byte, n)
		var m message
		if _, err := io.ReadFull(r, body); err != nil || json.Unmarshal(body, &m) != nil {
			return
		}
		select {
		case e.from <- m:
		case <-e.t.Context().Done():
			return
		}
	}
}

// request returns the result of a request.
func (e *editor) request(method string, params any) json.RawMessage {
	e.t.Helper()
	e.last++
	e.send(object{"id": e.last, "method": method, "params": params})
	for {
		m := e.receive(method)
		switch {
		case m.Method == "":
			require.Equal(e.t, strconv.Itoa(e.last), string(m.ID))
			require.Empty(e.t, string(m.Error))
			return m.Result
		case m.ID != nil: // the server has a request too
			e.send(object{"id": m.ID, "result": nil})
		}
	}
}

func (e *editor) notify(method string, params any) {
	e.t.Helper()
	e.send(object{"method": method, "params": params})
}

func (e *editor) send(m object) {
	e.t.Helper()
	m["jsonrpc"] = "2.0"
	if m["params"] == nil {
		delete(m, "params")
	}
	body, err := json.Marshal(m)
	require.NoError(e.t, err)
	_, err = fmt.Fprintf(e.to, "Content-Length: %d\r\n\r\n%s", len(body), body)
	require.NoError(e.t, err)
}

func (e *editor) receive(what string) message {
	e.t.Helper()
	select {
	case m, ok := <-e.from:
		require.True(e.t, ok, "the server ended before it answered %s", what)
		return m
	case <-time.After(wait):
		require.Fail(e.t, "no answer", what)
		return message{}
	}
}
