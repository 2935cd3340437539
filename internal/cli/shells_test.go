//go:build linux

package cli_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// shellCase is a shell, and what it reads at its start to complete for us.
type shellCase struct {
	name  string
	needs []string // files
	argv  func(dir string) []string
	rc    string // of the shell, its prompt the last thing in it
}

const bashCompletionScript = "/usr/share/bash-completion/bash_completion"

var shells = []shellCase{
	{
		name: "bash", needs: []string{bashCompletionScript},
		argv: func(dir string) []string {
			return []string{"bash", "--noprofile", "--rcfile", filepath.Join(dir, "rc"), "-i"}
		},
		rc: "bind 'set enable-bracketed-paste off'\nsource " + bashCompletionScript + "\nsource <(aifo-coder completion bash)\nPS1='RE''ADY> '\n",
	},
	{
		name: "zsh",
		argv: func(string) []string { return []string{"zsh", "-d", "-i"} },
		rc:   "bindkey -e\nautoload -U compinit; compinit -u -D\nsource <(aifo-coder completion zsh)\nPS1='READY> '\n",
	},
	{
		name: "fish",
		argv: func(dir string) []string {
			return []string{"fish", "--no-config", "-i", "-C", "source " + filepath.Join(dir, "rc")}
		},
		rc: "aifo-coder completion fish | source\nfunction fish_prompt; echo -n 'READY> '; end\nfunction fish_right_prompt; end\n",
	},
}

// require skips the test without the shell; where all tests must run it fails.
func (s shellCase) require(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath(s.name)
	for _, file := range s.needs {
		if err == nil {
			_, err = os.Stat(file)
		}
	}
	if err == nil {
		return
	}
	if os.Getenv("AIFO_TEST_DOCKER") == "require" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// TestCompletionInShells presses the tab key in real shells on a terminal. The line that comes of it is
// run by printf, so that each word is seen as the shell has it.
func TestCompletionInShells(t *testing.T) {
	for _, s := range shells {
		t.Run(s.name, func(t *testing.T) {
			s.require(t)
			p := s.start(t)
			for typed, want := range map[string]string{
				"aifo-coder aide":                          "<aifo-coder><aider>",
				"aifo-coder --toolchain ru":                "<aifo-coder><--toolchain><rust>",
				"aifo-coder --toolchain rust@1.7":          "<aifo-coder><--toolchain><rust@1.79>",
				"aifo-coder --toolchain=rust@1.7":          "<aifo-coder><--toolchain=rust@1.79>",
				"aifo-coder --network-policy allow":        "<aifo-coder><--network-policy><allowlist>",
				"aifo-coder --image aifo-coder-aid":        "<aifo-coder><--image><aifo-coder-aider:latest>",
				"aifo-coder --image aifo-coder-aider:la":   "<aifo-coder><--image><aifo-coder-aider:latest>",
				"aifo-coder --toolchain rust=aifo-coder-a": "<aifo-coder><--toolchain><rust=aifo-coder-aider:latest>",
				"aifo-coder --toolchain rust@1.7=aifo":     "<aifo-coder><--toolchain><rust@1.7=aifo-coder-aider:latest>",
				"aifo-coder --toolchain-image rust=rust:1": "<aifo-coder><--toolchain-image><rust=rust:1.79-slim>",
				"aifo-coder fork mer":                      "<aifo-coder><fork><merge>",
				"aifo-coder config show --js":              "<aifo-coder><config><show><--json>",
				"aifo-coder toolchain rust -- carg":        "<aifo-coder><toolchain><rust><--><cargo",
				"aifo-coder --dry-run --profile none she":  "<aifo-coder><--dry-run><--profile><none><shell>",
			} {
				p.completes(typed, want)
			}
		})
	}
}

// prompt is a shell on a terminal.
type prompt struct {
	t      *testing.T
	name   string
	master *os.File
	output chan []byte
	shown  bytes.Buffer
}

func (s shellCase) start(t *testing.T) *prompt {
	t.Helper()
	w := newWorld(t)
	rc := map[string]string{"zsh": ".zshrc"}[s.name]
	if rc == "" {
		rc = "rc"
	}
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, rc), []byte(s.rc), 0o600))
	argv := s.argv(w.dir)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = filepath.Join(w.dir, "src")
	env := environment(w.dir, filepath.Join(w.dir, "docker"))
	env["FAKE_DOCKER_IMAGES"] = "rust:1.79-slim aifo-coder-aider:latest"
	env["TERM"], env["PATH"], env["ZDOTDIR"], env["LC_ALL"] = "xterm", os.Getenv("PATH"), w.dir, "C.UTF-8"
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 200})
	require.NoError(t, err)
	p := &prompt{t: t, name: s.name, master: master, output: make(chan []byte)}
	done := make(chan struct{})
	go func() {
		defer close(p.output)
		for {
			b := make([]byte, 4096)
			n, err := master.Read(b)
			if err != nil {
				return
			}
			select {
			case p.output <- b[:n]:
			case <-done:
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		_ = master.Close()
	})
	p.wait("READY> ")
	return p
}

// wait reads until the shell has shown the text.
func (p *prompt) wait(text string) {
	p.t.Helper()
	deadline := time.After(patience)
	for !bytes.Contains(p.shown.Bytes(), []byte(text)) {
		select {
		case b, ok := <-p.output:
			if !ok {
				p.t.Fatalf("%s has ended; it has shown:\n%q", p.name, p.shown.String())
			}
			p.shown.Write(b)
		case <-deadline:
			p.t.Fatalf("%s does not show %q, but:\n%q", p.name, text, p.shown.String())
		}
	}
	_, after, _ := bytes.Cut(bytes.Clone(p.shown.Bytes()), []byte(text))
	p.shown.Reset()
	p.shown.Write(after)
}

// completes types, presses tab, and wants the words.
func (p *prompt) completes(typed, want string) {
	p.t.Helper()
	const home, end = "\x01", "\x05"
	_, err := io.WriteString(p.master, typed+"\t"+home+"printf '<%s>' "+end+"\r")
	require.NoError(p.t, err)
	p.wait(want)
	p.wait("READY> ")
}
