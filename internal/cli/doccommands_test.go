//go:build linux

package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// ran are the programs of others that the documents' commands, or ours, run for real.
var ran = []string{"git", "mkdir", "sh", "true"}

// pretended are those that only look as if: they would change the machine, or are in containers only.
var pretended = []string{"aifo-run", "apt-get", "cargo", "docker", "podman", "sudo"}

// others are lines that end with another code than 0 here, and why that is right.
var others = map[string]int{
	"aifo-coder fork attach": 1, // the panes of the test are in no terminal
	"aifo-coder trust":       1, // there is nobody to ask
}

// docImages are the images that are present.
var docImages = strings.Join([]string{
	"aifo-coder-aider:latest", "aifo-coder-codex:latest", "aifo-coder-opencode:latest", "aifo-coder-shell:latest",
	"aifo-coder-toolchain-rust:latest", "aifo-coder-toolchain-node:latest", "aifo-coder-toolchain-python:latest",
	"aifo-coder-toolchain-go:latest", "aifo-cpp-toolchain:latest",
	"rust:1.80-slim", "node:20-bookworm-slim", "node:22-bookworm", "golang:1.22-bookworm", "maven:3.9-eclipse-temurin-21",
}, " ")

// TestDocumentedCommands runs every command of the documents as it is written, against the fake engine. The lines
// of a block run in order and on one machine, for they build on one another, but each in the project itself.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	for _, tool := range append([]string{"bash", "make"}, ran...) {
		requireProgram(t, tool)
	}
	for _, b := range documentedBlocks(t) {
		if len(b.commands()) == 0 {
			continue
		}
		dir := t.TempDir() // that of a subtest is too long for sockets
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			m := newDocMachine(t, dir, b)
			for _, c := range b.commands() {
				t.Run(c.String(), func(t *testing.T) { m.run(t, c) })
			}
		})
	}
}

// TestDocumentedTargets: make knows the targets that the prose of the documents names.
func TestDocumentedTargets(t *testing.T) {
	t.Parallel()
	requireProgram(t, "make")
	for file, targets := range documentedTargets(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			var missing bytes.Buffer
			cmd := exec.Command("make", append([]string{"--dry-run", "--keep-going", "--directory", repository}, targets...)...)
			cmd.Stderr = &missing
			require.NoError(t, cmd.Run(), "%s", &missing)
		})
	}
}

// requireProgram skips the test without the program; where all tests must run it fails.
func requireProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	} else if os.Getenv("AIFO_TEST_DOCKER") == "require" {
		t.Fatal(err)
	} else {
		t.Skip(err)
	}
}

// docMachine is a host as the documents have it: a project, and what their prose says is there.
type docMachine struct {
	*world
	bin string // a PATH with what the lines may run
}

func newDocMachine(t *testing.T, dir string, b docBlock) docMachine {
	t.Helper()
	m := docMachine{world: newWorldIn(t, dir), bin: t.TempDir()}
	for _, name := range append([]string{"aifo-coder", "docker", "podman"}, ran...) {
		require.NoError(t, link(name, m.bin))
	}
	m.makeProject(t)
	if strings.Contains(b.text(), "aifo-coder exec") {
		m.startSession(t)
	}
	return m
}

// makeProject makes the files, and has the workspace be a repository with a commit.
func (m docMachine) makeProject(t *testing.T) {
	t.Helper()
	files, err := txtar.ParseFile("testdata/docs/machine.txtar")
	require.NoError(t, err)
	require.NoError(t, txtar.Write(files, m.dir))
	java, err := os.ReadFile(filepath.Join(repository, "examples/toolchains/java.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(m.dir, "src/java.yaml"), java, 0o600))
	m.git(t, "init", "--quiet", "--initial-branch=main")
	m.git(t, "-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "--quiet", "--allow-empty", "--message=first")
}

func (m docMachine) git(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = filepath.Join(m.dir, "src"), m.environ(t)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%q: %s", args, output)
}

// startSession starts the one that "aifo-coder exec" and its like work with.
func (m docMachine) startSession(t *testing.T) {
	t.Helper()
	m.running()
	m.awaitContainer("aifo-tc-rust-lives")
}

// run runs the line and wants the exit code of success, or the one that it is known for.
func (m docMachine) run(t *testing.T, c docCommand) {
	var output bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "--noprofile", "--norc", "-c", fmt.Sprintf(". %q\n%s", prelude(t), c.line))
	cmd.Dir, cmd.Env = filepath.Join(m.dir, "src"), m.environ(t)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with what it has started
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	if got, want := cmd.ProcessState.ExitCode(), others[c.bare()]; got != want {
		t.Errorf("%s: exit code %d, want %d: %s\n%s", c, got, want, c.line, &output)
	}
}

func prelude(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("testdata/docs/prelude.bash")
	require.NoError(t, err)
	return path
}

func (m docMachine) environ(t *testing.T) []string {
	t.Helper()
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	env := environment(m.dir, filepath.Join(m.dir, "docker"))
	env["FAKE_DOCKER_IMAGES"] = docImages
	for name, value := range map[string]string{
		"PATH": m.bin, "HOST_PATH": os.Getenv("PATH"), "REPOSITORY": root, "PRETENDED": strings.Join(pretended, " "),
		"EDITOR": "true", "AIFO_API_KEY": "key", "OPENAI_API_KEY": "key", "GH_TOKEN": "token", "RUST_LOG": "debug",
		"HTTPS_PROXY": "http://127.0.0.1:1", // doctor asks nothing of the network
	} {
		env[name] = value
	}
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}
