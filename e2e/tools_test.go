//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// transports are the flags of each way to the proxy.
var transports = map[string][]string{
	"tcp":  nil,
	"unix": {"--toolchain-unix-socket"},
}

// everyTransport runs f for each caller and each transport.
func everyTransport(t *testing.T, f func(t *testing.T, c *caller, flags []string)) {
	t.Helper()
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) {
			callers(t, func(t *testing.T, c *caller) { f(t, c, flags) })
		})
	}
}

func toolchains(kinds ...string) []string {
	var flags []string
	for _, k := range kinds {
		flags = append(flags, "--toolchain", k)
	}
	return flags
}

// toolScript runs the real tools of all five toolchains from the agent's
// container and prints the exit code of each.
const toolScript = `
run() { name=$1; shift; ( "$@" ); echo "RESULT $name $?"; }
run cargo-build  sh -c 'cd rust-hello && cargo build'
run cargo-test   sh -c 'cd rust-hello && cargo test'
run npm          npm --version
run npm-test     sh -c 'cd node-hello && npm test'
run pip          python -m pip --version
run unittest     sh -c 'cd python-hello && python -m unittest'
run cmake        sh -c 'cd cpp-hello && cmake -S . -B build && cmake --build build'
run go-build     sh -c 'cd go-hello && go build -o hello .'
run go-test      sh -c 'cd go-hello && go test ./...'
run cargo-fails  cargo no-such-subcommand
run python-three python -c 'import sys; sys.exit(3)'
run make-two     make no-such-target
run gcc          sh -c 'echo "int main(void){return 0;}" > a.c && gcc a.c -o a.out'
`

func TestToolsOfEveryToolchain(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		c.examples("rust-hello", "node-hello", "python-hello", "cpp-hello", "go-hello")
		r := c.script(toolScript, append(flags, toolchains("rust", "node", "python", "c-cpp", "go")...)...)
		require.Equal(t, 0, r.code)
		want := map[string]int{
			"cargo-build": 0, "cargo-test": 0, "npm": 0, "npm-test": 0, "pip": 0, "unittest": 0, "cmake": 0, "go-build": 0, "go-test": 0,
			"cargo-fails": 101, "python-three": 3, "make-two": 2, "gcc": 0,
		}
		require.Equal(t, want, results(t, r.stdout))
		for _, file := range []string{"rust-hello/target/debug/rust-hello", "cpp-hello/build/cpp-hello", "go-hello/hello", "a.out"} {
			require.FileExists(t, filepath.Join(c.workspace, file))
		}
		c.requireOwned(c.workspace)
		c.requireOwned(c.home)
	})
}

func results(t *testing.T, stdout string) map[string]int {
	t.Helper()
	got := map[string]int{}
	for line := range strings.Lines(stdout) {
		var name string
		var code int
		if n, _ := fmt.Sscanf(line, "RESULT %s %d", &name, &code); n == 2 {
			got[name] = code
		}
	}
	return got
}

// TestAgentContainer checks what an agent finds: its user, home, git, PATH.
func TestAgentContainer(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		r := c.script(`
set -e
echo "ids $(id -u):$(id -g)"
test "$(getent passwd "$(id -u)" | cut -d: -f3)" = "$(id -u)"
test "$HOME" = /home/coder; touch ~/x; mkdir -p ~/.config/y ~/.cache/z
git init -q repo; cd repo; echo hi > f; git add f; git commit -qm first
git log --format='author %an <%ae>'
echo "login $(bash -lc 'command -v cargo')"
echo "plain $(command -v cargo)"
echo "sh $(sh -lc 'command -v cargo')"
grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status
test ! -e /var/run/docker.sock
`, toolchains("rust")...)
		require.Equal(t, 0, r.code)
		require.Contains(t, r.stdout, fmt.Sprintf("ids %d:%d\n", c.uid, c.gid))
		require.Contains(t, r.stdout, "author Ann Example <ann@example.org>\n")
		for _, how := range []string{"login", "plain", "sh"} {
			require.Contains(t, r.stdout, how+" /opt/aifo/bin/cargo\n")
		}
		require.Contains(t, r.stdout, "NoNewPrivs:\t1\n")
		if c.uid != 0 {
			require.Contains(t, r.stdout, "CapEff:\t0000000000000000\n")
			require.Contains(t, r.stdout, "CapBnd:\t0000000000000000\n")
		}
		c.requireOwned(c.workspace)
	})
}

// cacheScript prints where each tool keeps its cache, whether an earlier session
// left a mark there, and leaves one. Only the sidecars see the caches, so a tool
// has to look.
const cacheScript = `
mark='import os,sys; p=os.path.join(sys.argv[1],"e2e-mark"); print("found", os.path.exists(p)); open(p,"w").close()'
echo "npm $(npm config get cache)"
echo "go $(go env GOPATH) $(go env GOCACHE)"
echo "pip $(python -m pip cache dir)"
python -c "$mark" "$(python -m pip cache dir)"
`

// TestCaches checks that a session finds what an earlier one of the same caller
// cached, that root and an ordinary user have directories of their own, and
// that a session without caches has none.
func TestCaches(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		flags := toolchains("node", "python", "go")
		pip := fmt.Sprintf("/var/cache/aifo/pip-cache/%d", c.uid)
		defer c.run("", "toolchain", "python", "--", "rm", "-f", pip+"/e2e-mark")
		where := fmt.Sprintf("npm /var/cache/aifo/npm-cache/%[1]d\ngo /var/cache/aifo/go/%[1]d /var/cache/aifo/go/%[1]d/build-cache\npip %[2]s\n", c.uid, pip)
		require.Equal(t, where+"found False\n", c.script(cacheScript, flags...).stdout)
		require.Equal(t, where+"found True\n", c.script(cacheScript, flags...).stdout)
		without := c.script(`python -c 'import os; print(os.path.exists("/var/cache/aifo"))'`, append(flags, "--no-toolchain-cache")...)
		require.Equal(t, "False\n", without.stdout)
	})
}

func TestToolchainCPP(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		c.examples("cpp-hello")
		r := c.run("", "toolchain", "c-cpp", "--", "sh", "-c", "cmake -S cpp-hello -B build && cmake --build build && ctest --test-dir build")
		require.Equal(t, 0, r.code)
		require.FileExists(t, filepath.Join(c.workspace, "build", "cpp-hello"))
		c.requireOwned(c.workspace)
	})
}

// TestToolchainCommand checks the streams and the exit code of the subcommand
// that runs a tool without an agent.
func TestToolchainCommand(t *testing.T) {
	c := self(t)
	r := c.run("from stdin", "toolchain", "python", "--", "python", "-c",
		`import sys; print("out", sys.stdin.read()); print("err", file=sys.stderr); sys.exit(5)`)
	require.Equal(t, result{stdout: "out from stdin\n", stderr: "err\n", code: 5}, r)
	r = c.run("", "toolchain", "rust", "--", "no-such-tool")
	require.Equal(t, 127, r.code)
	require.Contains(t, r.stderr, "no-such-tool")
}

// TestGuide runs the commands of the toolchains guide, as written. The agent's
// image stands in: the guide's agent need not be built to run a tool.
func TestGuide(t *testing.T) {
	c := self(t)
	c.env = append(c.env, "AIFO_CODER_IMAGE=aifo-coder-shell:latest")
	for _, command := range []string{
		"--toolchain rust aider -- cargo --version",
		"--toolchain node aider -- npx --version",
		"--toolchain python aider -- python -m pip --version",
		"--toolchain c-cpp aider -- cmake --version",
		"--toolchain rust --toolchain-unix-socket aider -- cargo --version",
		"toolchain rust -- cargo --version",
		"toolchain node -- npx --version",
		"toolchain python -- python -m pip --version",
		"toolchain c-cpp -- cmake --version",
	} {
		t.Run(command, func(t *testing.T) {
			c := c.with(t)
			r := c.run("", strings.Fields(command)...)
			require.Equal(t, 0, r.code)
			require.Regexp(t, `\d+\.\d+`, r.stdout)
		})
	}
}

// TestOddPaths uses directories with awkward names as the workspace, and
// awkward arguments.
func TestOddPaths(t *testing.T) {
	c := self(t)
	base := c.workspace
	for _, name := range []string{"with space", "com,ma", "co:lon", `quo"te's`, "-dash", "ünï-日本", "equal=sign", "dollar$(x)`y`"} {
		t.Run(name, func(t *testing.T) {
			c := c.with(t)
			c.workspace = filepath.Join(base, name)
			require.NoError(t, os.MkdirAll(filepath.Join(c.workspace, "sub dir,x"), 0o755))
			require.NoError(t, os.Mkdir(filepath.Join(c.workspace, ".git"), 0o755))
			arg := name + "\n\té\xff"
			require.NoError(t, os.WriteFile(filepath.Join(c.workspace, "arg"), []byte(arg), 0o644))
			top := c.workspace
			c.workspace = filepath.Join(top, "sub dir,x")
			r := c.script(`pwd; python -c 'import os,sys; print(os.getcwd()); open("got","wb").write(os.fsencode(sys.argv[1]))' "$(cat ../arg)"`, "--toolchain", "python")
			require.Equal(t, 0, r.code)
			require.Equal(t, "/workspace/sub dir,x\n/workspace/sub dir,x\n", r.stdout)
			got, err := os.ReadFile(filepath.Join(c.workspace, "got"))
			require.NoError(t, err)
			require.Equal(t, arg, string(got))
			c.workspace = top
			c.requireNothingLeft()
		})
	}
}
