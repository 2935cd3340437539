package hostfacts

import "golang.org/x/sys/unix"

// kernel returns the release of the kernel and the memory of the machine in bytes, of which
// either may be unknown.
func kernel() (release string, memory int64) {
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		release = unix.ByteSliceToString(name.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		memory = int64(info.Totalram) * int64(info.Unit) //nolint:gosec // no machine has that much
	}
	return release, memory
}
