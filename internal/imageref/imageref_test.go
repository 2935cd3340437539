package imageref_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/imageref"
)

const sha = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestCheck(t *testing.T) {
	for _, ref := range []string{
		"rust", "rust:1.80-slim", "library/rust", "docker.io/library/rust:1", "localhost/a", "localhost:5000/a/b:c",
		"my-registry.example.org:5000/team/app_x/y:T.a_g-1", "a@" + sha, "a:1@" + sha, "r.io/a/b:1@" + sha,
		"[::1]:5000/a", "[2001:db8::1]/a:1", "a__b", "a--b", "a.b/c.d", "0", "REG/a", "a:_x", "a:" + strings.Repeat("t", 128),
		"a@sha512:" + strings.Repeat("0", 128), "a@sha256+b64:" + strings.Repeat("0", 32),
	} {
		require.NoError(t, imageref.Check(ref), ref)
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, ref := range []string{
		"", "-", "--privileged", "-v/:/host", "Rust", "a/B", "a b", " a", "a ", "a\n", "\na", "a\x00", "a:", ":1", "a:-x", "a:.x", "a:b:c",
		"a/", "/a", "a//b", "a@", "a@sha256:", "a@sha256:abc", "a@" + sha + "x", "a@:" + strings.Repeat("0", 64), "a@" + sha + "@" + sha,
		"a___b", "a..b", "a._b", "_a", "a_", ".a", "a.", "a-", "http://r.io/a", "a:" + strings.Repeat("t", 129),
		"ä", "a;b", "$(id)", "a,b", "r.io:port/a", "[::1/a", "a=b",
	} {
		require.Error(t, imageref.Check(ref), "%q", ref)
	}
}

func TestCheckRegistry(t *testing.T) {
	for _, registry := range []string{
		"reg.example", "reg.example/team/a", "reg.example:65535", "localhost", "localhost/a", "localhost:5000/a", "docker.io/team", "reg:5000", "[::1]:5000/a",
	} {
		require.NoError(t, imageref.CheckRegistry(registry), registry)
	}
	for _, registry := range []string{
		"", "team", "team/a", "REG", "https://reg.example", "reg.example/Team", "reg.example/a b", "-x.example", "reg.example/", "reg.example//a", "x:y",
		"reg.example/a:tag", "r\u00e9.example", "u:p@reg.example", "reg.example:0", "reg.example:65536", "localhost:99999999999999999999/a", "[::1]:70000",
		"reg..example", "reg.example-/a", "--privileged",
	} {
		require.Error(t, imageref.CheckRegistry(registry), "%q", registry)
	}
}

func TestFirstParty(t *testing.T) {
	for _, ref := range []string{"aifo-coder-aider:latest", "aifo-coder-toolchain-rust", "aifo-cpp-toolchain:2", "aifo-coder-shell@" + sha} {
		require.True(t, imageref.FirstParty(ref), ref)
	}
	for _, ref := range []string{"rust", "aifo-coder", "aifo-cpp", "r.io/aifo-coder-aider", "me/aifo-cpp-toolchain", "xaifo-coder-aider", "localhost:5000/aifo-coder-aider"} {
		require.False(t, imageref.FirstParty(ref), ref)
	}
}
