//go:build linux

package shim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProgram(t *testing.T) {
	for line, want := range map[string]program{
		"node":                                     {},
		"node app.js --port 1":                     {file: "app.js"},
		"node -r ./hook.js app.js":                 {file: "app.js"},
		"node --require=./hook.js app.js":          {file: "app.js"},
		"node --import ./hook.mjs --no-warnings a": {file: "a"},
		"node --max-old-space-size=4096 app.js":    {file: "app.js"},
		"node -e code file":                        {},
		"node -p 1 file":                           {},
		"node --eval=code":                         {},
		"node -v":                                  {},
		"node --test a.js":                         {},
		"node -- -odd.js x":                        {file: "-odd.js"},
		"node --":                                  {},
		"node -":                                   {},
		"python script.py -m x":                    {file: "script.py"},
		"python3 -u -W ignore script.py":           {file: "script.py"},
		"python3 -Wignore -X dev script.py":        {file: "script.py"},
		"python3.12 -Bu script.py":                 {file: "script.py"},
		"python -m pytest tests":                   {module: "pytest"},
		"python -Im aider.main x":                  {module: "aider"},
		"python -mpip install x":                   {module: "pip"},
		"python -m":                                {},
		"python -c code script.py":                 {},
		"python -uc code":                          {},
		"python --check-hash-based-pycs never a":   {file: "a"},
		"python --version":                         {},
		"python - x":                               {},
		"python -- -s.py":                          {file: "-s.py"},
		"python":                                   {},
		"cargo run app.js":                         {},
		"npm run x":                                {},
	} {
		words := strings.Fields(line)
		if got := (call{tool: words[0], args: words[1:]}).program(); got != want {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// TestWhose has an image with a node of its own, and a workspace with a project.
func TestWhose(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "workspace", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/node", 0o755)
	write("bin/python3", 0o755)
	write("bin/npm", 0o755)
	write("lib/agent/cli.js", 0o644)
	write("tmp/x.py", 0o644)
	write("workspace/app.js", 0o644)
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(filepath.Join(root, target), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("lib/agent/cli.js", "workspace/linked.js")
	link("workspace/app.js", "lib/linked.js")
	t.Setenv("PATH", filepath.Join(root, "bin"))
	t.Setenv("AIFO_AGENT_NAME", "aider")
	ws := filepath.Join(root, "workspace")

	for _, tt := range []struct{ name, line, cwd, want string }{
		{"the project's program", "node app.js", "workspace", "toolchain"},
		{"from below", "node ../app.js", "workspace/sub", "toolchain"},
		{"code", "node -e 1", "workspace", "toolchain"},
		{"nothing", "node", "workspace", "toolchain"},
		{"a module", "python3 -m pytest", "workspace", "toolchain"},
		{"a script of npm", "npm test", "workspace", "toolchain"},
		{"missing program", "node /usr/nowhere.js", "workspace", "toolchain"},
		{"standard input", "python3 /dev/stdin", "workspace", "toolchain"},
		{"the agent itself", "node ROOT/lib/agent/cli.js run", "workspace", "bin/node"},
		{"with options", "node --no-warnings ROOT/lib/agent/cli.js", "workspace", "bin/node"},
		{"through a link", "node linked.js", "workspace", "bin/node"},
		{"a link to the project", "node ROOT/lib/linked.js", "workspace", "toolchain"},
		{"the agent's module", "python3 -m aider --help", "workspace", "bin/python3"},
		{"a plugin's installation", "npm install", "lib/agent", "bin/npm"},
		{"and its scripts", "node install.js", "lib/agent", "bin/node"},
		{"a script in /tmp", "python3 ROOT/tmp/x.py", "workspace", "bin/python3"},
		{"that nobody can run", "python3.12 ROOT/tmp/x.py", "workspace", "error"},
		{"no tool of the image", "cargo build", "lib/agent", "toolchain"}, // which then refuses the directory
	} {
		t.Run(tt.name, func(t *testing.T) {
			words := strings.Fields(strings.ReplaceAll(tt.line, "ROOT", root))
			got, err := call{tool: words[0], args: words[1:], workspace: ws}.whose(filepath.Join(root, tt.cwd))
			switch want := tt.want; {
			case err != nil:
				got = "error"
			case got == "":
				got = "toolchain"
			default:
				got, _ = filepath.Rel(root, got)
				if got != want {
					t.Errorf("%s, want %s", got, want)
				}
				return
			}
			if got != tt.want {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
		})
	}
	named := call{tool: "node", args: []string{filepath.Join(root, "lib/agent/cli.js")}, workspace: ws}
	for _, c := range []call{
		{tool: "node", args: named.args, workspace: ws, kind: "node"},
		{tool: "node", args: named.args, workspace: ws, path: filepath.Join(ws, "node_modules/.bin/node")},
	} {
		if own, err := c.whose(ws); own != "" || err != nil {
			t.Errorf("%+v: %s, %v", c, own, err)
		}
	}
}
