//go:build linux

package shim

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

func TestCalled(t *testing.T) {
	for _, tt := range []struct{ argv0, filename, tool, path string }{
		{"cargo", "/opt/aifo/bin/cargo", "cargo", ""},
		{"/opt/aifo/bin/cargo", "/opt/aifo/bin/cargo", "cargo", ""},
		{"cargo", "", "cargo", ""},
		{"/usr/local/go/bin/go", "/usr/local/go/bin/go", "go", "/usr/local/go/bin/go"},
		{"python", "/usr/bin/python", "python", ""}, // PATH was reset: by its name all the same
		{"python", "/workspace/.venv/bin/python", "python", "/workspace/.venv/bin/python"},
		{".venv/bin/python", "/workspace/.venv/bin/python", "python", ".venv/bin/python"},
		{"/usr/bin/python3", "/workspace/script.py", "python3", "/usr/bin/python3"}, // its first line
		{"node", "/workspace/tool.js", "node", ""},
	} {
		if tool, path := called(tt.argv0, tt.filename, execproto.Workspace); tool != tt.tool || path != tt.path {
			t.Errorf("%q of %q: %q, %q", tt.argv0, tt.filename, tool, path)
		}
	}
}

// TestLinkedTool: a link of any name in the workspace is the tool that it leads to.
func TestLinkedTool(t *testing.T) {
	dir := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("aifo-shim", "python3")
	link("python3", "mine")
	link(filepath.Join(dir, "mine"), "yours")
	link("loop", "loop")
	link("nowhere", "dangling")
	for name, want := range map[string]string{"python3": "python3", "mine": "python3", "yours": "python3", "loop": "loop", "dangling": "dangling", "none": "none"} {
		if tool, _ := called(filepath.Join(dir, name), "", execproto.Workspace); tool != want {
			t.Errorf("%s: %s", name, tool)
		}
	}
}

// TestExecFilename has the kernel tell what it executed, which argv[0] does not.
func TestExecFilename(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "a link with a space")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(link)
	cmd.Args = []string{"other"}
	cmd.Env = []string{envFilename + "=1"}
	out, err := cmd.Output()
	if err != nil || string(out) != link {
		t.Errorf("%q, %v", out, err)
	}
}
