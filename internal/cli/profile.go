package cli

import (
	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// profileVariable stands for --profile.
const profileVariable = "AIFO_CODER_PROFILE"

// completeProfiles completes the name of a profile of the user's file.
func completeProfiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	f, err := hostfacts.User()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp // there is nobody to tell
	}
	settings, _ := readUserFile(f)
	return append(config.Profiles(settings), config.NoProfile), cobra.ShellCompDirectiveNoFileComp
}
