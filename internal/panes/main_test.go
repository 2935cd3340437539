//go:build unix

package panes_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/panes"
)

const envChild = "AIFO_PANES_TEST_CHILD"

// TestMain also is a program that starts a pane and ends.
func TestMain(m *testing.M) {
	dir := os.Getenv(envChild)
	if dir == "" {
		os.Exit(m.Run())
	}
	started, err := panes.Plain{Env: append(os.Environ(), "PANE=yes"), Now: time.Unix(1e9, 0)}.Start(panes.Spec{Panes: []panes.Pane{
		{Index: 7, Title: "fork/main/abc-7", Dir: dir, Argv: []string{"sh", "-c", "echo out $PANE; pwd; echo err >&2; until [ -e go ]; do sleep 0.05; done; echo late"}, Log: dir + "/logs/log"},
	}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(started[0].PID)
}
