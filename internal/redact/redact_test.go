package redact

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestArgs(t *testing.T) {
	known := Known([]string{"hunter2", "correct-horse", "correct-horse-battery"})
	for _, tt := range []struct{ in, want []string }{
		{nil, []string{}},
		{[]string{"--token", "x", "y"}, []string{"--token", "***", "y"}},
		{[]string{"--password=x", "--key=y=z"}, []string{"--password=***", "--key=***"}},
		{[]string{"--api-key"}, []string{"--api-key"}},
		{[]string{"-H", "Authorization: Bearer x", "y"}, []string{"-H", "Authorization: Bearer ***"}},
		{[]string{"bearer", "x"}, []string{"bearer***"}},
		{[]string{"ſſ BEARER x"}, []string{"ſſ BEARER ***"}},
		{[]string{"--keys", "x", "--key-id=x", "token"}, []string{"--keys", "x", "--key-id=x", "token"}},
		{[]string{"--token", "--token", "x"}, []string{"--token", "***", "x"}},
		{[]string{"build", "--release"}, []string{"build", "--release"}},
		{[]string{"--token", "abc", "x"}, []string{"--token", Hidden, "x"}},
		{[]string{"--password=abc", "x"}, []string{"--password=" + Hidden, "x"}},
		{[]string{"-H", "Authorization: Bearer abc", "x"}, []string{"-H", "Authorization: Bearer " + Hidden}},
		{[]string{"Bearer", "abc", "x"}, []string{"Bearer" + Hidden}},
		{[]string{"-H", "Authorization: abc", "x"}, []string{"-H", "Authorization: " + Hidden, "x"}},
		{[]string{"-H", "x-api-key: abc", "x"}, []string{"-H", "x-api-key: " + Hidden, "x"}},
		{[]string{"https://ann:secret@host/x", "git+ssh://ann@host"}, []string{"https://***@host/x", "git+ssh://***@host"}},
		{[]string{"OPENAI_API_KEY=abc", "npm_config__authToken=abc", "--//host/:_authToken=abc"}, []string{"OPENAI_API_KEY=***", "npm_config__authToken=***", "--//host/:_authToken=***"}},
		{[]string{"print('sk-abcdefghijkl')", "ghp_0123456789", "sk-x"}, []string{"print('sk-***')", "ghp_***", "sk-x"}},
		{[]string{"echo correct-horse-battery correct-horse", "hunter2"}, []string{"echo *** ***", "hunter2"}},
		{[]string{"--author=ann", "monkey=1", "--keys=1"}, []string{"--author=ann", "monkey=1", "--keys=1"}},
	} {
		require.Equal(t, tt.want, Args(tt.in, known), "%q", tt.in)
	}
}

func TestKnown(t *testing.T) {
	in := []string{"short", "0123456789", "01234567", "0123456789"}
	require.Equal(t, []string{"0123456789", "01234567"}, Known(in))
	require.Equal(t, "short", in[0], "the list of the caller is left alone")
}
