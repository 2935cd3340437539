package mountid_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/mountid"
)

// in is the variable with which the test's program is started again in a mount namespace of its own.
const in = "MOUNTID_TEST_DIR"

// TestMain is that program as well: it mounts, does what the case says, and tells what Verify says.
func TestMain(m *testing.M) {
	dir := os.Getenv(in)
	if dir == "" {
		os.Exit(m.Run())
	}
	held, err := mountid.Hold([]string{filepath.Join(dir, "meant")}, func(string) bool { return false })
	if err == nil {
		file, _ := held.File(filepath.Join(dir, "meant"))
		target := filepath.Join(dir, "a", "target")
		mounts := []mountid.Mount{{Target: target, File: file}}
		tc := cases[os.Getenv(in+"_CASE")]
		if tc.twice {
			mounts = append([]mountid.Mount{{Target: filepath.Join(dir, "second"), File: file}}, mounts...)
		}
		if err = tc.prepare(dir, target); err == nil {
			err = mountid.Verify(mounts, func(f func() error) error { return f() })
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	os.Exit(0)
}

var cases = map[string]struct {
	prepare func(dir, target string) error
	twice   bool // it is to be mounted at "second" as well
	good    bool
}{
	"what was meant": {good: true, prepare: func(dir, target string) error { return bind(filepath.Join(dir, "meant"), target) }},
	"something else": {prepare: func(dir, target string) error { return bind(filepath.Join(dir, "other"), target) }},
	"nothing":        {prepare: func(string, string) error { return nil }},
	"what was meant, on top of something else": {good: true, prepare: func(dir, target string) error {
		if err := bind(filepath.Join(dir, "other"), target); err != nil {
			return err
		}
		return bind(filepath.Join(dir, "meant"), target)
	}},
	// What was meant is at the path, and the mount elsewhere.
	"moved away": {prepare: func(dir, target string) error {
		if err := mountElsewhere(dir, target); err != nil {
			return err
		}
		return os.Rename(filepath.Join(dir, "meant"), target)
	}},
	// As an engine mounts it where the image has a link.
	"behind a link": {good: true, prepare: func(dir, target string) error {
		if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
			return err
		}
		if err := os.Symlink("b", filepath.Join(dir, "a")); err != nil {
			return err
		}
		return bind(filepath.Join(dir, "meant"), target)
	}},
	// What was meant is mounted twice; one of the two is moved away and a link to the other is in its place.
	"a link to another mount of it": {twice: true, prepare: func(dir, target string) error {
		if err := bind(filepath.Join(dir, "meant"), filepath.Join(dir, "second")); err != nil {
			return err
		}
		if err := mountElsewhere(dir, target); err != nil {
			return err
		}
		return os.Symlink(filepath.Join(dir, "second"), target)
	}},
	"twice": {twice: true, good: true, prepare: func(dir, target string) error {
		if err := bind(filepath.Join(dir, "meant"), filepath.Join(dir, "second")); err != nil {
			return err
		}
		return bind(filepath.Join(dir, "meant"), target)
	}},
	"a link to the directory": {prepare: func(dir, target string) error {
		if err := os.Remove(target); err != nil {
			return err
		}
		return os.Symlink(filepath.Join(dir, "meant"), target)
	}},
}

// mountElsewhere mounts something else at the target, and moves it away with the directory that it is in.
func mountElsewhere(dir, target string) error {
	a := filepath.Join(dir, "a")
	if err := bind(filepath.Join(dir, "other"), target); err != nil {
		return err
	}
	if err := os.Rename(a, filepath.Join(dir, "b")); err != nil {
		return err
	}
	return os.Mkdir(a, 0o700)
}

func bind(source, target string) error {
	return unix.Mount(source, target, "", unix.MS_BIND, "")
}

func TestVerify(t *testing.T) {
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			require.NoError(t, err)
			dir = filepath.Join(dir, "odd \\040\t\u3000\u00a0name")
			for _, d := range []string{"meant", "other", "second", "a/target"} {
				require.NoError(t, os.MkdirAll(filepath.Join(dir, d), 0o700))
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), in+"="+dir, in+"_CASE="+name)
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
				UidMappings:  []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
				GidMappings:  []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			}
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil {
				t.Skipf("this machine gives nobody a mount namespace: %v", err)
			}
			if tc.good {
				require.NoError(t, err, "%s", out)
				return
			}
			require.Equal(t, 3, cmd.ProcessState.ExitCode(), "%s", out)
			require.Contains(t, string(out), filepath.Join(dir, "a", "target"))
		})
	}
}

func TestHold(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	path, link := filepath.Join(dir, "a", "b"), filepath.Join(dir, "link")
	require.NoError(t, os.MkdirAll(path, 0o700))
	require.NoError(t, os.Symlink(filepath.Join(dir, "a"), link))
	yes := func(string) bool { return true }

	held, err := mountid.Hold([]string{path, path}, yes)
	require.NoError(t, err)
	was, ok := held.File(path)
	require.True(t, ok)
	_, ok = held.File(link)
	require.False(t, ok)
	// The number of what is held does not come back.
	require.NoError(t, os.Remove(path))
	for range 50 {
		require.NoError(t, os.Mkdir(path, 0o700))
		again, err := mountid.Hold([]string{path}, yes)
		require.NoError(t, err)
		is, _ := again.File(path)
		require.NotEqual(t, was, is)
		require.NoError(t, errors.Join(again.Close(), os.Remove(path)))
	}
	require.NoError(t, held.Close())

	require.NoError(t, os.Mkdir(path, 0o700))
	_, err = mountid.Hold([]string{filepath.Join(link, "b")}, yes)
	var changed *mountid.ChangedError
	require.ErrorAs(t, err, &changed)
	held, err = mountid.Hold([]string{filepath.Join(link, "b")}, func(string) bool { return false })
	require.NoError(t, err)
	require.NoError(t, held.Close())
	_, err = mountid.Hold([]string{path + "x"}, yes)
	assert.ErrorIs(t, err, os.ErrNotExist)
}
