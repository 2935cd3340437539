//go:build linux

package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// officialRust is the argument that attaches an image like the official one of rust.
const officialRust = "rust=aifo-test-rust:1.80-slim"

// officialFlags attach images that have the layout of the official ones: no curl,
// no more shell than /bin/sh, tools in places of their own, a HOME that is root's.
var officialFlags = []string{
	"--toolchain", officialRust, "--toolchain", "node=aifo-test-node:20-bookworm-slim",
	"--toolchain", "python=aifo-test-python:3.12-slim", "--toolchain", "go=aifo-test-golang:1.22-bookworm",
}

const officialScript = `
run() { name=$1; shift; ( "$@" ); echo "RESULT $name $?"; }
run cargo-test   sh -c 'cd rust-hello && cargo test'
run cargo-place  /usr/local/cargo/bin/cargo --version
run npm-test     sh -c 'cd node-hello && npm test'
run node-env     sh -c 'printf "#!/usr/bin/env node\nprocess.exit(4)\n" > n && chmod +x n && ./n'
run unittest     sh -c 'cd python-hello && python -m unittest'
run venv         python3 -m venv --without-pip .venv
run venv-python  .venv/bin/python -c 'import sys; sys.exit(0 if sys.prefix == "/workspace/.venv" else 1)'
run activated    sh -c '. .venv/bin/activate && python -c "import sys; sys.exit(0 if sys.prefix == sys.exec_prefix != sys.base_prefix else 1)"'
run go-test      sh -c 'cd go-hello && go test ./...'
run go-place     /usr/local/go/bin/go version
run run          aifo-run rust ./rust-hello/target/debug/rust-hello
`

// TestOfficialImages does real work with toolchains that know nothing of us.
func TestOfficialImages(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		c.examples("rust-hello", "node-hello", "python-hello", "go-hello")
		r := c.script("cargo build -q --manifest-path rust-hello/Cargo.toml\n"+officialScript, append(flags, officialFlags...)...)
		require.Equal(t, 0, r.code)
		require.Equal(t, map[string]int{
			"cargo-test": 0, "cargo-place": 0, "npm-test": 0, "node-env": 4, "unittest": 0, "venv": 0, "venv-python": 0,
			"activated": 0, "go-test": 0, "go-place": 0, "run": 0,
		}, results(t, r.stdout))
		require.FileExists(t, filepath.Join(c.workspace, "rust-hello", "target", "debug", "rust-hello"))
		c.requireOwned(c.workspace)
		c.requireOwned(c.home)
	})
}
