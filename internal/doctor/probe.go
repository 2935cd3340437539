package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// dialLimit bounds a connection that is tried from this process.
const dialLimit = 4 * time.Second

// socketFacts connects to the engine's socket, or returns nil where it is none.
func socketFacts(endpoint string) *SocketFacts {
	path, ok := strings.CutPrefix(endpoint, "unix://")
	if !ok {
		return nil
	}
	f := &SocketFacts{Path: path}
	c, err := net.DialTimeout("unix", path, dialLimit)
	switch {
	case err == nil:
		_ = c.Close()
	case errors.Is(err, fs.ErrNotExist):
		f.Missing = true
	case errors.Is(err, fs.ErrPermission):
		f.Denied = true
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Refused = true
	}
	info, err := os.Stat(path)
	if err != nil {
		return f
	}
	f.Everyone = info.Mode().Perm()&0o002 != 0
	if gid, ok := groupOf(info); ok {
		f.Group, f.Member, f.Listed = memberOf(gid)
	}
	return f
}

// memberOf returns the name of a group, whether this process is in it, and whether the user is
// listed as being in it, which takes a new login to count.
func memberOf(gid int) (name string, member, listed bool) {
	name = strconv.Itoa(gid)
	if g, err := user.LookupGroupId(name); err == nil {
		name = g.Name
	}
	groups, _ := os.Getgroups()
	for _, g := range append(groups, os.Getegid()) {
		member = member || g == gid
	}
	if u, err := user.Current(); err == nil {
		ids, _ := u.GroupIds()
		for _, id := range ids {
			listed = listed || id == strconv.Itoa(gid)
		}
	}
	return name, member, listed
}

// outsideTarget is an address that sessions need: the user's own proxy, or else a registry that
// everybody may reach who reaches any.
func outsideTarget(env hostfacts.Env) string {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"} {
		u, err := url.Parse(env.Get(name))
		if err != nil || u.Hostname() == "" {
			continue
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
		}
		if port == "" {
			port = "80"
		}
		return net.JoinHostPort(u.Hostname(), port)
	}
	return "registry.npmjs.org:443"
}

// reachFromHere looks up and connects to an address from this process.
func reachFromHere(ctx context.Context, target string) Reach {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	r := Reach{Target: target}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	var lookup *net.DNSError
	switch {
	case err == nil:
		_ = c.Close()
		r.Resolved, r.Reached = true, true
	case errors.As(err, &lookup):
		r.Reason = "no answer of a name server"
	default:
		r.Resolved, r.Reason = true, "no connection"
	}
	return r
}

// diskFacts measures the place of a path, which need not be there yet.
func diskFacts(name, path string, wanted uint64) DiskFacts {
	f := DiskFacts{Name: name, Path: existing(path), Wanted: wanted}
	f.Free, f.Inodes, f.Counted, f.Err = room(f.Path)
	return f
}

// existing returns the path, or the first one above it that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// dirFacts looks at a directory of ours.
func dirFacts(f DirFacts) DirFacts {
	info, err := os.Lstat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Missing = true
	case err != nil:
		f.Err = err
	case info.Mode()&fs.ModeSymlink != 0 && !f.Private:
		if info, err = os.Stat(f.Path); err != nil {
			f.Err = err
			return f
		}
		fallthrough
	default:
		f.NotDir, f.Mode = !info.IsDir(), info.Mode()
		f.Foreign = !ours(info)
	}
	return f
}

// emulates reports whether this machine runs programs of another processor.
func emulates(arch string) bool {
	name := map[string]string{"arm64": "aarch64", "amd64": "x86_64"}[arch]
	if name == "" {
		name = arch
	}
	_, err := os.Stat("/proc/sys/fs/binfmt_misc/qemu-" + name)
	return err == nil
}
