package unixsock

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const envDial = "UNIXSOCK_TEST_DIAL"

// TestMain also is the program of another user that connects and waits for the end.
func TestMain(m *testing.M) {
	name := os.Getenv(envDial)
	if name == "" {
		os.Exit(m.Run())
	}
	c, err := net.Dial("unix", name)
	if err != nil {
		os.Exit(2)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		os.Exit(3) // closed
	}
	os.Exit(0)
}

// TestListenRefusesOtherUsers opens the directory and the socket to all, as root in a
// container has them, and connects as somebody else.
func TestListenRefusesOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir := privateDir(t)
	l, err := Listen(dir, "x.sock")
	require.NoError(t, err)
	defer l.Close()
	name := filepath.Join(dir, "x.sock")
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(name, 0o666))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("x"))
			c.Close()
		}
	}()
	require.Equal(t, 0, dialAs(t, name, 0))
	require.Equal(t, 3, dialAs(t, name, 65534))
}

// TestListenFor lets in the user that it is for, and nobody else, not even this one; the
// directory above keeps others of the host out.
func TestListenFor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	above := privateDir(t)
	dir := filepath.Join(above, "d")
	require.NoError(t, os.Mkdir(dir, 0o700))
	l, err := ListenFor(dir, "x.sock", 65534)
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("x"))
			c.Close()
		}
	}()
	name := filepath.Join(dir, "x.sock")
	require.Equal(t, 3, dialAs(t, name, 0))
	require.Equal(t, 2, dialAs(t, name, 65534), "the directory above is closed")
	require.NoError(t, os.Chmod(above, 0o755)) // as a mount of dir has it
	require.Equal(t, 0, dialAs(t, name, 65534))
	_, err = ListenFor(filepath.Join(above, "e"), "x.sock", 65534)
	require.Error(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(above, "f"), 0o700))
	_, err = ListenFor(filepath.Join(above, "f"), "x.sock", 65534)
	require.ErrorContains(t, err, "want 0700", "now that the directory above is open")
}

// dialAs returns the exit code of TestMain's program as the user uid.
func dialAs(t *testing.T, name string, uid uint32) int {
	t.Helper()
	self, err := os.Open(os.Args[0]) // the other user cannot go where it is
	require.NoError(t, err)
	defer self.Close()
	cmd := exec.Command("/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{self}
	cmd.Env = append(os.Environ(), envDial+"="+name)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%v %s", err, out)
	}
	return cmd.ProcessState.ExitCode()
}
