//go:build linux

package boot

import (
	"fmt"
	"os"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/mountid"
)

// checkMounts returns an error when something else is mounted than the session meant. The variable is for this
// program alone.
func (o *options) checkMounts() error {
	mounts, err := mountid.Decode(os.Getenv(execproto.EnvMounts))
	if err != nil {
		return fmt.Errorf("%s: %w", execproto.EnvMounts, err)
	}
	if err := os.Unsetenv(execproto.EnvMounts); err != nil {
		return err
	}
	return mountid.Verify(mounts, o.either)
}
