package hostfacts

import (
	"fmt"
	"os"
)

// PrivateDir creates the directory; a user's temporary directory is private already.
func PrivateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create a private directory: %w", err)
	}
	return nil
}
