package execproxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzConnection sends bytes to the proxy and then no more. Whatever they are, it
// answers in HTTP or not at all, and runs nothing for a client without the token.
func FuzzConnection(f *testing.F) {
	for _, raw := range []string{
		"", "\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		post("/exec", form("cargo", "build"), auth, proto1),
		post("/exec?tool=cargo", "cwd=/workspace/a&arg=%C3", auth, proto2),
		post("/exec", form("cargo"), append([]string{"X-Aifo-Files: 3"}, upgrade...)...) + "i\x00\x00\x00\x01xz\x00\x00\x00\x00",
		post("/signal", "exec_id=x&signal=INT", auth, proto2),
		post("/notify", "cmd=say&arg=x", auth, proto2),
		"POST /exec HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + auth + "\r\n" + proto2 + "\r\n\r\n5\r\ntool=\r\n5\r\ncargo\r\n0\r\n\r\n",
		"POST /exec HTTP/1.0\r\nContent-Length: 99999999\r\n\r\ntool=cargo",
	} {
		f.Add([]byte(raw))
	}
	ran := make(chan struct{}, 1)
	dial := fuzzedProxy(f, newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		select {
		case ran <- struct{}{}:
		default:
		}
		closeFiles(c.Files)
		return 0, nil
	}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := dial(t)
		go func() {
			_, _ = c.Write(raw) // it may answer and close before it has read all
			_ = c.CloseWrite()
		}()
		b := bufio.NewReader(c)
		if _, err := b.Peek(1); err == nil {
			_, err := http.ReadResponse(b, nil)
			require.NoError(t, err)
		}
		_, _ = io.Copy(io.Discard, b)
		select {
		case <-ran:
			require.Contains(t, string(raw), testToken)
		default:
		}
	})
}

// fuzzedProxy serves a proxy and returns what dials it.
func fuzzedProxy(f *testing.F, e Executor) func(t *testing.T) *net.UnixConn {
	f.Helper()
	name := filepath.Join(f.TempDir(), "s")
	l, err := net.Listen("unix", name)
	require.NoError(f, err)
	cfg := testConfig(e)
	p := New(cfg)
	go func() { _ = p.Serve(l) }()
	f.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return func(t *testing.T) *net.UnixConn {
		t.Helper()
		c, err := net.Dial("unix", name)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
		return c.(*net.UnixConn)
	}
}
