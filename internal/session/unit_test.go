package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/session"
)

func TestMissingImages(t *testing.T) {
	// No docker is on PATH: nothing may be asked of it.
	t.Setenv("PATH", t.TempDir())
	s := session.Session{Plan: plan.Plan{Missing: []plan.MissingImage{{Ref: "a:latest", Target: "build-a"}, {Ref: "b:latest", Target: "build-b"}}}}
	_, err := s.Run(t.Context())
	var missing *session.MissingImageError
	require.ErrorAs(t, err, &missing)
	require.Contains(t, missing.Error(), "a:latest")
	require.Contains(t, missing.Hint(), "make build-a")
	require.ErrorContains(t, err, "b:latest")
}
