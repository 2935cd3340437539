//go:build linux

package shim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

const (
	maxHeaderLines = 128
	maxHeaderLine  = 8 << 10
	maxRefusal     = 64 << 10 // a message for people is not longer
)

// reply is the head of the proxy's answer.
type reply struct {
	status int
	length int64 // of the body, -1 when the connection's end ends it
	exit   int   // X-Exit-Code, -1 when there is none
	files  bool  // the proxy takes our files
	tty    bool  // the tool gets the terminal that we asked for
	notice string
}

// lostMessage is what a call ends with when it cannot know how the tool did.
const lostMessage = "lost the connection to aifo-coder; the tool was ended"

// exchange sends the request and does what the answer says.
func (c call) exchange(conn net.Conn, request []byte, signals *relay) int {
	// A proxy that refuses may answer and close before it has read all, so a
	// failed write does not mean that there is no answer.
	_, sendErr := conn.Write(request)
	r := bufio.NewReaderSize(conn, headBuffer)
	answer, err := readAnswer(r)
	switch {
	case err != nil && sendErr != nil:
		return c.fail(execproto.ExitLost, "cannot send the call to aifo-coder: %v", sendErr)
	case err != nil:
		return c.fail(execproto.ExitLost, lostMessage)
	case answer.status == 101 && answer.files:
		return c.native(conn, r, signals)
	case answer.status == 101:
		if !answer.tty {
			c.term = nil
		}
		return c.stream(conn, r, signals)
	case answer.status == 200:
		return c.plain(r, answer)
	}
	return c.refused(r, answer)
}

// plain passes on an answer that is the whole output of what was asked for.
func (c call) plain(r io.Reader, answer reply) int {
	n, err := io.Copy(os.Stdout, answer.body(r))
	if err != nil || answer.exit < 0 || answer.length >= 0 && n < answer.length {
		return c.fail(execproto.ExitLost, lostMessage)
	}
	return answer.exit
}

// refused prints why the proxy did not take the call.
func (c call) refused(r io.Reader, answer reply) int {
	body, _ := io.ReadAll(io.LimitReader(answer.body(r), maxRefusal))
	message := strings.TrimSpace(string(body))
	if message == "" {
		message = "refused by aifo-coder with status " + strconv.Itoa(answer.status)
	}
	code := answer.exit
	if code <= 0 {
		code = execproto.ExitRefused // a refusal is no success, whatever it says
	}
	return c.fail(code, "%s", message)
}

func (a reply) body(r io.Reader) io.Reader {
	if a.length >= 0 {
		return io.LimitReader(r, a.length)
	}
	return r
}

var errReply = errors.New("malformed answer")

// readAnswer returns the head of the answer. What comes before it says that the
// call has to wait, and is passed on.
func readAnswer(r *bufio.Reader) (reply, error) {
	for {
		a, err := readReply(r)
		if err != nil || a.status != 102 {
			return a, err
		}
		if a.notice != "" {
			fmt.Fprintln(os.Stderr, a.notice)
		}
	}
}

func readReply(r *bufio.Reader) (reply, error) {
	line, err := readLine(r)
	if err != nil {
		return reply{}, err
	}
	a := reply{length: -1, exit: -1}
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	if a.status, err = strconv.Atoi(code); err != nil || !strings.HasPrefix(version, "HTTP/1.") {
		return reply{}, errReply
	}
	for range maxHeaderLines {
		line, err := readLine(r)
		if err != nil || line == "" {
			return a, err
		}
		a.header(line)
	}
	return reply{}, errReply
}

// header takes what matters from one header line.
func (a *reply) header(line string) {
	name, value, _ := strings.Cut(line, ":")
	if strings.EqualFold(name, execproto.HeaderNotice) {
		a.notice = strings.TrimSpace(value)
	}
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < 0 {
		return
	}
	switch {
	case strings.EqualFold(name, "Content-Length"):
		a.length = int64(n)
	case strings.EqualFold(name, execproto.HeaderExitCode):
		a.exit = exitCode(n)
	case strings.EqualFold(name, execproto.HeaderFiles):
		a.files = strings.TrimSpace(value) == execproto.FilesStdio
	case strings.EqualFold(name, execproto.HeaderTerminal):
		a.tty = strings.TrimSpace(value) == execproto.TerminalGiven
	}
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if len(line) > maxHeaderLine {
		return "", errReply
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// exitCode makes a code one that a process can have, and never a failure a
// success.
func exitCode(code int) int {
	if code != 0 && code&0xff == 0 {
		return 1
	}
	return code & 0xff
}
