//go:build linux

package e2e

import (
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// vanish is a tool with a child in its process group. Its name says what it is:
// silent or a writer, and deaf to INT and TERM or not.
var vanish = map[string]string{"vanish.py": `import os, signal, sys, time
if "deaf" in sys.argv[1]:
    for s in signal.SIGINT, signal.SIGTERM: signal.signal(s, signal.SIG_IGN)
os.fork()
while "writer" in sys.argv[1]: print("y" * 1000, flush=True)
time.sleep(12345)
`}

// TestConformanceVanishing takes the client from under tools in each way, and
// wants all processes of the tool gone from the sidecar. What signals and a
// script's end do is in TestAToolEndsWithItsCaller.
func TestConformanceVanishing(t *testing.T) {
	for name, m := range modes {
		flags := append(m.flags, "--toolchain", "python", "shell", "--", "bash", "-c")
		t.Run(name+"/client", func(t *testing.T) { clientVanishes(t, m.caller(t, vanish), flags) })
		if !m.cannot("killed program") {
			t.Run(name+"/aifo-coder", func(t *testing.T) { programVanishes(t, m.caller(t, vanish), flags) })
		}
	}
}

// clientVanishes kills shims, leaves tools without a reader, and kills the
// container of what is left.
func clientVanishes(t *testing.T, c *caller, flags []string) {
	s := c.start(append(flags, `set -m
for name in silent-one deaf-one silent-two deaf-two; do python vanish.py $name </dev/null & pids+=($!); done
for name in writer writer-deaf; do echo "$name $(python vanish.py $name 2>/dev/null | head -1 | wc -c)"; done
echo READY; read line; kill -KILL ${pids[@]:0:2}; read line`)...)
	require.Contains(t, s.out.String(), "writer 1001\nwriter-deaf 1001\n")
	eventually(t, func() bool {
		return strings.HasPrefix(c.vanishing(), "deaf-one deaf-one deaf-two deaf-two silent-one silent-one silent-two silent-two")
	}, "all run, and the writers perhaps still")
	_, err := io.WriteString(s.in, "\n")
	require.NoError(t, err)
	c.eventuallyRun("deaf-two", "deaf-two", "silent-two", "silent-two")
	docker(t, append([]string{"kill"}, c.containers("name=aifo-coder-shell")...)...)
	require.Equal(t, 137, s.end(t))
	c.requireNothingLeft()
}

// programVanishes kills aifo-coder: the sidecar stays until another start, the
// tools in it do not.
func programVanishes(t *testing.T, c *caller, flags []string) {
	s := c.start(append(flags, `for name in silent deaf; do python vanish.py $name </dev/null & done; echo READY; wait; sleep 600`)...)
	c.eventuallyRun("deaf", "deaf", "silent", "silent")
	require.NoError(t, s.cmd.Process.Kill())
	c.eventuallyRun()
	s.end(t)
	require.Equal(t, 0, c.run("", "shell", "--", "true").code, "sweeps what is left")
}

// eventuallyRun waits until the processes of vanish.py in the sidecar are just
// those of the given names, in order.
func (c *caller) eventuallyRun(names ...string) {
	c.t.Helper()
	eventually(c.t, func() bool { return c.vanishing() == strings.Join(names, " ") }, strings.Join(names, " "))
}

var vanishRE = regexp.MustCompile(`vanish\.py (\S+)`)

// vanishing returns the names of the processes of vanish.py in the sidecar, or
// why they are not known: it may not run yet.
func (c *caller) vanishing() string {
	c.t.Helper()
	var names []string
	for _, id := range c.containers("label=dev.aifo-coder.kind=python") {
		out, err := exec.Command("docker", "top", id).CombinedOutput()
		if err != nil {
			return err.Error()
		}
		for _, m := range vanishRE.FindAllStringSubmatch(string(out), -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
