//go:build linux

package boot

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// withoutSandbox switches off the program's own sandbox where that would be no use,
// and says so. This container is the sandbox.
func (o *options) withoutSandbox(toolchains bool, possible func() bool) {
	why := o.noSandbox(toolchains, possible)
	if why == "" {
		return
	}
	fmt.Fprintf(os.Stderr, "aifo-shim boot: %s %s: started with %s, since this container is the sandbox\n",
		o.Argv[0], why, strings.Join(o.WithoutSandbox, " "))
	o.Argv = slices.Insert(o.Argv, 1, o.WithoutSandbox...)
}

// noSandbox returns what is wrong with a sandbox of the program's own, or "".
func (o *options) noSandbox(toolchains bool, possible func() bool) string {
	switch {
	case len(o.WithoutSandbox) == 0:
		return ""
	case toolchains:
		return "would not reach the toolchains from a sandbox of its own"
	case !possible():
		return "cannot make a sandbox of its own here"
	}
	return ""
}

// namespaces reports whether the user may make the namespaces that sandboxes are
// made of. An engine's seccomp profile usually forbids it.
func namespaces() bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	probe, err := os.StartProcess(self, []string{self, "version"}, &os.ProcAttr{
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, Unshareflags: unix.CLONE_NEWNS},
	})
	if err != nil {
		return false
	}
	state, err := probe.Wait()
	return err == nil && state.Success()
}
