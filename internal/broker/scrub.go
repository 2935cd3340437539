package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// minSecret is the length from which a credential is looked for. What people give to a
// local server that wants none ("ollama") is a word of ordinary text.
const minSecret = 12

// secrets are what must not be in a response, the longest first.
type secrets [][]byte

// newSecrets returns the words in every form in which a server may repeat them.
func newSecrets(words ...string) secrets {
	var list secrets
	for _, w := range words {
		quoted, _ := json.Marshal(w) // a string always can be
		for _, form := range []string{w, url.QueryEscape(w), url.PathEscape(w), string(quoted[1 : len(quoted)-1])} {
			if len(w) >= minSecret && !slices.ContainsFunc(list, func(s []byte) bool { return string(s) == form }) {
				list = append(list, []byte(form))
			}
		}
	}
	slices.SortFunc(list, func(a, b []byte) int { return len(b) - len(a) })
	return list
}

// in reports whether any of them is in a text.
func (s secrets) in(text string) bool {
	return slices.ContainsFunc(s, func(w []byte) bool { return strings.Contains(text, string(w)) })
}

// blank overwrites them in data. The length stays, so that the lengths which a response
// or a WebSocket's frame gives stay right.
func (s secrets) blank(data []byte) {
	for _, w := range s {
		for at := 0; ; {
			i := bytes.Index(data[at:], w)
			if i < 0 {
				break
			}
			for j := range w {
				data[at+i+j] = '*'
			}
			at += i + len(w)
		}
	}
}

// held returns how many bytes at the end of data may be the beginning of one of them.
func (s secrets) held(data []byte) int {
	most := 0
	for _, w := range s {
		for n := min(len(w)-1, len(data)); n > most; n-- {
			if bytes.HasSuffix(data, w[:n]) {
				most = n
				break
			}
		}
	}
	return most
}

// errEncoded says that a body cannot be looked through.
var errEncoded = errors.New("the response is compressed although that was not asked for")

// scrub has a response pass without the secrets.
func scrub(response *http.Response, s secrets) error {
	if len(s) == 0 {
		return nil
	}
	for _, e := range response.Header.Values("Content-Encoding") { // of which there may be several lines
		if e != "" && !strings.EqualFold(e, "identity") {
			return errEncoded
		}
	}
	for name, values := range response.Header {
		if slices.ContainsFunc(values, s.in) {
			delete(response.Header, name)
		}
	}
	body := &scrubber{r: response.Body, secrets: s, ended: func() { response.Trailer = nil }}
	if conn, ok := response.Body.(io.ReadWriteCloser); ok { // a connection, after an upgrade
		response.Body = scrubbedConn{scrubber: body, conn: conn}
		return nil
	}
	response.Body = scrubbedBody{scrubber: body, Closer: response.Body}
	return nil
}

// scrubbedBody is a body without secrets.
type scrubbedBody struct {
	*scrubber
	io.Closer
}

// scrubbedConn is an upgraded connection, from which no secrets come.
type scrubbedConn struct {
	*scrubber
	conn io.ReadWriteCloser
}

func (c scrubbedConn) Write(p []byte) (int, error) { return c.conn.Write(p) }
func (c scrubbedConn) Close() error                { return c.conn.Close() }

// scrubber overwrites secrets in a stream. It holds back no more than what may be the
// beginning of one, so that everything else passes as it comes.
type scrubber struct {
	r       io.Reader
	secrets secrets
	ended   func() // called when the stream has ended

	pending []byte // read; the first ready bytes are without secrets
	ready   int
	err     error // of r, told when pending is empty
}

// Read implements io.Reader.
func (s *scrubber) Read(p []byte) (int, error) {
	for s.ready == 0 && s.err == nil {
		s.fill()
	}
	if s.ready == 0 {
		return 0, s.err
	}
	n := copy(p, s.pending[:s.ready])
	s.pending = append(s.pending[:0], s.pending[n:]...)
	s.ready -= n
	return n, nil
}

// fill reads once.
func (s *scrubber) fill() {
	const chunk = 32 << 10
	kept := len(s.pending)
	s.pending = slices.Grow(s.pending, chunk)[:kept+chunk]
	n, err := s.r.Read(s.pending[kept:])
	s.pending = s.pending[:kept+n]
	s.secrets.blank(s.pending)
	s.ready = len(s.pending) - s.secrets.held(s.pending)
	if err != nil {
		s.ready, s.err = len(s.pending), err
		s.ended() // trailers are known now, and have not been looked through
	}
}
