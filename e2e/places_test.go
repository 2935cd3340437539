//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// placesScript meets the tools of a sidecar in every way but by their names, and
// prints a line for each.
const placesScript = `
python3 -m venv .venv
echo "venv $(.venv/bin/python -c 'import sys; print(sys.prefix)')"
echo "script $(.venv/bin/pip --version | cut -d' ' -f1,4)"
echo "active $(. .venv/bin/activate; command -v python) $(. .venv/bin/activate; python -c 'import sys; print(sys.prefix)')"
(. .venv/bin/activate; echo "child $(python -c 'import os,subprocess; print(subprocess.run(["which","python"],capture_output=True,text=True).stdout.strip())')")
echo "system $(/usr/bin/python3 -c 'import sys; print(sys.prefix)')"
echo "go $(/usr/local/go/bin/go version | cut -d' ' -f1,2)"
echo "cargo $(/usr/local/cargo/bin/cargo --version | cut -d' ' -f1)"
printf '#!/usr/bin/python3\nimport sys\nprint(sys.argv[1:])\n' > by-place; printf '#!/usr/bin/env node\nconsole.log(process.argv.slice(2))\n' > by-env
printf '#!/workspace/.venv/bin/python\nimport sys\nprint(sys.prefix)\n' > by-venv; chmod +x by-*
echo "place $(./by-place 'a b')"
echo "env $(./by-env 'a b')"
echo "shebang $(./by-venv)"
ln -s /usr/bin/python3 'my python'; echo "link $('./my python' -c 'import sys; print(sys.prefix)')"
echo "env-i $(env -i PATH=/usr/bin AIFO_TOOLEEXEC_URL="$AIFO_TOOLEEXEC_URL" AIFO_TOOLEEXEC_TOKEN="$AIFO_TOOLEEXEC_TOKEN" python3 -c 'print(1)')"
`

// TestToolsByTheirPlaces: what refers to a place of the sidecar works in the
// agent's container, which has nothing there.
func TestToolsByTheirPlaces(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		r := c.script(placesScript, append(flags, toolchains("rust", "node", "python", "go")...)...)
		require.Equal(t, 0, r.code)
		require.Equal(t, `venv /workspace/.venv
script pip /workspace/.venv/lib/python3.11/site-packages/pip
active /workspace/.venv/bin/python /workspace/.venv
child /workspace/.venv/bin/python
system /usr
go go version
cargo cargo
place ['a b']
env [ 'a b' ]
shebang /workspace/.venv
link /usr
env-i 1
`, r.stdout)
		c.requireOwned(c.workspace)
	})
}

// overEach runs f for each transport, as ourselves.
func overEach(t *testing.T, f func(t *testing.T, c *caller, flags []string)) {
	t.Helper()
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) { f(t, self(t), flags) })
	}
}

func TestAifoRun(t *testing.T) {
	overEach(t, func(t *testing.T, c *caller, flags []string) {
		c.examples("rust-hello")
		r := c.script(`
cargo build -q --manifest-path rust-hello/Cargo.toml
cd rust-hello/target/debug
echo "by path $(aifo-run rust ./rust-hello | wc -l) $?"
echo "by name $(aifo-run rust head -c 3 /dev/zero | wc -c)"
echo "input $(echo hello | aifo-run rust cat)"
FOO=bar aifo-run rust sh -c 'echo "env $FOO in $PWD"; exit 7'; echo "code $?"
aifo-run rust ./nothing; echo "missing $?"
aifo-run node true; echo "no sidecar $?"
aifo-run rust; echo "usage $?"
aifo-run rust -- printf '%s\n' --; aifo-run --help | head -n 1; aifo-tools -h | head -n 1
`, append(flags, toolchains("rust")...)...)
		require.Equal(t, 0, r.code)
		require.Equal(t, "by path 1 0\nby name 3\ninput hello\nenv bar in /workspace/rust-hello/target/debug\ncode 7\nmissing 127\nno sidecar 86\nusage 2\n--\nusage: aifo-run KIND PROGRAM [ARG...]\nusage: aifo-tools [--json]\n", r.stdout)
		require.Contains(t, r.stderr, `this session has no toolchain "node"; it has rust`)
	})
}

func TestAifoTools(t *testing.T) {
	overEach(t, func(t *testing.T, c *caller, flags []string) {
		r := c.script(`python3 -m venv .venv; aifo-tools --json`, append(flags, toolchains("python", "c-cpp", "rust")...)...)
		require.Equal(t, 0, r.code)
		var found []struct {
			Kind, Image string
			Tools       []struct{ Name, Path, Version string }
		}
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &found))
		got := map[string]string{}
		for _, k := range found {
			for _, tool := range k.Tools {
				require.NotContains(t, got, tool.Name, "each tool once")
				got[tool.Name] = k.Kind + " " + tool.Path
				if tool.Name == "cargo" {
					require.True(t, strings.HasPrefix(tool.Version, "cargo 1."), tool.Version)
				}
			}
		}
		require.Equal(t, "python /workspace/.venv/bin/python3", got["python3"])
		require.Equal(t, "rust /usr/bin/cargo", got["cargo"])
		require.Equal(t, "c-cpp /usr/bin/make", got["make"], "rust has one as well, which no call would get")
		table := c.run("", append(toolchains("rust"), "shell", "--", "aifo-tools")...)
		require.Equal(t, 0, table.code)
		require.Regexp(t, `(?m)^rust +cargo +/usr/bin/cargo +cargo 1\.`, table.stdout)
	})
}

// TestAgentsOwnInterpreter has an agent that is a program for node, in an image
// with a node of its own, and a project that is one as well.
func TestAgentsOwnInterpreter(t *testing.T) {
	const image = "aifo-test-own-interpreter:latest"
	c := self(t)
	context := t.TempDir()
	files := map[string]string{
		"Dockerfile": `FROM aifo-coder-shell:latest
COPY --chmod=755 node /usr/local/bin/node
COPY --chmod=755 agent.js /usr/local/lib/agent/cli.js
COPY agent.js /usr/local/lib/agent/plugin/install.js
RUN ln -s ../lib/agent/cli.js /usr/local/bin/agent
`,
		"node":     "#!/bin/sh\necho \"own node: $*\"\n",
		"agent.js": "#!/usr/bin/env node\n",
	}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(context, name), []byte(strings.ReplaceAll(text, "--chmod=755 ", "")), 0o755))
	}
	build := exec.Command("docker", "build", "--quiet", "--force-rm", "--tag", image, context)
	build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() { docker(t, "rmi", "--force", image) })
	c.examples("node-hello")
	r := c.script(`
echo "agent: $(agent start)"
echo "plugin: $(cd /usr/local/lib/agent/plugin && node install.js)"
echo "project: $(cd node-hello && node -p '"sidecar " + process.version.length')"
echo 'console.log("project file")' > x.js; echo "file: $(node x.js)"; echo "elsewhere: $(cd / && node /workspace/x.js 2>&1)"
`, append(toolchains("node"), "--image", image)...)
	require.Equal(t, 0, r.code)
	lines := strings.Split(r.stdout, "\n")
	require.Equal(t, "agent: own node: /usr/local/bin/agent start", lines[0])
	require.Equal(t, "plugin: own node: install.js", lines[1])
	require.Regexp(t, `^project: sidecar [78]$`, lines[2])
	require.Equal(t, "file: project file", lines[3])
	require.Contains(t, lines[4], "outside /workspace")
}
