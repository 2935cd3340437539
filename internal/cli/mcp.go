package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/session"
)

func (a *app) mcpCmd() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Serve toolchains by the Model Context Protocol",
		Long: `Serve toolchains by the Model Context Protocol (MCP) on standard input and output, for an agent that has it as a server in
its configuration. The sidecars of --toolchain start, without an agent, and end with the connection. With --session it is
those of a session that runs.`,
		Example: `  aifo-coder mcp --toolchain rust --toolchain node
  aifo-coder mcp --session k3j2h1g0`,
		GroupID: groupToolchains,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if id != "" {
				return a.joinMCP(cmd.Context(), id)
			}
			return a.run(cmd.Context(), func(o *plan.Options) error {
				if len(o.Toolchains) == 0 {
					return errors.New("name the toolchains to serve: aifo-coder mcp --toolchain KIND")
				}
				o.Serve = true
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&id, "session", "", "serve the toolchains of the running session `ID`")
	mustComplete(cmd, "session", completeRunning)
	return cmd
}

// completeRunning completes the id of a session that runs.
func completeRunning(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	f, err := hostfacts.User()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return session.Served(f.RuntimeDir), cobra.ShellCompDirectiveNoFileComp
}

// joinMCP connects the caller's streams to the MCP server of a running session.
func (a *app) joinMCP(ctx context.Context, id string) error {
	if len(a.flags.toolchains.Toolchain)+len(a.flags.toolchains.Spec)+len(a.flags.toolchains.Image) > 0 {
		return &UsageError{Err: errors.New("a running session has its toolchains; leave --toolchain or --session out")}
	}
	if strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return &UsageError{Err: fmt.Errorf("--session %q is not the id of a session", id)}
	}
	f, err := hostfacts.User()
	if err != nil {
		return err
	}
	conn, err := session.DialMCP(f.RuntimeDir, id)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	return carry(conn, a.streams.In, a.streams.Out)
}

// carry copies both ways until the server has ended. The end of the input it is told.
func carry(conn io.ReadWriter, in io.Reader, out *os.File) error {
	asked := make(chan struct{})
	go func() {
		_, _ = io.Copy(conn, in)
		close(asked)
		if w, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite()
		}
	}()
	_, err := io.Copy(out, conn)
	select {
	case <-asked:
		return nil
	default:
	}
	if err == nil {
		err = errors.New("the session has ended")
	}
	return fmt.Errorf("serve MCP: %w", err)
}
