//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	completing = "completing the rust sidecar: rustup component add "
	// offline has rustup find nothing to fetch.
	offline = "RUSTUP_DIST_SERVER=file:///nowhere"
)

// withRust calls f as each user over each transport, with a crate in the workspace.
func withRust(t *testing.T, f func(t *testing.T, c *caller, flags []string)) {
	t.Helper()
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		c.examples("rust-hello")
		f(t, c, append(flags, "--toolchain", officialRust))
	})
}

// TestRustupComponents: what the official image lacks is fetched when it is first
// asked for, once, and told on the standard error of the call.
func TestRustupComponents(t *testing.T) {
	withRust(t, func(t *testing.T, c *caller, flags []string) {
		r := c.script(`
cd rust-hello && rustup component list --installed | grep -c -e clippy -e rustfmt
for i in 1 2 3 4; do cargo clippy -- -D warnings 2>../err.$i && echo clean & done; wait
cargo clippy && echo 'fn main( ) { }' >src/main.rs && cargo fmt && cat src/main.rs
rustup component list --installed | grep -c -e clippy -e rustfmt
`, flags...)
		require.Equal(t, 0, r.code)
		require.Equal(t, "0\n"+strings.Repeat("clean\n", 4)+"fn main() {}\n2\n", r.stdout)
		told := ""
		for i := range 4 {
			told += c.read(fmt.Sprintf("err.%d", i+1))
		}
		require.Equal(t, 1, strings.Count(told, "aifo-shim: "+completing+"clippy\n"))
		require.Equal(t, 1, strings.Count(r.stderr, completing))
		require.Equal(t, 1, strings.Count(r.stderr, completing+"rustfmt"))
		c.requireOwned(c.workspace)
	})
}

// TestRustupWithoutNetwork: the call fails, says why, and a later one tries again.
func TestRustupWithoutNetwork(t *testing.T) {
	withRust(t, func(t *testing.T, c *caller, flags []string) {
		r := c.script("cd rust-hello; "+offline+` cargo clippy; echo "exit $?"; cargo clippy && echo clean`, flags...)
		require.Equal(t, "exit 86\nclean\n", r.stdout)
		require.Contains(t, r.stderr, "rustup component add clippy: exit code 1: ")
		require.Equal(t, 2, strings.Count(r.stderr, completing+"clippy\n"))
	})
}

// TestNextest cannot be fetched compiled; what to do is told.
func TestNextest(t *testing.T) {
	r := self(t).script(`cargo nextest run; echo "exit $?"`, "--toolchain", officialRust)
	require.Equal(t, "exit 101\n", r.stdout)
	require.Contains(t, r.stderr, "cargo install --locked cargo-nextest")
}

// TestRustupDirectly is the same without an agent.
func TestRustupDirectly(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		direct := []string{"toolchain", officialRust, "--", "cargo"}
		c.project(map[string]string{"Cargo.toml": "[package]\nname = \"tiny\"\n", "src/main.rs": "fn main( ) { }\n"})
		r := c.run("", append(direct, "fmt")...)
		require.Equal(t, 0, r.code)
		require.Contains(t, r.stderr, completing+"rustfmt")
		require.Equal(t, "fn main() {}\n", c.read("src/main.rs"))
		c.env = append(c.env, offline)
		r = c.run("", append(direct, "clippy")...)
		require.Equal(t, 125, r.code)
		require.Equal(t, 1, strings.Count(r.stderr, "could not download file"))
	})
}
