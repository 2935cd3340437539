package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
)

// growing is a writer that puts more into the log when it has got a line, and ends the
// following after the third.
type growing struct {
	bytes.Buffer
	t    *testing.T
	path string
	end  func()
}

// Write implements io.Writer.
func (g *growing) Write(p []byte) (int, error) {
	n, err := g.Buffer.Write(p)
	if lines := strings.Count(g.String(), "\n"); lines < 3 {
		file, openErr := os.OpenFile(g.path, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(g.t, openErr)
		_, writeErr := file.WriteString(`{"time":"2026-11-29T09:00:00Z","container":"agent","method":"CONNECT","host":"evil.example","port":443,"reason":"no"}` + "\n")
		require.NoError(g.t, writeErr)
		require.NoError(g.t, file.Close())
	} else {
		g.end()
	}
	return n, err
}

func TestFollowLog(t *testing.T) {
	t.Setenv("TZ", "UTC")
	for _, tt := range []struct {
		f    networkLogFlags
		want string
	}{
		{networkLogFlags{denied: true}, "  agent      CONNECT  evil.example:443                          refused  no\n"},
		{networkLogFlags{denied: true, asJSON: true}, `"host":"evil.example","port":443,"allowed":false,"reason":"no","sent":0,"received":0,"duration_ms":0}` + "\n"},
	} {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(`{"host":"good.example","allowed":true}`+"\n"+`{"container":"agent","method":"CONNECT","host":"evil.example","port":443,"reason":"no"}`+"\n"), 0o600))
		ctx, cancel := context.WithCancel(t.Context())
		g := &growing{t: t, path: path, end: cancel}
		require.NoError(t, followLog(ctx, g, jsonlog.Log{Path: path}, tt.f))
		require.Equal(t, 3, strings.Count(g.String(), tt.want), g.String())
		require.NotContains(t, g.String(), "good.example")
	}
}
