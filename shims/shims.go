// Package shims carries the static program that stands in for tools in
// containers, and puts it into a directory of the host that can be mounted:
// the program itself and, for each tool, a link to it.
//
// An installed directory is named by its content, so versions of aifo-coder
// do not get in each other's way, and one that containers have mounted is only
// ever completed, never replaced. The package removes nothing.
package shims

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/buildinfo"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Binary is the name of the program in an installed directory.
const Binary = execproto.NameShim

// ours are the links beside those of the tools.
var ours = []string{execproto.NameRun, execproto.NameTools, execproto.NameMCP, execproto.NameNotify, execproto.NameNotifyCmd}

// The binaries are built before this package (see the Makefile) and are not
// part of the repository, so all that is sure to be here is a placeholder.
//
//go:embed all:bin
var embedded embed.FS

// Path returns the directory that Install makes for containers of the given
// architecture ("amd64", "arm64") with the tools of those names. It touches nothing.
func Path(cacheDir, arch string, tools []string) (string, error) {
	c, err := load(embedded, cacheDir, arch, tools)
	if err != nil {
		return "", err
	}
	return c.path(cacheDir), nil
}

// Install makes sure that the directory named by Path is there and complete,
// and returns it. Any number of processes may do so at once. A directory that
// others than the user could have changed is refused, since what is in it runs
// in every container.
func Install(cacheDir, arch string, tools []string) (string, error) {
	c, err := load(embedded, cacheDir, arch, tools)
	if err != nil {
		return "", err
	}
	return c.install(cacheDir)
}

// content is what a directory holds.
type content struct {
	binary []byte
	names  []string // of the links, sorted, each once
}

// MissingError says that there is no shim for containers of an architecture: this program was
// built without, and none was made since.
type MissingError struct{ Arch string }

func (e *MissingError) Error() string {
	return "this build of aifo-coder has no shim for linux/" + e.Arch
}

// Built returns where a shim is looked for that this program was built without.
func Built(cacheDir, arch string) string {
	return filepath.Join(cacheDir, "shim-build", buildinfo.Version(), name(arch))
}

func name(arch string) string { return "aifo-shim-linux-" + arch }

func load(fsys fs.FS, cacheDir, arch string, tools []string) (content, error) {
	binary, err := fs.ReadFile(fsys, "bin/"+name(arch))
	if errors.Is(err, fs.ErrNotExist) {
		binary, err = built(cacheDir, arch)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return content{}, &MissingError{Arch: arch}
	}
	names := slices.Concat(ours, tools)
	slices.Sort(names)
	return content{binary, slices.Compact(names)}, err
}

// built reads a shim that was made later. It runs in every container, so nobody else may
// have been able to write it.
func built(cacheDir, arch string) ([]byte, error) {
	path := Built(cacheDir, arch)
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return binary, private(filepath.Dir(path))
}

func (c content) path(cacheDir string) string {
	h := sha256.New()
	h.Write(c.binary)
	h.Write([]byte(strings.Join(c.names, "\n")))
	return filepath.Join(cacheDir, "shims", hex.EncodeToString(h.Sum(nil))[:16])
}

func (c content) install(cacheDir string) (string, error) {
	dir := c.path(cacheDir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("install shims: %w", err)
	}
	if err := private(filepath.Dir(dir)); err != nil {
		return "", err
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := c.create(dir); err != nil {
			return "", fmt.Errorf("install shims: %w", err)
		}
	}
	if err := private(dir); err != nil {
		return "", err
	}
	if err := c.complete(dir); err != nil {
		return "", fmt.Errorf("install shims: %w", err)
	}
	return dir, nil
}

// create makes the directory under another name first, so that nobody sees it
// half full. It is no error when another process was faster.
func (c content) create(dir string) error {
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o755); err != nil { // containers run as other users
		return err
	}
	if err := c.complete(temp); err != nil {
		return err
	}
	err = os.Rename(temp, dir)
	if _, statErr := os.Lstat(dir); statErr == nil {
		return nil
	}
	return err
}

// complete puts into dir what is missing or wrong. Each file is renamed into
// place, so it may be done by several processes, and under a running container.
func (c content) complete(dir string) error {
	bin := filepath.Join(dir, Binary)
	if info, err := os.Lstat(bin); err != nil || !intact(info, len(c.binary)) {
		if err := replace(bin, func(temp string) error { return write(temp, c.binary) }); err != nil {
			return err
		}
	}
	for _, name := range c.names {
		link := filepath.Join(dir, name)
		if target, err := os.Readlink(link); err == nil && target == Binary {
			continue
		}
		if err := replace(link, func(temp string) error { return os.Symlink(Binary, temp) }); err != nil {
			return err
		}
	}
	return nil
}

// intact is a cheap check: what damages files here is an interrupted write or
// a cleaner of caches, and both leave another size.
func intact(info fs.FileInfo, size int) bool {
	return info.Mode().IsRegular() && info.Mode().Perm()&0o555 == 0o555 && info.Size() == int64(size)
}

func write(path string, binary []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = f.Write(binary)
	return errors.Join(err, f.Chmod(0o755), f.Close())
}

// replace makes a file by make under a temporary name and renames it to path.
func replace(path string, make func(temp string) error) error {
	holder, err := os.MkdirTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(holder)
	temp := filepath.Join(holder, "file")
	if err := make(temp); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
