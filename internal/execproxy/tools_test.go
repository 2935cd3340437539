package execproxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// TestNamedToolchain: a call may name its toolchain, and the program by a path.
func TestNamedToolchain(t *testing.T) {
	for _, tt := range []struct {
		name string
		form url.Values
		want []string
	}{
		{"any program", url.Values{"kind": {"rust"}, "tool": {"app"}, "arg": {"x"}}, []string{"app", "x"}},
		{"an alias, in capitals", url.Values{"kind": {"RS"}, "tool": {"app"}}, []string{"app"}},
		{"by a path", url.Values{"kind": {"rust"}, "tool": {"app"}, "path": {"./target/debug/app"}}, []string{"./target/debug/app"}},
		{"a tool by its path", url.Values{"tool": {"cargo"}, "path": {"/usr/local/cargo/bin/cargo"}, "arg": {"x"}}, []string{"/usr/local/cargo/bin/cargo", "x"}},
		{"a long name", url.Values{"kind": {"rust"}, "tool": {strings.Repeat("a", 255)}}, []string{strings.Repeat("a", 255)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, calls := seen()
			s := serve(t, testConfig(e))
			assert.Equal(t, result{}, upgradeOn(t, s.dial(t), tt.form.Encode()).rest())
			call := waitFor(t, calls)
			assert.Equal(t, tt.want, call.Argv)
			assert.Equal(t, "rust", call.Kind)
		})
	}
}

// toolsProxy is a session of two toolchains that both have make.
func toolsProxy(t *testing.T, node func(c Call) (int, error)) *server {
	answer := func(c Call, found ...execproto.FoundTool) (int, error) {
		for _, f := range found {
			if _, err := io.WriteString(c.Stdout, f.Line()+"\n"); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}
	cfg := testConfig(newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		assert.Equal(t, "/workspace/sub", c.Cwd)
		if c.Kind == "node" {
			return node(c)
		}
		assert.Equal(t, []string{execproto.ShimBinary, "tools", "--probe=cargo", "--probe=-V", "--", "cargo", "make"}, c.Argv)
		return answer(c, execproto.FoundTool{Name: "cargo", Path: "/usr/bin/cargo", Version: "cargo 1"}, execproto.FoundTool{Name: "make", Path: "/usr/bin/make"})
	}))
	cfg.Sidecars = &fakeSidecars{has: []string{"node", "rust"}}
	cfg.Toolchains = append([]Toolchain{{Kind: "node", Image: "node:1", Tools: []string{"npm", "make"}}}, cfg.Toolchains...)
	return serve(t, cfg)
}

func TestTools(t *testing.T) {
	s := toolsProxy(t, func(c Call) (int, error) {
		_, err := io.WriteString(c.Stdout, "npm\x00/usr/bin/npm\x0010\nmake\x00/usr/bin/make\x004\nnonsense\n")
		return 0, err
	})
	got := parseReply(t, s.send(t, post("/tools", "cwd=/workspace/sub&arg=--json", auth, proto2)))
	require.Equal(t, 200, got.status)
	var found []KindTools
	require.NoError(t, json.Unmarshal([]byte(got.body), &found))
	require.Empty(t, cmp.Diff([]KindTools{
		{Kind: "node", Image: "node:1", Tools: []execproto.FoundTool{{Name: "npm", Path: "/usr/bin/npm", Version: "10"}}},
		{Kind: "rust", Image: "rust:1", Tools: []execproto.FoundTool{
			{Name: "cargo", Path: "/usr/bin/cargo", Version: "cargo 1"}, {Name: "make", Path: "/usr/bin/make"},
		}},
	}, found), "make is the one that a call would get")

	got = parseReply(t, s.send(t, post("/tools", "cwd=/workspace/sub", auth, proto2)))
	require.Equal(t, "0", got.exit)
	lines := strings.Split(strings.TrimSpace(got.body), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, []string{"node", "npm", "/usr/bin/npm", "10"}, strings.Fields(lines[1]))
}

// TestToolsOfABrokenSidecar: one that does not answer is told of, and the others
// are listed all the same.
func TestToolsOfABrokenSidecar(t *testing.T) {
	for name, node := range map[string]func(c Call) (int, error){
		"error": func(Call) (int, error) { return 0, errors.New("it is gone") },
		"endless": func(c Call) (int, error) {
			for {
				if _, err := io.WriteString(c.Stdout, strings.Repeat("x", 1<<16)); err != nil {
					return 0, err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseReply(t, toolsProxy(t, node).send(t, post("/tools", "cwd=/workspace/sub&arg=--json", auth, proto2)))
			require.Equal(t, 200, got.status)
			var found []KindTools
			require.NoError(t, json.Unmarshal([]byte(got.body), &found))
			require.NotEmpty(t, found[0].Error)
			require.Len(t, found[1].Tools, 2)
		})
	}
}
