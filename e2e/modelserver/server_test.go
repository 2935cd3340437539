package modelserver_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/e2e/modelserver"
)

// script has the model run a command, use a tool of the agent's and say something.
var script = []modelserver.Turn{
	{Run: "make"},
	{Tool: "write", With: map[string]any{"path": "a"}},
	{Say: "done"},
}

// apis has the requests of one conversation, in both APIs, and what of each answer
// tells which turn it is.
var apis = map[string][]struct{ request, answer string }{
	"/v1/chat/completions": {
		{`{"tools":[],"messages":[{"role":"user","content":"a title"}]}`, `"content":"A conversation"`},
		{`{TOOLS "messages":[{"role":"user","content":"go"}]}`, `"name":"bash"`},
		{`{TOOLS "messages":[{"role":"user"},{"role":"assistant"},{"role":"tool","tool_call_id":"call_0","content":"made"}]}`, `"name":"write"`},
		{`{TOOLS "messages":[{"role":"assistant"},{"role":"tool","tool_call_id":"call_0","content":[{"type":"text","text":"made"}]},{"role":"assistant"}]}`, `"content":"done"`},
	},
	"/v1/responses": {
		{`{TOOLS "input":[{"type":"message","role":"user"}]}`, `"name":"bash"`},
		{`{TOOLS "input":[{"role":"user"},{"type":"function_call"},{"type":"function_call_output","call_id":"call_0","output":"made"}]}`, `"name":"write"`},
		{`{TOOLS "input":[{"type":"function_call"},{"type":"function_call_output","call_id":"call_0","output":"made"},{"type":"function_call"}]}`, `"text":"done"`},
	},
}

const (
	chatTools      = `"tools":[{"function":{"name":"write"}},{"function":{"name":"bash"}}],`
	responsesTools = `"tools":[{"type":"function","name":"write"},{"type":"function","name":"bash"}],`
)

func TestScript(t *testing.T) {
	for path, steps := range apis {
		for _, stream := range []string{"", `"stream":true,`} {
			t.Run(path+" "+stream, func(t *testing.T) {
				s := modelserver.New(script...)
				tools := chatTools
				if path == "/v1/responses" {
					tools = responsesTools
				}
				for _, step := range steps {
					reply := ask(t, s, path, strings.Replace(step.request, "TOOLS", stream+tools, 1))
					require.Equal(t, http.StatusOK, reply.Code, reply.Body)
					require.Contains(t, reply.Body.String(), step.answer)
				}
				made, ok := s.Result(0)
				require.True(t, ok)
				require.Equal(t, "made", made)
				_, ok = s.Result(1)
				require.False(t, ok)
				require.Equal(t, "key", s.Requests()[0].Key)
			})
		}
	}
}

func TestWhatIsNoPartOfTheScript(t *testing.T) {
	s := modelserver.New()
	require.Equal(t, http.StatusBadRequest, ask(t, s, "/v1/chat/completions", `{`+chatTools+`"messages":[]}`).Code, "no turns are left")
	require.Equal(t, http.StatusBadRequest, ask(t, s, "/v1/chat/completions", `not JSON`).Code)
	require.Equal(t, http.StatusBadRequest, ask(t, s, "/v1/nothing", `{}`).Code)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/models", nil))
	require.True(t, json.Valid(w.Body.Bytes()))
	require.Contains(t, w.Body.String(), `"id":"script"`)
}

func ask(t *testing.T, s *modelserver.Server, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, io.NopCloser(strings.NewReader(body)))
	r.Header.Set("Authorization", "Bearer key")
	s.ServeHTTP(w, r)
	return w
}
