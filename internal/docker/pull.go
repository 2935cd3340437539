package docker

import (
	"context"
	"os"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Pull pulls an image. The engine's command line shows on the terminal how it goes on, and what
// goes wrong where it is podman's; with a nil one it says nothing.
func (c Client) Pull(ctx context.Context, image string, terminal *os.File) error {
	cmd := c.Cmd(dockerargs.Pull(image))
	switch {
	case terminal == nil:
	case c.Engine == Podman:
		cmd.Stderr = terminal
	default:
		cmd.Stdout = terminal
	}
	c.Traced(cmd.Argv)
	return proc.Run(ctx, cmd)
}
