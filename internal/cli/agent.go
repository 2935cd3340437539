package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

func (a *app) addAgents(root *cobra.Command) {
	for _, ag := range agent.All() {
		root.AddCommand(a.agentCmd(ag))
	}
}

func (a *app) agentCmd(ag agent.Agent) *cobra.Command {
	cmd := &cobra.Command{
		Use:               ag.Name + " [flags] [-- ARG...]",
		Short:             ag.Short,
		Long:              agentLong(ag),
		GroupID:           groupAgents,
		ValidArgsFunction: a.completeAgentArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.flags.fork.panes > 0 {
				return a.forkAgents(cmd.Context(), ag, args, cmd.Flags())
			}
			return a.run(cmd.Context(), func(o *plan.Options) error {
				o.Agent, o.Args = &ag, args
				return nil
			})
		},
	}
	// The first word that is not a flag of ours begins the agent's own.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func agentLong(ag agent.Agent) string {
	if ag.Name == agent.Shell {
		return `Run bash in the base agent image, or the command after "--". Words that begin with "-" are options of bash.`
	}
	return fmt.Sprintf(`Run %[1]s in its container. What follows "--" goes to %[1]s. When its first word is a tool of a toolchain (cargo, npx, python, cmake...), that command runs in the container in place of %[1]s.`, ag.Name)
}
