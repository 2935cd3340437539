package execproxy

import (
	"context"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

func TestCleanCwd(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"/workspace", "/workspace", true},
		{".", "/workspace", true},
		{"/workspace/", "/workspace", true},
		{"//workspace///a//b/", "/workspace/a/b", true},
		{"/workspace/sp ace/ü/\xff", "/workspace/sp ace/ü/\xff", true},
		{"/workspace/..a/.b", "/workspace/..a/.b", true},
		{"/workspace/trailing ", "/workspace/trailing ", true},
		{"", "", false},
		{"/", "", false},
		{"workspace", "", false},
		{"./a", "", false},
		{"/workspacex", "", false},
		{"/workspace/..", "", false},
		{"/workspace/a/../b", "", false},
		{"/workspace/./a", "", false},
		{"/workspace/a\x00", "", false},
		{"/tmp", "", false},
	}
	for _, tt := range tests {
		got, ok := cleanCwd(tt.in, execproto.Workspace)
		assert.Equal(t, tt.ok, ok, "%q", tt.in)
		if ok {
			assert.Equal(t, tt.want, got)
		}
	}
}

// TestCallReachesExecutor sends a call whose words are all unusual and expects
// them unchanged, in each version (docs/protocol.md, "Requests and limits").
func TestCallReachesExecutor(t *testing.T) {
	args := []string{"-la", "", "häßlich", "日本", "a b+c&d=e%41;", "line\nbreak", "\xff\xfe", strings.Repeat("x", execproto.MaxArgLen)}
	for len(args) < 8192 { // 1 MiB with the long one
		args = append(args, strings.Repeat("y", 111))
	}
	v := url.Values{"tool": {"cargo"}, "arg": args, "cwd": {"/workspace/deep dir"}}
	for name, headers := range map[string][]string{"1": {auth, proto1}, "2": {auth, proto2}, "3": upgrade} {
		t.Run(name, func(t *testing.T) {
			calls := make(chan Call, 1)
			s := serve(t, testConfig(newFakeExecutor(func(_ context.Context, c Call) (int, error) {
				calls <- c
				return 0, nil
			})))
			c := s.dial(t)
			_, err := io.WriteString(c, post("/exec", v.Encode(), append(headers, "X-Aifo-Exec-Id: my-id_1")...))
			require.NoError(t, err)
			got := waitFor(t, calls)
			assert.Equal(t, append([]string{"cargo"}, args...), got.Argv)
			assert.Equal(t, "/workspace/deep dir", got.Cwd)
			assert.Equal(t, "rust", got.Kind)
			assert.Equal(t, "my-id_1", got.ID)
			assert.Equal(t, name == "3", got.Stdin != nil)
		})
	}
}

func TestExecIDIsMade(t *testing.T) {
	e, running, _ := untilCancelled()
	s := serve(t, testConfig(e))
	for range 2 {
		_, err := io.WriteString(s.dial(t), post("/exec", "tool=cargo", auth, proto2))
		require.NoError(t, err)
	}
	a, b := waitFor(t, running).ID, waitFor(t, running).ID
	assert.Regexp(t, "^[0-9a-f]{32}$", a)
	assert.NotEqual(t, a, b)
}

// TestHalfABodyNeverRuns closes the sending side in the middle of a body.
func TestHalfABodyNeverRuns(t *testing.T) {
	chunked := "POST /exec HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n" + proto1 + "\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := map[string]string{
		"length":                 strings.TrimSuffix(post("/exec", "tool=cargo&arg=clean&arg=--dry-run", auth, proto1), "&arg=--dry-run"),
		"no last chunk":          chunked + "a\r\ntool=cargo\r\n",
		"half a chunk":           chunked + "20\r\ntool=cargo\r\n",
		"no end of the trailers": chunked + "a\r\ntool=cargo\r\n0\r\n",
	}
	for name, raw := range tests {
		t.Run(name, func(t *testing.T) {
			s := serve(t, testConfig(newFakeExecutor(func(context.Context, Call) (int, error) {
				t.Error("half a request was run")
				return 0, nil
			})))
			c := s.dial(t)
			_, err := io.WriteString(c, raw)
			require.NoError(t, err)
			require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
			b, err := io.ReadAll(c)
			require.NoError(t, err)
			assert.Equal(t, 400, parseReply(t, string(b)).status)
		})
	}
}

func TestUnescape(t *testing.T) {
	tests := map[string]string{
		"a+b": "a b", "%41": "A", "%c3%A4": "ä", "%": "%", "%4": "%4", "%zz": "%zz", "%4%41": "%4A", "%00": "\x00", "%+": "% ", "%fF": "\xff",
	}
	for in, want := range tests {
		assert.Equal(t, want, unescape(in), "%q", in)
	}
}

func TestEachPair(t *testing.T) {
	var got []string
	eachPair("a=1&&b&=c&a=2=3&%61=", func(k, v string) bool {
		got = append(got, k+":"+v)
		return true
	})
	assert.Equal(t, []string{"a:1", "b:", ":c", "a:2=3", "a:"}, got)
}

// FuzzForm checks that every form decodes, that well-formed ones decode as
// net/url does, and that what is accepted is within the limits.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"", "cwd=.", "tool=cargo&arg=a+b&arg=%C3%A4", "cwd=/workspace/x&arg=%", "a=%zz&=&&", "tool=%00", "exec_id=x&signal=INT", "tty=1&rows=24&cols=80&env=A=b&env=PATH=x&env=%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := url.Values{}
		eachPair(s, func(k, v string) bool {
			got.Add(k, v)
			return true
		})
		if want, err := url.ParseQuery(s); err == nil {
			assert.Equal(t, want, got)
		}
		req := &request{cwd: execproto.Workspace, workspace: execproto.Workspace, proto: protoFrames}
		if !req.decode("", s) {
			return
		}
		clean, ok := cleanCwd(req.cwd, req.workspace)
		assert.True(t, ok && clean == req.cwd, "%q", req.cwd)
		assert.LessOrEqual(t, len(req.tool), execproto.MaxToolLen)
		for _, a := range req.args {
			assert.NotContains(t, a, "\x00")
		}
		for _, v := range req.env {
			assert.True(t, execproto.PassVariable(v, execproto.Workspace), "%q", v)
		}
	})
}
