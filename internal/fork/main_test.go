//go:build unix

package fork_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// Variables of the pane programs in tests.
const (
	envStore = "AIFO_FORK_TEST_STORE" // directory of the store
	envSID   = "AIFO_FORK_TEST_SID"
	envAgent = "AIFO_FORK_TEST_AGENT" // what the agent does
	envKill  = "AIFO_FORK_TEST_KILL"  // the step at which the process kills itself
	envShort = "AIFO_FORK_TEST_SHORT" // memory is short
)

// TestMain also is the program in a pane, and the process of an act (fault_test.go).
func TestMain(m *testing.M) {
	if act := os.Getenv("WORLD_ACT"); act != "" {
		os.Exit(actMain(strings.Fields(act)))
	}
	if len(os.Args) == 7 && os.Args[1] == "fork" && os.Args[2] == "pane" {
		os.Exit(paneProgram(os.Args[4], os.Args[6]))
	}
	// Where HUP is ignored, as under nohup, our children would ignore it too; caught
	// signals they get back with their usual meaning.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}

func paneProgram(envFile, number string) int {
	if err := fork.TakePaneEnv(envFile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	index, err := strconv.Atoi(number)
	if err != nil {
		return 98
	}
	store := fork.Store{Dir: os.Getenv(envStore)}
	record, err := store.Load(os.Getenv(envSID))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 97
	}
	p := fork.PaneProcess{
		Store: store, Record: record, Index: index, Self: hostfacts.Self(),
		Run: testAgent{dir: store.PaneDir(record.SID, index)}.run, Messages: os.Stderr, Step: killAt,
		ShortOfMemory: func() bool { return os.Getenv(envShort) != "" },
	}
	if os.Getenv("TMUX") != "" {
		p.Prompt = fork.Prompt{In: os.Stdin, Out: os.Stdout, Wait: time.Second}
	}
	code, err := p.Main(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 96
	}
	return code
}

func killAt(step string) error {
	if step == os.Getenv(envKill) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return nil
}

// testAgent stands for an agent's session. Files in its directory tell what it does.
type testAgent struct{ dir string }

func (a testAgent) has(name string) bool {
	_, err := os.Stat(filepath.Join(a.dir, name))
	return err == nil
}

func (a testAgent) tell(name, text string) {
	_ = fork.WriteFile(filepath.Join(a.dir, name), []byte(text))
}

// run starts when there is a file "start" or at once, tells so in "started", and ends by
// the file "end", with the code that it holds, or by a signal, which a stubborn one ignores.
func (a testAgent) run(ctx context.Context, started func()) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	a.tell("environment", fmt.Sprint(os.Environ()))
	for os.Getenv(envAgent) == "slow" && !a.has("start") {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		time.Sleep(tick)
	}
	started()
	a.tell("started", "")
	for !a.has("end") {
		select {
		case s := <-signals:
			if os.Getenv(envAgent) != "stubborn" {
				return 128 + int(s.(syscall.Signal)), nil
			}
		case <-time.After(tick):
		}
	}
	data, err := os.ReadFile(filepath.Join(a.dir, "end"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(data))
}
