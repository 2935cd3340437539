// Package mountid lets a container check that what is mounted in it is what its session meant.
//
// A path says where a directory is, and not which: between the moment at which a session looks at
// a path and the one at which the engine mounts it, whoever may write a directory of that path, an
// agent in another container for example, can put a link to any other place of the host there. So the
// session notes what its paths name, holds that open, and tells the container, which compares before
// anything of the session runs in it (docs/security.md, "What is mounted").
package mountid

import (
	"fmt"
	"strconv"
	"strings"
)

// File names a file or directory by what it is: the device and the number of the inode, as stat(2)
// gives them. They stay while it is held open, and are the same in each container of one kernel.
type File struct{ Dev, Ino uint64 }

// Mount is what must be mounted at a path of a container.
type Mount struct {
	Target string // absolute and clean
	File   File
}

// Encode returns the mounts as text for a variable of the environment; Decode reads it. Targets have no
// control characters.
func Encode(mounts []Mount) string {
	var b strings.Builder
	for _, m := range mounts {
		fmt.Fprintf(&b, "%d:%d:%s\n", m.File.Dev, m.File.Ino, m.Target)
	}
	return b.String()
}

// Decode returns the mounts of a text that Encode wrote, or an error for another text.
func Decode(text string) ([]Mount, error) {
	var mounts []Mount
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) < 3 {
			return nil, fmt.Errorf("%q is no mount", line)
		}
		dev, devErr := strconv.ParseUint(parts[0], 10, 64)
		ino, inoErr := strconv.ParseUint(parts[1], 10, 64)
		if devErr != nil || inoErr != nil {
			return nil, fmt.Errorf("%q is no mount", line)
		}
		mounts = append(mounts, Mount{Target: parts[2], File: File{Dev: dev, Ino: ino}})
	}
	return mounts, nil
}

// ChangedError says that a path of this host does not name what it did when the session looked at it.
type ChangedError struct{ Path string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s has become a link, or is below one, since the session began", e.Path)
}

// Hint says who can have done that.
func (e *ChangedError) Hint() string {
	return "a program that may write there did that, perhaps the agent of another session: see where it leads before you try again"
}
