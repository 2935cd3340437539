//go:build linux

package e2e

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/e2e/modelserver"
)

const (
	// agentWait is how long an agent may take with all of its work. opencode needs
	// seconds of a processor only to start.
	agentWait = 4 * time.Minute
	modelKey  = "sk-of-the-test"
	allDone   = "All of it is built and tested."
)

// work is what the model has an agent do: mend a program, with the agent's own
// tool if it has one for that, and build and test in every toolchain.
func work(mend modelserver.Turn) []modelserver.Turn {
	return []modelserver.Turn{
		{Run: "cd python-hello && python -m unittest"},
		mend,
		{Run: "cd python-hello && python -m unittest"},
		{Run: "cd rust-hello && cargo test"},
		{Run: "cd node-hello && npm test"},
		{Run: "cd cpp-hello && cmake -S . -B build && cmake --build build && ctest --test-dir build"},
		{Run: "cd go-hello && go test ./..."},
		{Say: allDone},
	}
}

// reported is what the model must have been told, by turn.
var reported = map[int]string{
	0: "FAILED (failures=1)",
	2: "\nOK",
	3: "test result: ok. 1 passed",
	4: "pass 1",
	5: "100% tests passed",
	6: "ok  \texample.com/go-hello",
}

const (
	right = "Hello from Python"
	wrong = "Hullo from Python"
)

var (
	editTurn = modelserver.Turn{Tool: "edit", With: map[string]any{
		"filePath": "/workspace/python-hello/hello.py", "oldString": wrong, "newString": right,
	}}
	sedTurn = modelserver.Turn{Run: "sed -i 's/" + wrong + "/" + right + "/' python-hello/hello.py"}
)

// opencodeConfig has the agent use the model of the test. What the provider needs
// is in the variables of OpenAI, which aifo-coder passes on.
const opencodeConfig = `{
	"model": "test/script",
	"provider": {"test": {
		"npm": "@ai-sdk/openai-compatible",
		"options": {"baseURL": "{env:OPENAI_BASE_URL}", "apiKey": "{env:OPENAI_API_KEY}"},
		"models": {"script": {"tool_call": true}}
	}}
}`

// codexProvider is the same for codex.
const codexProvider = `model_providers.test={name="Test",base_url="URL",env_key="OPENAI_API_KEY",wire_api="responses"}`

// everyToolchain is the session's.
var everyToolchain = toolchains("rust", "node", "python", "c-cpp", "go")

// project returns an ordinary user, where there can be one, with all examples in
// the workspace, one of them broken, and a model at an address that knows what to do.
func project(t *testing.T, transport string, mend modelserver.Turn) (c *caller, model *modelserver.Server, url string) {
	t.Helper()
	c = ordinary(t)
	c.examples("rust-hello", "node-hello", "python-hello", "cpp-hello", "go-hello")
	program := filepath.Join("python-hello", "hello.py")
	c.write(program, strings.ReplaceAll(c.read(program), right, wrong))
	c.write("opencode.json", opencodeConfig)
	c.own(c.workspace)
	model = modelserver.New(work(mend)...)
	url = serve(t, transport, model)
	c.env = append(c.env, "OPENAI_API_KEY="+modelKey, "OPENAI_BASE_URL="+url)
	return c, model, url
}

// ordinary returns a caller who is not root, if only root runs the tests.
func ordinary(t *testing.T) *caller {
	t.Helper()
	if os.Getuid() == 0 {
		return newCaller(t, 1000, 1000)
	}
	return self(t)
}

// serve has the model listen where containers reach it, and returns its address
// as they see it. Over the unix socket a session has no name for the host.
func serve(t *testing.T, transport string, model http.Handler) string {
	t.Helper()
	gateway := gateway(t)
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", net.JoinHostPort(gateway, "0"))
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(model)
	require.NoError(t, server.Listener.Close())
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	if transport == "tcp" {
		return "http://host.docker.internal:" + strings.TrimPrefix(l.Addr().String(), gateway+":") + "/v1"
	}
	return server.URL + "/v1"
}

// requireDone checks that the model was told how each tool ended, with the key of
// the host, and that the workspace is as the work leaves it.
func requireDone(t *testing.T, c *caller, model *modelserver.Server) {
	t.Helper()
	for turn, want := range reported {
		got, _ := model.Result(turn)
		require.Contains(t, got, want, "turn %d", turn)
	}
	for _, r := range model.Requests() {
		require.Equal(t, modelKey, r.Key)
	}
	require.Contains(t, c.read("python-hello/hello.py"), right)
	require.FileExists(t, filepath.Join(c.workspace, "cpp-hello", "build", "cpp-hello"))
	c.requireOwned(c.workspace)
}

// TestOpencode has opencode do the work without a terminal.
func TestOpencode(t *testing.T) {
	for transport, flags := range transports {
		t.Run(transport, func(t *testing.T) {
			c, model, _ := project(t, transport, editTurn)
			r := c.run("", append(append(flags, everyToolchain...), "opencode", "--", "run", "Mend it")...)
			require.Equal(t, 0, r.code)
			require.Contains(t, r.stdout+r.stderr, allDone)
			requireDone(t, c, model)
		})
	}
}

// TestCodex is the same with codex, which is told that its container is the sandbox.
func TestCodex(t *testing.T) {
	for transport, flags := range transports {
		t.Run(transport, func(t *testing.T) {
			c, model, url := project(t, transport, sedTurn)
			r := c.codex(append(flags, everyToolchain...), url)
			require.Equal(t, 0, r.code)
			require.Equal(t, allDone+"\n", r.stdout)
			requireDone(t, c, model)
		})
	}
}

// codex runs codex with flags of aifo-coder and of its own, and the model at the address.
func (c *caller) codex(flags []string, url string, own ...string) result {
	c.t.Helper()
	args := append(flags, "codex", "--", "exec", "--skip-git-repo-check",
		"--config", "model=script", "--config", "model_provider=test", "--config", strings.Replace(codexProvider, "URL", url, 1))
	return c.run("", append(append(args, own...), "Mend it")...)
}

// TestCodexSandbox: codex can run commands without toolchains too, and keeps a
// sandbox that its user chose.
func TestCodexSandbox(t *testing.T) {
	c := self(t)
	c.env = append(c.env, "OPENAI_API_KEY="+modelKey)
	url := serve(t, "unix", modelserver.New(modelserver.Turn{Run: "touch done"}, modelserver.Turn{Say: allDone}))
	require.Equal(t, 0, c.codex(nil, url, "--sandbox", "read-only").code)
	require.False(t, c.exists("done"))
	require.Equal(t, 0, c.codex(nil, url).code)
	require.True(t, c.exists("done"))
}

// TestOpencodeOnTerminal types the task at opencode's full screen, in a window of
// tmux, and reads the answer from it.
func TestOpencodeOnTerminal(t *testing.T) {
	for transport, flags := range transports {
		t.Run(transport, func(t *testing.T) {
			c, model, _ := project(t, transport, editTurn)
			w := c.window(append(append(flags, everyToolchain...), "opencode")...)
			w.see("Ask anything")
			w.keys("-l", "Mend it")
			w.see("Mend it")
			w.keys("Enter")
			w.see(allDone)
			t.Logf("the screen:\n%s", w.screen())
			requireDone(t, c, model)
			eventually(t, func() bool { return !strings.Contains(w.screen(), "interrupt") }, "the agent waits for the next task")
			w.keys("C-c") // while it works, that would interrupt it
			require.Equal(t, "0\n", w.end())
		})
	}
}

// window is a window of tmux in which aifo-coder runs.
type window struct {
	c               *caller
	program, server string // tmux, and its socket
}

// window starts aifo-coder in a window of tmux, which ends with it.
func (c *caller) window(args ...string) window {
	c.t.Helper()
	w := window{c, hostProgram(c.t, "tmux"), filepath.Join(c.home, "tmux")}
	w.tmux(append([]string{
		"-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "50",
		"sh", "-c", `"$@"; echo $? >"$HOME/code"`, "window", program,
	}, args...)...)
	c.t.Cleanup(func() { _ = w.command("kill-server").Run() })
	return w
}

// command returns a command to the window's server, which is the caller's.
func (w window) command(args ...string) *exec.Cmd {
	cmd := w.c.command(context.WithoutCancel(w.c.t.Context())) // the last comes after the test
	cmd.Path, cmd.Err = w.program, nil
	cmd.Args = append([]string{"tmux", "-S", w.server}, args...)
	return cmd
}

func (w window) tmux(args ...string) {
	w.c.t.Helper()
	out, err := w.command(args...).CombinedOutput()
	require.NoError(w.c.t, err, "%s", out)
}

// keys presses keys; those behind -l are text.
func (w window) keys(keys ...string) {
	w.c.t.Helper()
	w.tmux(append([]string{"send-keys"}, keys...)...)
}

// screen returns what the window shows.
func (w window) screen() string {
	out, _ := w.command("capture-pane", "-p").CombinedOutput() // it may have ended
	return string(out)
}

// see waits until the window shows the text.
func (w window) see(text string) {
	w.c.t.Helper()
	defer func() {
		if w.c.t.Failed() {
			w.c.t.Logf("the screen:\n%s", w.screen())
		}
	}()
	shown := func() bool { return strings.Contains(w.screen(), text) }
	require.Eventually(w.c.t, shown, agentWait, 100*time.Millisecond, "the window shows %q", text)
}

// end waits until aifo-coder has ended and returns its exit code.
func (w window) end() string {
	w.c.t.Helper()
	code := filepath.Join(w.c.home, "code")
	eventually(w.c.t, func() bool { text, _ := os.ReadFile(code); return len(text) > 0 }, "aifo-coder has ended")
	text, err := os.ReadFile(code)
	require.NoError(w.c.t, err)
	return string(text)
}
