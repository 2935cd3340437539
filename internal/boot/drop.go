//go:build linux

package boot

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// rootKeeps is what is left to a user who is root in the container, as with a
// rootless engine: to work on files as root does, and nothing else.
const rootKeeps = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID

// drop gives up for good what the user shall not have. The bounding set comes
// first, since changing it takes a capability that goes with the uid.
func (o *options) drop() error {
	keep := uint64(0)
	if o.UID == 0 {
		keep = rootKeeps
	}
	if err := limitBounding(keep); err != nil {
		return err
	}
	if err := o.setIDs(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	if err := limitCaps(keep); err != nil {
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

// limitBounding removes all but keep from the bounding set. The kernel says
// EINVAL for the first capability that it does not know.
func limitBounding(keep uint64) error {
	for c := 0; c < 64; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if err == unix.EINVAL {
			break
		}
		if err != nil || has == 0 || keep&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// limitCaps keeps of the effective and permitted capabilities those in keep,
// and of the inheritable ones none.
func limitCaps(keep uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for i := range data {
		mask := uint32(keep >> (32 * i)) //nolint:gosec // the half that data[i] is about
		data[i].Effective &= mask
		data[i].Permitted &= mask
		data[i].Inheritable = 0
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}
