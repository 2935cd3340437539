package hostfacts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// machine is what tells this machine from others, as far as an engine tells the same of its own.
type machine struct {
	goos     string
	hostname string
	kernel   string // release of it
	memory   int64  // bytes
	// absent reports whether a path is known not to be there.
	absent func(path string) bool
}

func thisMachine(goos string) machine {
	m := machine{goos: goos, absent: func(path string) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist)
	}}
	m.hostname, _ = os.Hostname() // unknown: it differs, and a container tells
	m.kernel, m.memory = kernel()
	return m
}

// EngineDoubt returns why the engine may not be on this machine, or "" where nothing speaks
// for that. An address alone proves nothing: what listens on this machine may pass everything on
// to another, and what is reached by TCP may be here. Where there is doubt, only a container can tell.
func (f Facts) EngineDoubt() string {
	if f.Engine == nil {
		return ""
	}
	return thisMachine(f.GOOS).doubt(f)
}

func (m machine) doubt(f Facts) string {
	e := f.Engine
	switch {
	case e.Podman() && !e.Remote:
		return "" // it is a child of ours
	case e.Podman():
		return "podman is a client of an engine elsewhere"
	case !f.Endpoint.Local():
		return "it is reached at " + f.Endpoint.String()
	case m.goos != "linux", e.Desktop(), e.KernelVersion == "":
		return "" // a virtual machine of this machine's, or an engine that says nothing
	case e.Name != m.hostname:
		return fmt.Sprintf("it says that its machine is %q, and this one is %q", e.Name, m.hostname)
	case e.KernelVersion != m.kernel:
		return fmt.Sprintf("it says that its kernel is %s, and this one is %s", e.KernelVersion, m.kernel)
	case e.MemTotal != m.memory:
		return "its machine has another amount of memory than this one"
	case e.DockerRootDir != "" && m.absent(e.DockerRootDir):
		return fmt.Sprintf("it keeps its data in %s, which is not there", e.DockerRootDir)
	}
	return ""
}
