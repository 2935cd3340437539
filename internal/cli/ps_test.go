package cli

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/publish"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

func TestAge(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "0s", -time.Hour: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59 * time.Minute: "59m",
		time.Hour: "1h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 30 * 24 * time.Hour: "30d",
	} {
		require.Equal(t, want, age(now.Add(-d), now), d)
	}
	require.Equal(t, "-", age(time.Time{}, now))
}

// TestScreen: a narrow terminal cuts lines, whose colours end all the same.
func TestScreen(t *testing.T) {
	now := time.Now()
	list := []sessions.Session{
		{ID: "abc", Agent: "aider", Workspace: "/wörkspace/long", State: sessions.Dead, Since: now},
		{ID: "def-2", Agent: "aider", Workspace: "/r/clone", State: sessions.Running, Since: now, Pane: &sessions.Pane{SID: "def", Index: 2, Repository: "/r"}},
		{
			ID: "ghi", Agent: "shell", Workspace: "/w", State: sessions.Running, Since: now,
			Ports: []publish.Port{
				{Host: netip.MustParseAddrPort("127.0.0.1:3000"), Container: 3000}, {Host: netip.MustParseAddrPort("[::1]:8080"), Container: 80},
			},
			Containers: []sessions.Container{{Kind: "node", State: "running", Created: now, Image: "node:22"}},
		},
	}
	var out bytes.Buffer
	require.NoError(t, screen{w: &out}.sessions(list, now))
	require.Equal(t, `SESSION  STATE    AGE  MEMORY  WHAT
abc      dead     0s   -       aider in /wörkspace/long
def-2    running  0s   -       aider, pane 2 of fork session def of /r
ghi      running  0s   -       shell in /w
  port   -        -    -       127.0.0.1:3000->3000
  port   -        -    -       [::1]:8080->80
  node   running  0s   -       node:22
`, out.String())
	out.Reset()
	require.NoError(t, screen{w: &out, width: 45, colour: true}.sessions(list[:1], now))
	require.Equal(t, "\x1b[1mSESSION  STATE  AGE  MEMORY  WHAT\x1b[0m\n\x1b[33mabc      dead   0s   -       aider in /wörks…\x1b[0m\n", out.String())
}
