package plan

import (
	"path"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// A plan follows from its facts alone, on whatever system it is made: paths of the host are
// joined and compared as the host's system does it.

const windows = "windows"

// hostJoin returns a path of the host: dir, which is clean, and what is below it, with slashes.
func hostJoin(f hostfacts.Facts, dir string, below ...string) string {
	rest := path.Join(below...)
	if f.GOOS != windows {
		return path.Join(dir, rest)
	}
	return strings.TrimSuffix(dir, `\`) + `\` + strings.ReplaceAll(rest, "/", `\`)
}

// below returns where dir is below root, with slashes, and whether it is. Both are clean and absolute.
func below(f hostfacts.Facts, root, dir string) (string, bool) {
	if f.GOOS == windows {
		root, dir = strings.ReplaceAll(root, `\`, "/"), strings.ReplaceAll(dir, `\`, "/")
	}
	root = strings.TrimSuffix(root, "/")
	if len(dir) < len(root) || !sameName(f, dir[:len(root)], root) {
		return "", false
	}
	rest := dir[len(root):]
	return strings.TrimPrefix(rest, "/"), rest == "" || rest[0] == '/'
}

func sameName(f hostfacts.Facts, a, b string) bool {
	if f.GOOS == windows {
		return strings.EqualFold(a, b)
	}
	return a == b
}
