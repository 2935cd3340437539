//go:build unix

package clone_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/clone"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

const (
	envWhat = "AIFO_CLONE_TEST_KILLED" // what the child does
	envStep = "AIFO_CLONE_TEST_STEP"   // the step before which it is killed
)

// TestMain also is the program that is killed: its arguments are a repository, a scratch
// directory, and a clone's directory.
func TestMain(m *testing.M) {
	if os.Getenv(envWhat) == "" {
		os.Exit(m.Run())
	}
	if err := killed(os.Getenv(envWhat), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func killed(what, root, scratch, dir string) error {
	last, _ := strconv.Atoi(os.Getenv(envStep))
	count := 0
	step := func(string) error {
		if count++; count == last {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}
	ctx := context.Background()
	repo, err := git.Open(ctx, root)
	if err != nil {
		return err
	}
	if what == "snapshot" {
		_, err = clone.SnapshotSpec{Repo: repo, SID: "abc", Scratch: scratch, Step: step}.Take(ctx)
		return err
	}
	source, err := clone.Prepare(ctx, repo, repo.HeadCommit, scratch)
	if err != nil {
		return err
	}
	_, err = source.Make(ctx, clone.Spec{Dir: dir, Branch: "refs/heads/fork/main/abc-1", Dissociate: what == "dissociated", Step: step})
	return err
}

// killAt has a process killed before a step, and says whether there is such a step.
func killAt(t *testing.T, b base, what string, step int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], b.root, b.scratch, b.spec(1).Dir)
	cmd.Env = append(os.Environ(), envWhat+"="+what, envStep+"="+strconv.Itoa(step))
	cmd.Stderr = os.Stderr
	err := cmd.Run()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.True(t, exit.Sys().(syscall.WaitStatus).Signaled(), "%v", err)
	return true
}

// TestKilledAtEachStep: the user's repository is as it was but for objects, is in order, and
// the same can be done again once the clone is removed.
func TestKilledAtEachStep(t *testing.T) {
	for _, what := range []string{"snapshot", "borrowing", "dissociated"} {
		t.Run(what, func(t *testing.T) {
			b := newBase(t)
			withSubmodule(t, b)
			gittest.Write(t, b.root+"/f", "changed by the user")
			before := gittest.Tree(t, b.root, ".git/objects", ".aifo-coder")
			for step := 1; killAt(t, b, what, step); step++ {
				require.Empty(t, cmp.Diff(before, gittest.Tree(t, b.root, ".git/objects", ".aifo-coder")))
				gittest.Git(t, b.root, "fsck", "--strict", "--no-dangling")
				require.NoError(t, os.RemoveAll(b.spec(1).Dir))
			}
			if what != "snapshot" {
				requireClean(t, b.spec(1).Dir)
			}
		})
	}
}
