package session

import (
	"errors"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

func TestAgentResult(t *testing.T) {
	unstarted := errors.New("no docker")
	for name, tt := range map[string]struct {
		err         error
		interrupted bool
		code        int
		want        error
	}{
		"ended":                     {nil, false, 0, nil},
		"exit code":                 {&proc.ExitError{Code: 7}, false, 7, nil},
		"docker failed":             {&proc.ExitError{Code: dockerFailed}, false, dockerFailed, nil},
		"Ctrl-C while it started":   {&proc.ExitError{Code: dockerFailed}, true, 0, &SignalError{Signal: syscall.SIGINT}},
		"words alone are no signal": {&proc.ExitError{Code: 1}, true, 1, nil},
		"docker did not run":        {unstarted, false, 0, unstarted},
	} {
		t.Run(name, func(t *testing.T) {
			code, err := agentResult(tt.err, tt.interrupted)
			require.Equal(t, tt.want, err)
			require.Equal(t, tt.code, code)
		})
	}
}
