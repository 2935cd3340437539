//go:build linux

package toolrun

import (
	"errors"
	"path/filepath"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// errOutside says that a directory of the workspace is a link to one elsewhere.
var errOutside = errors.New("it is a link that leads out of the workspace")

// StaysInside returns an error when cwd is a directory of the workspace by its name alone: a
// link leads elsewhere in the container. A caller has the real name of the directory that
// it is in, so nobody is there by accident.
func StaysInside(cwd, workspace string) error {
	if !execproto.Within(cwd, workspace) {
		return nil // not for us to judge
	}
	real, err := filepath.EvalSymlinks(cwd)
	if err != nil {
		return cause(err)
	}
	if !execproto.Within(real, workspace) {
		return errOutside
	}
	return nil
}
