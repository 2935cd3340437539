//go:build linux

package resident_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerexec"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/resident"
)

// image is what the tests run tools in. scripts/images builds it everywhere.
const image = "debian:bookworm-slim"

// sidecar is a real container with the real exec server.
type sidecar struct {
	name     string
	plain    *dockerexec.Executor
	resident *resident.Executor
}

// newSidecar starts a container as a session does, with the directory of a
// socket if wanted.
func newSidecar(t testing.TB, socket bool) *sidecar {
	t.Helper()
	if os.Getenv("AIFO_TEST_DOCKER") == "off" || exec.Command("docker", "image", "inspect", image).Run() != nil {
		if os.Getenv("AIFO_TEST_DOCKER") == "require" {
			t.Fatal("no engine with " + image)
		}
		t.Skip("no engine with " + image)
	}
	base, err := os.MkdirTemp("/tmp", "resident") //nolint:usetesting // its names are too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(base)) })
	shim, dir := filepath.Join(base, "aifo-shim"), filepath.Join(base, "sockets")
	build := exec.Command("go", "build", "-o", shim, "github.com/aifo-coder/aifo-coder/shims/aifo-shim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, os.Mkdir(dir, 0o700))

	s := &sidecar{name: "aifo-test-" + filepath.Base(base)}
	user := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	out, err = exec.Command("docker", "run", "--detach", "--init", "--network", "none", "--name", s.name, "--user", "0:0",
		"--volume", shim+":/opt/aifo/bin/aifo-shim:ro", "--volume", dir+":/run/aifo:ro", "--tmpfs", "/workspace:exec,mode=1777",
		"--entrypoint", "/opt/aifo/bin/aifo-shim", image, "boot", "--user", user, "--home", "/home/coder", "--stay").CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "--force", "--volumes", s.name).Run() })

	container := func(string) string { return s.name }
	s.plain = &dockerexec.Executor{User: func(string) string { return user }, Grace: 100 * time.Millisecond, Container: container}
	d := &resident.Docker{
		Client: docker.Client{}, User: func(string) string { return user }, Container: container, UID: os.Getuid(), Log: slog.New(slog.DiscardHandler),
		SocketDir: func(string) string {
			if socket {
				return dir
			}
			return ""
		},
	}
	s.resident = resident.New(resident.Config{Dial: d.Dial, Alive: s.plain.Alive, Grace: 100 * time.Millisecond})
	t.Cleanup(s.resident.Close)
	require.NoError(t, s.resident.Open(t.Context(), "rust"))
	require.Equal(t, socket, s.resident.TakesFiles("rust"))
	return s
}

// tool runs a shell command on an executor.
func tool(ctx context.Context, e execproxy.Executor, id, script string, change func(*execproxy.Call)) (string, int, error) {
	var out bytes.Buffer
	c := execproxy.Call{ID: id, Kind: "rust", Cwd: "/workspace", Argv: []string{"sh", "-c", script}, Stdout: &out, Stderr: io.Discard}
	if change != nil {
		change(&c)
	}
	code, err := e.Run(ctx, c)
	return strings.TrimSpace(out.String()), code, err
}

// each runs f with each way to run a tool.
func each(t *testing.T, f func(t *testing.T, s *sidecar, e execproxy.Executor)) {
	t.Run("docker exec", func(t *testing.T) {
		s := newSidecar(t, false)
		f(t, s, s.plain)
	})
	for name, socket := range map[string]bool{"stdio": false, "socket": true} {
		t.Run(name, func(t *testing.T) {
			s := newSidecar(t, socket)
			f(t, s, s.resident)
		})
	}
}

func TestDockerTool(t *testing.T) {
	each(t, func(t *testing.T, _ *sidecar, e execproxy.Executor) {
		out, code, err := tool(t.Context(), e, "one", `cat; echo "$FOO|$DOCKER_HOST|$AIFO_EXEC_ID"; env | grep AIFO_CALL; exit 7`, func(c *execproxy.Call) {
			c.Stdin = strings.NewReader("input\n")
			c.Env = []string{"FOO=a b\nc \xff", "DOCKER_HOST=tcp://127.0.0.1:1"}
		})
		require.NoError(t, err)
		require.Equal(t, 7, code)
		require.Equal(t, "input\na b\nc \xff|tcp://127.0.0.1:1|one", out)

		_, code, err = tool(t.Context(), e, "none", "", func(c *execproxy.Call) { c.Argv = []string{"no-such-tool"} })
		require.NoError(t, err)
		require.Equal(t, 127, code)

		offers := e.(interface {
			Offers(ctx context.Context, kind, tool string) (bool, error)
		}).Offers
		for tool, want := range map[string]bool{"sh": true, "no-such-tool": false} {
			ok, err := offers(t.Context(), "rust", tool)
			require.NoError(t, err)
			require.Equal(t, want, ok, tool)
		}
	})
}

// TestDockerEnd: the tool and its children go, whatever they ignore.
func TestDockerEnd(t *testing.T) {
	each(t, func(t *testing.T, s *sidecar, e execproxy.Executor) {
		ctx, cancel := context.WithCancelCause(t.Context())
		r, w := io.Pipe()
		go func() {
			_, _ = io.ReadFull(r, make([]byte, 3))
			cancel(errGone)
			_, _ = io.Copy(io.Discard, r)
		}()
		_, _, err := tool(ctx, e, "stubborn", `trap '' INT TERM; sleep 4711 & echo up; wait; sleep 4711`, func(c *execproxy.Call) { c.Stdout = w })
		require.ErrorIs(t, err, errGone)
		out, err := exec.Command("docker", "top", s.name, "-eo", "pid,args").CombinedOutput()
		require.NoError(t, err, string(out))
		require.NotContains(t, string(out), "4711")
	})
}

// TestDockerLost: the server is killed, then the container removed.
func TestDockerLost(t *testing.T) {
	for name, socket := range map[string]bool{"stdio": false, "socket": true} {
		t.Run(name, func(t *testing.T) {
			s := newSidecar(t, socket)
			_, code, err := tool(t.Context(), s.resident, "suicide", `kill -9 $PPID; sleep 60`, nil)
			require.ErrorContains(t, err, "the rust sidecar's exec server ended; the call's result is unknown")
			require.Zero(t, code)
			out, code, err := tool(t.Context(), s.resident, "next", `echo works; exit 3`, nil)
			require.NoError(t, err)
			require.Equal(t, "works", out)
			require.Equal(t, 3, code)
			require.Equal(t, socket, s.resident.TakesFiles("rust"))

			started := make(chan bool)
			r, w := io.Pipe()
			go func() {
				_, _ = io.ReadFull(r, make([]byte, 3))
				close(started)
				_, _ = io.Copy(io.Discard, r)
			}()
			lost := make(chan error, 1)
			go func() {
				_, _, err := tool(t.Context(), s.resident, "lost", `echo up; sleep 60`, func(c *execproxy.Call) { c.Stdout = w })
				lost <- err
			}()
			<-started
			require.NoError(t, exec.Command("docker", "rm", "--force", "--volumes", s.name).Run())
			require.EqualError(t, receive(t, lost), "the rust sidecar has ended; start the session again")
			_, _, err = tool(t.Context(), s.resident, "late", `true`, nil)
			require.EqualError(t, err, "the rust sidecar has ended; start the session again")
		})
	}
}

func TestDockerFiles(t *testing.T) {
	s := newSidecar(t, true)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	dup, err := os.OpenFile(filepath.Join(t.TempDir(), "err"), os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, code, err := tool(t.Context(), s.resident, "files", `echo straight; exit 5`, func(c *execproxy.Call) {
		c.Stdout, c.Stderr, c.Files = nil, nil, []*os.File{null, w, dup}
	})
	require.NoError(t, err)
	require.Equal(t, 5, code)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "straight\n", string(text))
}

// TestDockerNothingIsLeft: neither here nor in the sidecar.
func TestDockerNothingIsLeft(t *testing.T) {
	for name, socket := range map[string]bool{"stdio": false, "socket": true} {
		t.Run(name, func(t *testing.T) {
			s := newSidecar(t, socket)
			run := func(n int) {
				for i := range n {
					_, code, err := tool(t.Context(), s.resident, fmt.Sprint("c", i), "", func(c *execproxy.Call) {
						c.Argv, c.Stdin = []string{"true"}, strings.NewReader("x")
					})
					require.NoError(t, err)
					require.Zero(t, code)
				}
			}
			count := func() string {
				out, _, err := tool(t.Context(), s.resident, "count", `ls /proc/$PPID/fd | wc -l; ls /proc/$PPID/task | wc -l`, nil)
				require.NoError(t, err)
				return out
			}
			run(20)
			goroutines, files, there := runtime.NumGoroutine(), openFiles(t), count()
			run(1000)
			// What the last call had is closed beside its end.
			require.Eventually(t, func() bool {
				return runtime.NumGoroutine() <= goroutines+2 && openFiles(t) <= files
			}, time.Minute, 10*time.Millisecond)
			t.Logf("descriptors and threads of the server: %q before, %q after", there, count())
		})
	}
}

// BenchmarkTrue is the cost of a call without the client's part of it.
func BenchmarkTrue(b *testing.B) {
	for _, socket := range []bool{false, true} {
		s := newSidecar(b, socket)
		for name, e := range map[string]execproxy.Executor{"docker": s.plain, "resident": s.resident} {
			if socket && name == "docker" {
				continue
			}
			b.Run(fmt.Sprintf("%s/socket=%v", name, socket), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					c := execproxy.Call{ID: fmt.Sprint("b", i), Kind: "rust", Cwd: "/workspace", Argv: []string{"true"}}
					if socket {
						for range 3 {
							f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
							require.NoError(b, err)
							c.Files = append(c.Files, f)
						}
					}
					if code, err := e.Run(b.Context(), c); code != 0 || err != nil {
						b.Fatal(code, errors.Join(err))
					}
				}
			})
		}
	}
}
