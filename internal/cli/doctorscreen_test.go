package cli

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/doctor"
)

// TestDoctorPrintsNothingThatSteersATerminal: findings hold what engines and files say.
func TestDoctorPrintsNothingThatSteersATerminal(t *testing.T) {
	var out bytes.Buffer
	s := &doctorScreen{w: &out}
	s.print(doctor.Result{Name: "engine", Finding: "two\nlines \x1b[2J\u202e", Next: []string{"do\tthis\x07"}})
	require.Contains(t, out.String(), `two lines \x1b[2J\u202e`)
	require.Contains(t, out.String(), `next: do this\a`)
}
