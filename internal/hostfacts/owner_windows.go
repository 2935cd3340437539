package hostfacts

import (
	"errors"
	"strconv"

	"golang.org/x/sys/windows"
)

// stillActive is the exit code of a process that has not ended (STILL_ACTIVE of GetExitCodeProcess).
const stillActive = 259

// processStart returns the time at which the process was created, and whether it runs.
// One of another user, which may not be asked, counts as running.
func processStart(pid int) (string, bool) {
	p, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return "", errors.Is(err, windows.ERROR_ACCESS_DENIED)
	}
	defer func() { _ = windows.CloseHandle(p) }()
	var code uint32
	if err := windows.GetExitCodeProcess(p, &code); err == nil && code != stillActive {
		return "", false
	}
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(p, &created, &exited, &kernel, &user); err != nil {
		return "", true
	}
	return strconv.FormatInt(created.Nanoseconds(), 10), true
}

// processUID returns -1: Windows has no numbers for users.
func processUID(int) int { return -1 }
