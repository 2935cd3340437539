package git

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// The oldest git that merges without a work tree (git-merge-tree(1), --write-tree).
const (
	oldestMajor = 2
	oldestMinor = 38
)

// VersionError says that the git of this machine is too old.
type VersionError struct{ Found string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("git %d.%d or newer is needed, and this is %q", oldestMajor, oldestMinor, e.Found)
}

// Hint says what to do.
func (e *VersionError) Hint() string {
	return "install a newer git, or put one before it on PATH: https://git-scm.com/downloads"
}

// Version returns what git says of its version, and whether it is new enough for fork mode. It
// returns a *proc.NotFoundError without git.
func Version(ctx context.Context) (version string, ok bool, err error) {
	version, err = Command{Args: []string{"version"}}.Line(ctx)
	return version, err == nil && newEnough(version), err
}

// checkVersion returns a *VersionError for a git that is too old.
func checkVersion(ctx context.Context) error {
	found, ok, err := Version(ctx)
	if err == nil && !ok {
		return &VersionError{Found: found}
	}
	return err
}

// newEnough reads what git version prints: "git version 2.39.5 (Apple Git-154)".
func newEnough(line string) bool {
	words := strings.Fields(strings.TrimPrefix(line, "git version "))
	if len(words) == 0 {
		return false
	}
	parts := strings.SplitN(words[0], ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (major > oldestMajor || major == oldestMajor && minor >= oldestMinor)
}
