//go:build linux

package boot

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/caps"
)

// drop gives up for good what the user shall not have. The bounding set comes
// first, since changing it takes a capability that goes with the uid.
func (o *options) drop() error {
	keep := uint64(0)
	if o.UID == 0 {
		keep = caps.Root
	}
	if err := caps.LimitBounding(keep); err != nil {
		return err
	}
	if err := o.setIDs(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	if err := caps.Limit(keep); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

func (o *options) setIDs() error {
	if err := unix.Setgroups([]int{o.GID}); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := unix.Setresgid(o.GID, o.GID, o.GID); err != nil {
		return fmt.Errorf("set group %d: %w", o.GID, err)
	}
	if err := unix.Setresuid(o.UID, o.UID, o.UID); err != nil {
		return fmt.Errorf("set user %d: %w", o.UID, err)
	}
	return nil
}
