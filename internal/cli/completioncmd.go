package cli

import "github.com/spf13/cobra"

const completionLong = `Print a script that completes commands, flags and their values in a shell: toolchains and their versions, agents, images,
networks, profiles, sessions and panes among them. "make install" and packages put it where the shell looks for it.
What is completed is asked of this program, so the script does not change with your configuration.`

// completionHelp says how each shell gets its script.
var completionHelp = map[string]string{
	"bash": `Print the completion script for bash. It needs the package bash-completion.

For this shell, for good, and for all users:

  source <(aifo-coder completion bash)
  aifo-coder completion bash >~/.local/share/bash-completion/completions/aifo-coder
  aifo-coder completion bash >/usr/share/bash-completion/completions/aifo-coder`,
	"zsh": `Print the completion script for zsh. It needs "autoload -U compinit; compinit" in ~/.zshrc.

For this shell, and for all users:

  source <(aifo-coder completion zsh)
  aifo-coder completion zsh >/usr/share/zsh/vendor-completions/_aifo-coder

For good, put it into a directory of $fpath:

  aifo-coder completion zsh >"${fpath[1]}/_aifo-coder"`,
	"fish": `Print the completion script for fish.

For this shell, and for good:

  aifo-coder completion fish | source
  aifo-coder completion fish >~/.config/fish/completions/aifo-coder.fish`,
	"powershell": `Print the completion script for PowerShell.

For this shell; for good, put the line into the file that $PROFILE names:

  aifo-coder completion powershell | Out-String | Invoke-Expression`,
}

// explainCompletion puts our words into cobra's command.
func explainCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Short, c.Long = "Print a completion script for a shell", completionLong
		c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() } // without it no argument is looked at
		for _, shell := range c.Commands() {
			shell.Short = "Print the completion script for " + shell.Name()
			shell.Long = completionHelp[shell.Name()]
		}
	}
}
