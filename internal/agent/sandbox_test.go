package agent_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithoutSandbox(t *testing.T) {
	off := []string{"--config", `sandbox_mode="danger-full-access"`}
	for _, tt := range []struct {
		agent   string
		command []string
		want    []string
	}{
		{"codex", []string{"codex"}, off},
		{"codex", []string{"codex", "exec", "what is sandbox_mode=x?"}, off},
		{"codex", []string{"codex", "exec", "--skip-git-repo-check", "-c", "model=x"}, off},
		{"codex", []string{"codex", "exec", "--", "--sandbox"}, off},
		{"codex", []string{"codex", "exec", "--sandbox", "read-only"}, nil},
		{"codex", []string{"codex", "--sandbox=read-only"}, nil},
		{"codex", []string{"codex", "-s", "read-only", "exec"}, nil},
		{"codex", []string{"codex", "-sread-only"}, nil},
		{"codex", []string{"codex", "-c", "sandbox_mode=x"}, nil},
		{"codex", []string{"codex", "-csandbox_mode=x"}, nil},
		{"codex", []string{"codex", "--config=sandbox_mode = 'x'"}, nil},
		{"codex", []string{"codex", "--config", "default_permissions=x"}, nil},
		{"codex", []string{"codex", "--dangerously-bypass-approvals-and-sandbox"}, nil},
		{"codex", []string{"cargo", "test"}, nil},
		{"opencode", []string{"opencode"}, nil},
		{"shell", []string{"codex"}, nil},
	} {
		require.Equal(t, tt.want, lookup(t, tt.agent).WithoutSandbox(tt.command), "%s %q", tt.agent, tt.command)
	}
}
