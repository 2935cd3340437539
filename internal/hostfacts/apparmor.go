package hostfacts

import (
	"os"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/apparmor"
)

// loadedProfiles is where the kernel lists its AppArmor profiles, for root only.
const loadedProfiles = "/sys/kernel/security/apparmor/profiles"

// appArmorLoaded reports whether our profiles are loaded. Who may not ask the kernel takes
// it from the file that the boot loads them from: if that is wrong, a container with them
// does not start, and none starts without.
func appArmorLoaded(kernelList, file string) bool {
	list, err := os.ReadFile(kernelList)
	if err == nil {
		return strings.Contains(string(list), apparmor.Agent+" (") && strings.Contains(string(list), apparmor.Sidecar+" (")
	}
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular()
}
