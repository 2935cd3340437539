package toolchain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFetchFor(t *testing.T) {
	rust, _ := builtin.Lookup("rust")
	const clippy = "rustup which cargo-clippy, rustup component add clippy"
	for call, want := range map[string]string{
		"cargo clippy":                      clippy,
		"cargo clippy --all -- -D warnings": clippy,
		"cargo --locked clippy":             clippy,
		"cargo-clippy clippy":               clippy,
		"/usr/local/cargo/bin/cargo clippy": clippy,
		"cargo +1.79 fmt --check":           "rustup which --toolchain 1.79 cargo-fmt, rustup component add --toolchain 1.79 rustfmt",
		"rustfmt src/main.rs":               "rustup which cargo-fmt, rustup component add rustfmt",
		"rust-analyzer":                     "rustup which rust-analyzer, rustup component add rust-analyzer",
		"cargo nextest run":                 "cargo nextest --version, cargo-binstall --no-confirm cargo-nextest",
		"cargo":                             "",
		"cargo build":                       "",
		"cargo run clippy":                  "",
		"rustc clippy":                      "",
	} {
		f, ok := rust.FetchFor(strings.Fields(call))
		require.Equal(t, want != "", ok, call)
		if ok {
			require.Equal(t, want, strings.Join(f.Have, " ")+", "+strings.Join(f.Get, " "), call)
		}
	}
	cpp, _ := builtin.Lookup("c-cpp")
	_, ok := cpp.FetchFor([]string{"cargo", "clippy"})
	require.False(t, ok)
}

func TestFetchOfAnotherKind(t *testing.T) {
	s, err := builtin.With("f", []byte("kind: ruby\nimage: ruby\ntools: [ruby]\nfetch:\n  - {calls: [ruby x], have: [a], get: [b, c], else: no}\n"))
	require.NoError(t, err)
	ruby, _ := s.Lookup("ruby")
	f, ok := ruby.FetchFor([]string{"ruby", "x"})
	require.True(t, ok)
	require.Equal(t, []string{"b", "c"}, f.Get)
	s, err = s.With("f", []byte("extends: ruby\ntools: [gem]\nfetch: [{calls: [gem], have: [d], get: [e]}]\n"))
	require.NoError(t, err)
	ruby, _ = s.Lookup("ruby")
	require.Len(t, ruby.Fetch, 2)
	for _, bad := range []string{"{}", "{calls: [a], have: [b]}", "{calls: [a], get: [b]}", "{have: [a], get: [b]}", `{calls: [" "], have: [a], get: [b]}`, `{calls: [a], have: ["\0"], get: [b]}`} {
		_, err := builtin.With("f", []byte("extends: rust\nfetch: ["+bad+"]\n"))
		require.ErrorContains(t, err, `"fetch"`, bad)
	}
}
