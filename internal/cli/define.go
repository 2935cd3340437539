package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// envDefine names files with definitions, as --toolchain-define does, separated
// as the directories of PATH are.
const envDefine = "AIFO_TOOLCHAIN_DEFINE"

// maxText is far more than anybody writes into a file for us; a device has no end.
const maxText = 1 << 20

// kinds returns the built-in toolchains and those that the user defines.
func (f *flags) kinds(env hostfacts.Env) (toolchain.Set, error) {
	var set toolchain.Set
	for _, name := range f.files(env) {
		data, err := readText(name)
		if err != nil {
			return set, fmt.Errorf("read the toolchain definitions: %w", err)
		}
		if set, err = set.With(name, data); err != nil {
			return set, err
		}
	}
	return set, nil
}

// files returns the names of all files with definitions, each file once. Empty
// parts of the variable name none.
func (f *flags) files(env hostfacts.Env) []string {
	var names, seen []string
	listed := slices.DeleteFunc(filepath.SplitList(env.Get(envDefine)), func(name string) bool { return name == "" })
	for _, name := range append(listed, f.define...) {
		if path := canonical(name); !slices.Contains(seen, path) {
			names, seen = append(names, name), append(seen, path)
		}
	}
	return names
}

// canonical returns the path of a file without links, or as far as there is one.
func canonical(name string) string {
	path, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// warnDefinitions tells of files that an agent can write: one that did so would
// choose an image for the next session.
func (a *app) warnDefinitions(facts hostfacts.Facts) {
	for _, name := range a.flags.files(a.env) {
		if strings.HasPrefix(canonical(name), facts.Workspace+string(filepath.Separator)) {
			a.printer.Warn(fmt.Sprintf("the toolchain definitions in %s are in the workspace, where the agent can change them; keep them elsewhere", name))
		}
	}
}

// checkFile refuses what may have no end or never begin, like a named pipe. What
// a shell hands over in /dev is read as it comes.
func checkFile(name string) error {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() && name != "/dev/stdin" && filepath.Dir(name) != "/dev/fd":
		return fmt.Errorf("%s is not a regular file; give a file, /dev/stdin or <(...)", name)
	}
	return nil
}

// readText reads a file that the user names on the command line.
func readText(name string) ([]byte, error) {
	if err := checkFile(name); err != nil {
		return nil, err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxText+1))
	if err == nil && len(data) > maxText {
		err = errors.New(name + " is too long")
	}
	return data, err
}
