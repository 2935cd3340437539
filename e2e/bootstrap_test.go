package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The stand-ins for rustup and cargo behave as those of the official images do:
// anybody may add components, a subcommand without its component fails. The
// workspace says whether there is a network, and is told what was fetched.
const (
	rustupProgram = `#!/bin/sh
case "$*" in
"which cargo-"*) test -e "$RUSTUP_HOME/$2" ;;
"component add "*)
	if [ -e /workspace/offline ]; then echo "error: could not download file" >&2; exit 1; fi
	echo "$3" >> /workspace/fetched
	touch "$RUSTUP_HOME/cargo-$3" "$RUSTUP_HOME/cargo-${3#rust}" ;;
*) echo "rustup: $*?" >&2; exit 2 ;;
esac
`
	cargoProgram = `#!/bin/sh
if [ -e "$RUSTUP_HOME/cargo-$1" ]; then echo "ran $1"; exit 0; fi
echo "error: cargo-$1 is not installed" >&2
exit 101
`
	rustupDockerfile = `FROM debian:bookworm-slim
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY rustup cargo /usr/local/cargo/bin/
RUN mkdir -m 1777 /usr/local/rustup
`
)

// rustupImage builds an image like the official ones of rust and returns its
// name. The image goes with the test.
func rustupImage(t *testing.T) string {
	t.Helper()
	if skip != "" {
		t.Skip(skip)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"rustup": rustupProgram, "cargo": cargoProgram, "Dockerfile": rustupDockerfile} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	image := fmt.Sprintf("aifo-test-rustup-%d:e2e", os.Getpid())
	docker(t, "build", "--quiet", "--tag", image, dir)
	t.Cleanup(func() {
		out, err := exec.Command("docker", "image", "rm", image).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
	return image
}

const completing = "completing the rust sidecar: rustup component add "

// TestRustupComponents: what the official image lacks is fetched when it is first
// asked for, once, and told on the standard error of the call.
func TestRustupComponents(t *testing.T) {
	image := rustupImage(t)
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		flags = append(flags, "--toolchain", "rust="+image)
		r := c.script(`
for i in 1 2 3 4; do cargo clippy 2>err.$i & done; wait
cargo clippy
cargo fmt
cargo build 2>/dev/null || echo "build $?"
`, flags...)
		require.Equal(t, 0, r.code)
		require.Equal(t, strings.Repeat("ran clippy\n", 5)+"ran fmt\nbuild 101\n", r.stdout)
		require.Equal(t, "clippy\nrustfmt\n", c.read("fetched"))
		told := ""
		for i := range 4 {
			told += c.read(fmt.Sprintf("err.%d", i+1))
		}
		require.Equal(t, "aifo-shim: "+completing+"clippy\n", told)
		require.Equal(t, 1, strings.Count(r.stderr, completing+"rustfmt"))
	})
}

// TestRustupWithoutNetwork: the call fails, says why, and a later one tries again.
func TestRustupWithoutNetwork(t *testing.T) {
	image := rustupImage(t)
	c := self(t)
	c.write("offline", "")
	r := c.script(`cargo clippy; echo "exit $?"; rm offline; cargo clippy`, "--toolchain", "rust="+image)
	require.Equal(t, "exit 86\nran clippy\n", r.stdout)
	require.Contains(t, r.stderr, "rustup component add clippy: exit code 1: error: could not download file")
}

// TestNextest cannot be fetched compiled; what to do is told.
func TestNextest(t *testing.T) {
	image := rustupImage(t)
	r := self(t).script(`cargo nextest run; echo "exit $?"`, "--toolchain", "rust="+image)
	require.Equal(t, "exit 101\n", r.stdout)
	require.Contains(t, r.stderr, "cargo install --locked cargo-nextest")
}

// TestRustupDirectly is the same without an agent.
func TestRustupDirectly(t *testing.T) {
	image := rustupImage(t)
	callers(t, func(t *testing.T, c *caller) {
		r := c.run("", "toolchain", "rust="+image, "--", "cargo", "fmt")
		require.Equal(t, "ran fmt\n", r.stdout)
		require.Contains(t, r.stderr, completing+"rustfmt")
		c.write("offline", "")
		r = c.run("", "toolchain", "rust="+image, "--", "cargo", "clippy")
		require.Equal(t, 125, r.code)
		require.Equal(t, 1, strings.Count(r.stderr, "could not download file"))
		c.own(c.workspace)
	})
}
