package hostfacts_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// Polling with these is for states that the kernel announces to nobody.
const (
	waitLong = 10 * time.Second
	tick     = time.Millisecond
)

const envChild = "AIFO_HOSTFACTS_TEST_CHILD"

// TestMain also is a child that tells who it is and waits for its input to end.
func TestMain(m *testing.M) {
	if os.Getenv(envChild) == "" {
		os.Exit(m.Run())
	}
	self := hostfacts.Self()
	fmt.Println(self.PID)
	fmt.Println(self.Start)
	fmt.Println(self.Host)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

type child struct {
	cmd   *exec.Cmd
	out   *bufio.Reader
	owner hostfacts.Owner
}

// start returns a child that runs, with what it says of itself as an owner.
func start(t *testing.T) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"=1", "GORACE=atexit_sleep_ms=0")
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c := &child{cmd: cmd, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // mostly ended already
		_ = cmd.Wait()
	})
	pid, start, host := c.line(t), c.line(t), c.line(t)
	owner, ok := hostfacts.ParseOwner(host, pid, start)
	require.True(t, ok)
	require.Equal(t, cmd.Process.Pid, owner.PID)
	c.owner = owner
	return c
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	s, err := c.out.ReadString('\n')
	require.NoError(t, err)
	return s[:len(s)-1]
}

func TestOwnerDead(t *testing.T) {
	self := hostfacts.Self()
	require.Equal(t, os.Getpid(), self.PID)
	require.False(t, self.Dead(self))

	live := start(t).owner
	require.False(t, live.Dead(self))

	killed := start(t)
	require.NoError(t, killed.cmd.Process.Kill())
	require.Error(t, killed.cmd.Wait())
	require.True(t, killed.owner.Dead(self))

	elsewhere := killed.owner
	elsewhere.Host += "x"
	require.False(t, elsewhere.Dead(self), "nobody knows about the processes of another host")

	reused := live
	reused.Start += "1"
	require.True(t, reused.Dead(self), "another process with the same number")

	for _, pid := range []int{0, -1, -self.PID} {
		require.False(t, hostfacts.Owner{Host: self.Host, PID: pid, Start: self.Start}.Dead(self), pid)
	}
}

// TestZombieIsDead: the parent of a killed session may never reap it.
func TestZombieIsDead(t *testing.T) {
	c := start(t)
	require.NoError(t, c.cmd.Process.Kill())
	// Its output ends with it; it stays a zombie until Wait.
	_, err := io.Copy(io.Discard, c.out)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.owner.Dead(hostfacts.Self()) }, waitLong, tick)
}

func TestStartsDiffer(t *testing.T) {
	require.NotEmpty(t, hostfacts.Self().Start)
	require.Equal(t, hostfacts.Self(), hostfacts.Self())
}

func TestParseOwner(t *testing.T) {
	got, ok := hostfacts.ParseOwner("h", "12", "s")
	require.True(t, ok)
	require.Equal(t, hostfacts.Owner{Host: "h", PID: 12, Start: "s"}, got)
	for _, tt := range [][2]string{{"", "12"}, {"h", ""}, {"h", "x"}, {"h", "1 "}, {"h", "99999999999999999999"}, {"h", "0x1"}} {
		_, ok := hostfacts.ParseOwner(tt[0], tt[1], "s")
		require.False(t, ok, "%q", tt)
	}
	// Labels of a container that is not ours: never known to be dead.
	o, _ := hostfacts.ParseOwner("", strconv.Itoa(1<<22-1), "")
	require.False(t, o.Dead(hostfacts.Self()))
}

func TestSignalOwner(t *testing.T) {
	self := hostfacts.Self()
	c := start(t)
	for _, other := range []hostfacts.Owner{
		{Host: c.owner.Host + "x", PID: c.owner.PID, Start: c.owner.Start},
		{Host: c.owner.Host, PID: 0, Start: c.owner.Start},
		{Host: c.owner.Host, PID: -c.owner.PID, Start: c.owner.Start},
	} {
		require.NoError(t, other.Kill(self))
	}
	if reused := c.owner; runtime.GOOS == "linux" {
		reused.Start += "1"
		require.NoError(t, reused.Kill(self))
	}
	require.False(t, c.owner.Dead(self), "none of them is the child")

	require.NoError(t, c.owner.Terminate(self))
	require.Error(t, c.cmd.Wait())
	require.True(t, c.owner.Dead(self))
	require.NoError(t, c.owner.Terminate(self), "it has ended")

	c = start(t)
	require.NoError(t, c.owner.Kill(self))
	require.Error(t, c.cmd.Wait())
}
