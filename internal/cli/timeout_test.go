package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

func TestToolTimeout(t *testing.T) {
	const first, second = "AIFO_TOOLEEXEC_MAX_SECS", "AIFO_TOOLEEXEC_TIMEOUT_SECS"
	for name, tt := range map[string]struct {
		flag string
		env  hostfacts.Env
		want time.Duration
		fail string
	}{
		"none":           {},
		"duration":       {flag: "1h30m", want: 90 * time.Minute},
		"seconds":        {flag: "90", want: 90 * time.Second},
		"flag first":     {flag: "1s", env: hostfacts.Env{first: "7"}, want: time.Second},
		"variable":       {env: hostfacts.Env{first: "7", second: "8"}, want: 7 * time.Second},
		"other variable": {env: hostfacts.Env{first: "0", second: "8"}, want: 8 * time.Second},
		"empty variable": {env: hostfacts.Env{first: "", second: "0"}},
		"nothing":        {flag: "0", fail: "--toolchain-timeout"},
		"negative":       {flag: "-1s", fail: "--toolchain-timeout"},
		"no duration":    {flag: "soon", fail: "--toolchain-timeout"},
		"too long":       {flag: "99999999999999999999", fail: "--toolchain-timeout"},
		"bad variable":   {env: hostfacts.Env{first: "1h"}, fail: first},
		"long variable":  {env: hostfacts.Env{second: "99999999999999999999"}, fail: second},
	} {
		t.Run(name, func(t *testing.T) {
			f := flags{timeout: tt.flag}
			o, err := f.options(tt.env)
			if tt.fail != "" {
				require.ErrorContains(t, err, tt.fail)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, o.ToolTimeout)
		})
	}
}

func TestToolGrace(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 0, "1": time.Millisecond, "500": 500 * time.Millisecond, "10000": 10 * time.Second} {
		o, err := new(flags).options(hostfacts.Env{"AIFO_PROXY_SIGNAL_GRACE_MS": value})
		require.NoError(t, err)
		require.Equal(t, want, o.ToolGrace, value)
	}
	for _, value := range []string{"0", "-1", "10001", "2s", "soon", "99999999999999999999"} {
		_, err := new(flags).options(hostfacts.Env{"AIFO_PROXY_SIGNAL_GRACE_MS": value})
		require.ErrorContains(t, err, "from 1 to 10000", value)
	}
}

func TestToolchainExec(t *testing.T) {
	for value, want := range map[string]plan.Exec{"": plan.ExecResident, "resident": plan.ExecResident, "stream": plan.ExecStream, "docker": plan.ExecDocker} {
		o, err := new(flags).options(hostfacts.Env{"AIFO_TOOLCHAIN_EXEC": value})
		require.NoError(t, err)
		require.Equal(t, want, o.Exec, value)
	}
	_, err := new(flags).options(hostfacts.Env{"AIFO_TOOLCHAIN_EXEC": "podman"})
	require.ErrorContains(t, err, "AIFO_TOOLCHAIN_EXEC")
}
