//go:build !unix

package shims

import (
	"fmt"
	"os"
)

// private returns an error unless dir is a directory. Who may write to it is
// up to the access list of the user's profile, which it inherits.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("install shims: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("install shims: %s is not a directory", dir)
	}
	return nil
}
