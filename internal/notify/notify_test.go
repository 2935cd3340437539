//go:build unix

package notify_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/notify"
)

// host is a home with a user's file, and a safe directory with programs.
type host struct {
	t         *testing.T
	home, bin string
	workspace string
	env       map[string]string
}

func newHost(t *testing.T) *host {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	h := &host{t: t, home: filepath.Join(top, "home"), bin: filepath.Join(top, "bin"), workspace: filepath.Join(top, "ws")}
	for _, dir := range []string{h.home, h.bin, h.workspace} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	h.env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": h.home,
		"AIFO_NOTIFICATIONS_UNSAFE_ALLOWLIST": "1", "AIFO_NOTIFICATIONS_SAFE_DIRS": h.bin,
	}
	return h
}

func (h *host) program(name, script string) string {
	h.t.Helper()
	path := filepath.Join(h.bin, name)
	require.NoError(h.t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return path
}

func (h *host) configure(command string) {
	h.t.Helper()
	require.NoError(h.t, os.WriteFile(filepath.Join(h.home, ".aider.conf.yml"), []byte("dark-mode: true\n"+command+"\n"), 0o600))
}

func (h *host) notifier() *notify.Notifier {
	return notify.New(notify.FromEnv(h.env, h.home, h.workspace))
}

func (h *host) run(args ...string) (int, string, error) {
	h.t.Helper()
	code, output, err := h.notifier().Run(h.t.Context(), "say", args)
	return code, string(output), err
}

// refused wants that nothing runs, for that reason.
func (h *host) refused(want string, args ...string) {
	h.t.Helper()
	_, _, err := h.run(args...)
	var denied execproxy.NotifyDenied
	require.ErrorAs(h.t, err, &denied)
	assert.Contains(h.t, denied.Error(), want)
}

func TestRun(t *testing.T) {
	h := newHost(t)
	h.program("say", `echo "out: $*"; echo err >&2; cat; pwd; exit 3`)
	h.configure(fmt.Sprintf("notifications-command: [%s/say, --title, 'a b', '{args}']", h.bin))
	code, output, err := h.run("hello", "it's $(id)", "")
	require.NoError(t, err)
	assert.Equal(t, 3, code)
	assert.Equal(t, "out: --title a b hello it's $(id) \n/\nerr\n", output)

	// A string is split, and a change counts at once.
	h.configure(fmt.Sprintf(`notifications-command: "%s/say 'x  y' \"z\""`, h.bin))
	_, output, err = h.run("x  y", "z")
	require.NoError(t, err)
	assert.Contains(t, output, "out: x  y z\n")
	code, _, err = h.notifier().Run(t.Context(), "notifications-cmd", []string{"x  y", "z"})
	require.NoError(t, err, "the configured command, whatever its name")
	assert.Equal(t, 3, code)
}

func TestEnvironment(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"LANG", "LC_TIME", "DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "OPENAI_API_KEY", "AIFO_X", "EXTRA", "MY_TOKEN", "lower", "LD_PRELOAD"} {
		h.env[name] = "v"
	}
	h.env["AIFO_NOTIFICATIONS_ENV_ALLOW"] = "EXTRA, MY_TOKEN,OPENAI_API_KEY,lower"
	h.program("say", "/usr/bin/env | sed 's/=.*//' | grep -vx -e PWD -e SHLVL -e _ -e OLDPWD | sort")
	h.configure("notifications-command: " + h.bin + "/say")
	_, output, err := h.run()
	require.NoError(t, err)
	assert.Equal(t, []string{"DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "EXTRA", "HOME", "LANG", "LC_TIME", "PATH"}, strings.Fields(output))
}

func TestConfigurationRefused(t *testing.T) {
	h := newHost(t)
	h.program("say", "echo RAN")
	h.refused("cannot read ~/.aider.conf.yml: no such file or directory")
	for file, want := range map[string]string{
		"":                              "notifications-command not found in ~/.aider.conf.yml",
		"notifications-command: [":      "cannot parse ~/.aider.conf.yml",
		"notifications-command: {a: b}": "notifications-command must be a string or sequence",
		"notifications-command: 1":      "notifications-command must be a string or sequence",
		"x: &a [/bin/sh]\nnotifications-command: *a":     "notifications-command must be a string or sequence",
		"notifications-command: [/bin/sh, 1]":            "notifications-command must be a sequence of strings",
		"notifications-command: []":                      "notifications-command is empty or malformed",
		"notifications-command: ''":                      "notifications-command is empty or malformed",
		"notifications-command: \"a 'b\"":                "notifications-command is empty or malformed",
		"notifications-command: ['']":                    "notifications-command parsed to an empty command",
		"notifications-command: \"''\"":                  "notifications-command parsed to an empty command",
		"notifications-command: [say]":                   "notifications-command executable must be an absolute path",
		"notifications-command: [./say]":                 "notifications-command executable must be an absolute path",
		"notifications-command: [/a, \"b\\nc\"]":         "invalid notifications-command: contains newline",
		"notifications-command: [/a, '{args}', b]":       "invalid notifications-command: '{args}' placeholder must be trailing",
		"notifications-command: ['{args}']":              "invalid notifications-command: '{args}' placeholder must be trailing",
		"notifications-command: [/bin/sh, -c, '{args}']": "is not in a safe directory",
		"notifications-command: [" + h.bin + "/none]":    "no such file",
	} {
		h.configure(file)
		h.refused(want)
	}
	h.configure("notifications-command: " + h.bin + "/say")
	for _, mode := range []os.FileMode{0o660, 0o606} {
		require.NoError(t, os.Chmod(filepath.Join(h.home, ".aider.conf.yml"), mode))
		h.refused("cannot read ~/.aider.conf.yml: others than you can write it")
	}
}

// TestNotTheAgents: a file or a program that the agent can write counts for nothing.
func TestNotTheAgents(t *testing.T) {
	h := newHost(t)
	h.program("say", "echo RAN")
	command := "notifications-command: " + h.bin + "/say\n"
	inside, outside := filepath.Join(h.workspace, "c.yml"), filepath.Join(h.home, "c.yml")
	for _, path := range []string{inside, outside} {
		require.NoError(t, os.WriteFile(path, []byte(command), 0o600))
	}
	linkInside, linkOutside := filepath.Join(h.workspace, "link"), filepath.Join(h.home, "link")
	require.NoError(t, os.Symlink(outside, linkInside))
	require.NoError(t, os.Symlink(inside, linkOutside))
	for _, path := range []string{inside, linkInside, linkOutside, h.workspace + "/../ws/c.yml"} {
		h.env["AIFO_NOTIFICATIONS_CONFIG"] = path
		h.refused("it is in a directory that the agent can write")
	}
	h.env["AIFO_NOTIFICATIONS_CONFIG"] = "c.yml"
	h.refused("it is not an absolute path")
	h.env["AIFO_NOTIFICATIONS_CONFIG"] = outside
	_, output, err := h.run()
	require.NoError(t, err)
	assert.Equal(t, "RAN\n", output)

	// A safe directory inside of the workspace is none.
	h.env["AIFO_NOTIFICATIONS_SAFE_DIRS"] = h.bin + "," + h.workspace
	program := filepath.Join(h.workspace, "say")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
	require.NoError(t, os.WriteFile(outside, []byte("notifications-command: "+program), 0o600))
	h.refused("is not in a safe directory")
}

func TestProgramRefused(t *testing.T) {
	h := newHost(t)
	h.configure("notifications-command: " + h.bin + "/say")
	h.program("other", "echo RAN")
	require.NoError(t, os.Symlink(filepath.Join(h.bin, "other"), filepath.Join(h.bin, "say")))
	h.refused("command 'other' not allowed for notifications")
	h.env["AIFO_NOTIFICATIONS_ALLOWLIST"] = "other"
	h.refused("only executable basename 'other' is accepted (got 'say')")
	require.NoError(t, os.Remove(filepath.Join(h.bin, "say")))

	path := h.program("say", "echo RAN")
	require.NoError(t, os.Chmod(path, 0o775))
	h.refused("others than you can write it")
	require.NoError(t, os.Chmod(path, 0o755))
	require.NoError(t, os.Chmod(h.bin, 0o777))
	h.refused("in a directory that everybody can write")
	require.NoError(t, os.Chmod(h.bin, 0o755))
	_, output, err := h.run()
	require.NoError(t, err)
	assert.Equal(t, "RAN\n", output)
	delete(h.env, "AIFO_NOTIFICATIONS_UNSAFE_ALLOWLIST") // the directories count only with it
	h.refused("is not in a safe directory")
}

func TestArguments(t *testing.T) {
	h := newHost(t)
	h.program("say", `printf '<%s>' "$@"`)
	h.configure("notifications-command: [" + h.bin + "/say, -v, x]")
	h.refused(`arguments mismatch: configured ["-v", "x"] vs requested ["-v"]`, "-v")
	h.refused("arguments mismatch", "-v", "x", "y")
	h.refused("arguments mismatch")
	_, output, err := h.run("-v", "x")
	require.NoError(t, err)
	assert.Equal(t, "<-v><x>", output)

	h.configure("notifications-command: [" + h.bin + "/say, -v, x, '{args}']")
	h.env["AIFO_NOTIFICATIONS_MAX_ARGS"] = "2"
	_, output, err = h.run("a", "b\nc")
	require.NoError(t, err)
	assert.Equal(t, "<-v><x><a><b\nc>", output)
	h.refused("at most 2", "a", "b", "c")
	h.refused("may not begin with a hyphen", "-o/home/x")
	h.refused("may not begin with a hyphen", "a", "--")
	h.refused("holds a NUL", "a\x00b")
	h.refused("at most 2 of 4096 bytes", strings.Repeat("x", 4097))
}

// TestTimeout: a program has no longer than it may.
func TestTimeout(t *testing.T) {
	h := newHost(t)
	h.env["AIFO_NOTIFICATIONS_TIMEOUT_SECS"] = "1"
	h.program("say", "exec sleep 1000")
	h.configure("notifications-command: " + h.bin + "/say")
	_, _, err := h.run()
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestEnd: a program that ignores TERM, and its child, end all the same. The limit ends the program's context
// as the test does, which knows when both are there.
func TestEnd(t *testing.T) {
	h := newHost(t)
	note := filepath.Join(h.home, "pids")
	h.env["AIFO_NOTIFICATIONS_TIMEOUT_SECS"] = "60"
	h.program("say", "trap '' TERM; sleep 1000 & echo $$ $! > "+note+"; while :; do sleep 1; done")
	h.configure("notifications-command: " + h.bin + "/say")
	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error, 1)
	n := h.notifier()
	go func() {
		_, _, err := n.Run(ctx, "say", nil)
		ended <- err
	}()
	var leader, child int
	require.Eventually(t, func() bool {
		data, _ := os.ReadFile(note)
		_, err := fmt.Sscan(string(data), &leader, &child)
		return err == nil
	}, 30*time.Second, 5*time.Millisecond)
	end()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Eventually(t, func() bool { return gone(leader) && gone(child) }, 10*time.Second, 10*time.Millisecond)
}

// gone reports whether a process has ended; one that nobody has waited for yet has.
func gone(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(data), ") Z ") || syscall.Kill(pid, 0) != nil
}

func TestOutputIsBounded(t *testing.T) {
	h := newHost(t)
	h.program("say", "head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2; exit 5")
	h.configure("notifications-command: " + h.bin + "/say")
	code, output, err := h.run()
	require.NoError(t, err)
	assert.Equal(t, 5, code, "it is not ended for what it writes")
	assert.Len(t, output, 64<<10)
}

// TestOneAtATime: a second notification is refused while one runs, and they are limited.
func TestOneAtATime(t *testing.T) {
	h := newHost(t)
	begun, end := filepath.Join(h.home, "begun"), filepath.Join(h.home, "end")
	h.env["AIFO_NOTIFICATIONS_TIMEOUT_SECS"] = "60"
	h.program("say", "touch "+begun+"; while [ ! -e "+end+" ]; do sleep 0.01; done")
	h.configure("notifications-command: " + h.bin + "/say")
	n := h.notifier()
	first := make(chan error, 1)
	go func() {
		_, _, err := n.Run(t.Context(), "say", nil)
		first <- err
	}()
	require.Eventually(t, func() bool { _, err := os.Stat(begun); return err == nil }, 30*time.Second, 5*time.Millisecond)
	_, _, err := n.Run(t.Context(), "say", nil)
	require.EqualError(t, err, "another notification is running")
	require.NoError(t, os.WriteFile(end, nil, 0o600))
	require.NoError(t, <-first)

	limited := 0
	for range 20 {
		if _, _, err := n.Run(t.Context(), "say", nil); err != nil {
			require.EqualError(t, err, "too many notifications; try again later")
			limited++
		}
	}
	assert.Positive(t, limited)
}

// noSidecars is a session without toolchains.
type noSidecars struct{}

func (noSidecars) Has(string) bool                                      { return false }
func (noSidecars) Ready(context.Context, string) error                  { return nil }
func (noSidecars) Offers(context.Context, string, string) (bool, error) { return false, nil }

// TestHTTP asks as a shim does.
func TestHTTP(t *testing.T) {
	h := newHost(t)
	h.env["AIFO_NOTIFICATIONS_NOAUTH"] = "1" // has no effect
	h.program("say", `echo "said $*"; exit 4`)
	h.configure("notifications-command: [" + h.bin + "/say, '{args}']")
	listener, err := execproxy.ListenTCP("127.0.0.1")
	require.NoError(t, err)
	proxy := execproxy.New(execproxy.Config{Token: "secret", Notify: h.notifier().Run, Sidecars: noSidecars{}})
	served := make(chan error, 1)
	go func() { served <- proxy.Serve(listener) }()
	t.Cleanup(func() {
		assert.NoError(t, proxy.Shutdown(context.Background()))
		<-served
	})
	post := func(token string, form url.Values) (status int, code, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+listener.Addr().String()+"/notify", strings.NewReader(form.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Aifo-Proto", "2")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, resp.Header.Get("X-Exit-Code"), string(data)
	}
	say := url.Values{"cmd": {"say"}, "arg": {"all", "done"}, "cwd": {"/workspace"}}
	status, code, body := post("secret", say)
	assert.Equal(t, []any{200, "4", "said all done\n"}, []any{status, code, body})
	for _, token := range []string{"", "wrong"} {
		status, code, body = post(token, say)
		assert.Equal(t, []any{401, "86"}, []any{status, code}, "%q: %s", token, body)
	}
	status, code, body = post("secret", url.Values{"cmd": {"rm"}})
	assert.Equal(t, []any{403, "86", "only executable basename 'say' is accepted (got 'rm')\n"}, []any{status, code, body})
	status, _, body = post("secret", url.Values{"cmd": {"say"}, "arg": {"-o", "x"}})
	assert.Equal(t, 403, status, body)

	h.program("say", "sleep 60")
	h.env["AIFO_NOTIFICATIONS_TIMEOUT_SECS"] = "1"
	slow := h.notifier()
	_, _, err = slow.Run(t.Context(), "say", nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, os.WriteFile(filepath.Join(h.bin, "say"), []byte("no program"), 0o755))
	status, code, body = post("secret", say)
	assert.Equal(t, []any{500, "86"}, []any{status, code}, body)
}
