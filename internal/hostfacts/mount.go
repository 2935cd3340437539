package hostfacts

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MountError says that containers cannot have a file or directory of this host.
type MountError struct {
	Path   string
	Reason string
}

func (e *MountError) Error() string { return fmt.Sprintf("%q cannot be mounted: %s", e.Path, e.Reason) }

// MountSource returns the canonical name of a file or directory of this host that the user
// wants containers to see. It returns a *MountError for what is not there, for what no
// agent may see, and for a path of the workspace that a link leads out of: an agent may
// have made that link.
func (f Facts) MountSource(path string) (string, error) {
	refuse := func(reason string) (string, error) { return "", &MountError{Path: path, Reason: reason} }
	abs, err := filepath.Abs(path)
	if err != nil {
		return refuse(err.Error())
	}
	real, err := filepath.EvalSymlinks(abs)
	switch {
	case err != nil:
		return refuse(reason(err))
	case !utf8.ValidString(real) || strings.ContainsFunc(real, unicode.IsControl):
		return refuse("its path has characters that docker does not take; rename it")
	case f.Workspace != "" && f.throughWorkspace(abs) && !isBelow(real, f.Workspace):
		return refuse("a link in the workspace leads out of it, to " + real + "; if you mean that, name it")
	}
	if socket := f.engineSocket(real); socket != "" {
		return refuse("it is or holds " + socket + ", by which a container is master of this machine")
	}
	if reason := f.own(real); reason != "" {
		return refuse(reason)
	}
	return real, nil
}

// throughWorkspace reports whether the absolute path, or what a link in it leads to, goes
// through the workspace.
func (f Facts) throughWorkspace(path string) bool {
	for dir := path; ; dir = filepath.Dir(dir) {
		if isBelow(dir, f.Workspace) || isBelow(resolved(dir), f.Workspace) {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}

// engineSocket returns the socket of a container engine that path is or holds, or "".
func (f Facts) engineSocket(path string) string {
	sockets := []string{"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"}
	for _, dir := range []string{f.Env.absolute("XDG_RUNTIME_DIR"), fmt.Sprintf("/run/user/%d", f.UID)} {
		if dir != "" {
			sockets = append(sockets, filepath.Join(dir, "docker.sock"), filepath.Join(dir, "podman", "podman.sock"))
		}
	}
	sockets = append(sockets, filepath.Join(f.Home, ".docker", "run", "docker.sock"), filepath.Join(f.Home, ".docker", "desktop", "docker.sock"))
	for _, host := range []string{f.Endpoint.Host, f.Env.Get("DOCKER_HOST")} { // the first is not known before the engine was asked
		if socket, ok := strings.CutPrefix(host, "unix://"); ok && filepath.IsAbs(socket) {
			sockets = append(sockets, socket)
		}
	}
	for _, socket := range sockets {
		if isThere(socket) && isBelow(resolved(socket), path) {
			return socket
		}
	}
	return ""
}
