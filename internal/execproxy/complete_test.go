package execproxy

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// completing is a proxy whose calls are completed by f.
func completing(t *testing.T, f func(ctx context.Context, c Call, tell func(string)) error) *server {
	cfg := testConfig(newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		_, err := io.WriteString(c.Stderr, "tool\n")
		return 3, err
	}))
	cfg.Complete = f
	return serve(t, cfg)
}

func TestCompleteIsToldBeforeTheTool(t *testing.T) {
	s := completing(t, func(_ context.Context, c Call, tell func(string)) error {
		tell("getting " + c.Argv[1] + " for " + c.Kind + " in " + c.Cwd)
		return nil
	})
	const told = "aifo-shim: getting clippy for rust in /workspace"
	assert.Equal(t, result{stderr: told + "\ntool\n", code: 3}, upgradeOn(t, s.dial(t), form("cargo", "clippy")).rest())
	assert.Equal(t, told+"\ntool\n", parseReply(t, s.send(t, post("/exec", form("cargo", "clippy"), auth, proto2))).body)
	raw := upgradeOn(t, s.dial(t), form("cargo", "clippy")+"&tty=1&rows=24&cols=80").rest()
	assert.Equal(t, told+"\r\ntool\n", raw.stderr, "a terminal in raw mode")
}

func TestCompleteFails(t *testing.T) {
	s := completing(t, func(context.Context, Call, func(string)) error { return errors.New("no network") })
	assert.Equal(t, result{fault: "no network", code: execproto.ExitRefused}, upgradeOn(t, s.dial(t), form("cargo")).rest())
	r := parseReply(t, s.send(t, post("/exec", form("cargo"), auth, proto1)))
	assert.Equal(t, []any{500, "86"}, []any{r.status, r.exit})
}

// TestCompleteIsEnded by a signal, whatever it is doing.
func TestCompleteIsEnded(t *testing.T) {
	begun := make(chan bool, 1)
	s := completing(t, func(ctx context.Context, _ Call, _ func(string)) error {
		begun <- true
		<-ctx.Done()
		return errors.New("ended")
	})
	c := upgradeOn(t, s.dial(t), form("cargo"))
	waitFor(t, begun)
	require.NoError(t, c.w.Write(execproto.FrameSignal, []byte("INT")))
	assert.Equal(t, result{code: 130}, c.rest())
}

// TestTellDoesNotOutwaitTheCall: the client's own file may be one that nobody reads.
func TestTellDoesNotOutwaitTheCall(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	full := make([]byte, 1<<20)
	cancel()
	Call{Files: []*os.File{nil, nil, w}}.tell(ctx, string(full))
}
