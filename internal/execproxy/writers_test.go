package execproxy

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shortOnce fails its second write half-way, as a connection past its deadline
// does, and would take later ones.
type shortOnce struct {
	bytes.Buffer
	writes int
}

func (w *shortOnce) Write(p []byte) (int, error) {
	if w.writes++; w.writes == 2 {
		n, _ := w.Buffer.Write(p[:len(p)/2])
		return n, io.ErrShortWrite
	}
	return w.Buffer.Write(p)
}

// TestNothingFollowsALostWrite: what came after a gap would be read as something
// else, or hide that there is one.
func TestNothingFollowsALostWrite(t *testing.T) {
	var wire shortOnce
	var cause error
	w := &stickyWriter{w: &wire, fail: func(err error) { cause = err }}
	for _, s := range []string{"aaaa", "bbbb", "cccc"} {
		w.Write([]byte(s))
	}
	assert.Equal(t, "aaaabb", wire.String())
	assert.ErrorIs(t, cause, errGone)

	rec := &recorder{ResponseRecorder: httptest.NewRecorder()}
	c := &chunks{w: rec, id: "x", fail: func(err error) { cause = err }}
	for _, s := range []string{"aaaa", "bbbb", "cccc"} {
		io.WriteString(c, s)
	}
	assert.Equal(t, "aaaabb", rec.wire.String())
	require.ErrorIs(t, c.finish(0), io.ErrShortWrite, "exit code 0 after lost output")
	assert.Empty(t, rec.Header().Get("X-Exit-Code"))
}

type recorder struct {
	*httptest.ResponseRecorder
	wire shortOnce
}

func (r *recorder) Write(p []byte) (int, error) { return r.wire.Write(p) }

var _ http.Flusher = (*recorder)(nil)
