package cli_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/lock"
)

// holdLockMain holds the lock on a workspace while the program after it runs,
// as another session would: holdlock WORKSPACE. It ends with its input.
func holdLockMain() {
	dir := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "aifo-coder")
	workspace, err := filepath.EvalSymlinks(os.Args[1])
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		_, err = lock.Acquire(lock.Workspace(dir, workspace), lock.Holder{PID: os.Getpid(), Since: time.Unix(1e9, 0), Workspace: workspace})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("Ready", os.Getpid())
	_, _ = io.Copy(io.Discard, os.Stdin)
}
