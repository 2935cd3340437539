package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
)

func (a *app) cacheClearCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "toolchain-cache-clear",
		Short:   "Remove the cache volumes of all toolchains",
		Long:    "Remove the cache volumes of all toolchains and print the name of each that was removed. A volume that a session uses stays, and the exit code is 1.",
		GroupID: groupToolchains,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.clearCaches(cmd.Context()) },
	}
}

func (a *app) clearCaches(ctx context.Context) error {
	c := a.docker()
	kinds, err := a.flags.kinds(a.env)
	if err != nil {
		return &UsageError{Err: err}
	}
	if a.flags.dryRun {
		for _, name := range kinds.Volumes() {
			if _, err := fmt.Fprintln(a.streams.Out, dockerargs.Quote(append([]string{"docker"}, dockerargs.VolumeRemove(name)...))); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := c.Info(ctx); err != nil {
		return err
	}
	volumes, err := c.Volumes(ctx, kinds.Volumes())
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range volumes {
		if err := c.Do(ctx, dockerargs.VolumeRemove(name)); err != nil {
			errs = append(errs, fmt.Errorf("remove volume %s: %w", name, err))
			continue
		}
		if _, err := fmt.Fprintln(a.streams.Out, name); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}
