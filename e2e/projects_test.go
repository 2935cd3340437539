//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// caBundle is the host's, for registries behind a company's own authority.
const caBundle = "/etc/ssl/certs/ca-certificates.crt"

// realProject is one that others wrote: it is fetched, built and tested with its
// own tests, from the agent's container.
type realProject struct {
	transport string
	kinds     []string
	debian    string // run in a container of Debian in the workspace, by root
	script    string // the agent's
	built     []string
	passed    string // what its tests print
}

var realProjects = map[string]realProject{
	"npm package with native code": {
		transport: "unix", kinds: []string{"node"}, built: []string{"node_modules/unix-dgram/build/Release/unix_dgram.node"},
		passed: "server recv PING2",
		script: `npm install --no-audit --no-fund unix-dgram@2.0.7 && cd node_modules/unix-dgram && npm test`,
	},
	// The module is copied from the cache, which the sidecar alone sees.
	"Go module": {
		transport: "tcp", kinds: []string{"go"}, built: []string{"uniseg/words"},
		passed: "ok  \tgithub.com/rivo/uniseg\t",
		script: `go mod init example.com/app && go get github.com/rivo/uniseg@v0.4.7 &&
			aifo-run go cp -r --no-preserve=mode "$(go list -m -f '{{.Dir}}' github.com/rivo/uniseg)" uniseg &&
			cd uniseg && go vet . && go test . && go test -c -o words .`,
	},
	// Its configure script is the agent's, and asks the compiler dozens of times.
	"C library of Debian's": {
		transport: "tcp", kinds: []string{"c-cpp"}, built: []string{"zlib/libz.so", "zlib/libz.a"},
		passed: "*** zlib shared test OK ***",
		debian: debianSources + `apt-get -qq source --download-only zlib`,
		script: `mkdir zlib && cd zlib && cmake -E tar xf ../zlib_*.orig.tar.* && cd zlib-*/ && cp -r . .. && cd .. &&
			./configure && make -j4 && make test && make -s check`,
	},
	"cargo workspace of Debian's crates": {
		transport: "unix", kinds: []string{"rust"}, built: []string{"target/debug/libitoa.rlib"},
		passed: "test result: ok. 4 passed",
		debian: debianSources + `mkdir debs crates && cd debs
			apt-get -qq download librust-itoa-dev librust-strsim-dev librust-scopeguard-dev librust-shlex-dev
			for f in *.deb; do dpkg-deb -x $f x; done; mv x/usr/share/cargo/registry/* ../crates`,
		script: `printf '[workspace]\nresolver = "2"\nmembers = ["crates/*"]\n' >Cargo.toml &&
			cargo build --workspace && cargo test --workspace`,
	},
}

// debianSources has apt know of Debian's sources too, from the mirror that the image
// has, and keeps what it fetches readable.
const debianSources = `set -e
	sed -i '/^$/,$d; s/^Types:.*/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources
	apt-get -qq update
	cd /workspace
	`

// TestRealProjects builds and tests projects from registries through the shims.
func TestRealProjects(t *testing.T) {
	for name, p := range realProjects {
		t.Run(name, func(t *testing.T) { p.test(t, ordinary(t)) })
	}
}

func (p realProject) test(t *testing.T, c *caller) {
	t.Helper()
	if _, err := os.Stat(caBundle); err == nil {
		c.env = append(c.env, "AIFO_CODER_CA_BUNDLE="+caBundle)
	}
	if p.debian != "" {
		docker(t, "run", "--rm", "--env", "http_proxy", "--mount", "type=bind,source="+c.workspace+",target=/workspace",
			"debian:bookworm-slim", "sh", "-c", p.debian)
		c.own(c.workspace)
	}
	r := c.script(p.script, append(transports[p.transport], toolchains(p.kinds...)...)...)
	require.Equal(t, 0, r.code)
	require.Contains(t, r.stdout+r.stderr, p.passed)
	for _, file := range p.built {
		require.FileExists(t, filepath.Join(c.workspace, file))
	}
	c.requireOwned(c.workspace)
}
