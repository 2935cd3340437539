package cli

import (
	"cmp"
	"context"
	"slices"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/session"
)

const envEngine = "AIFO_CODER_ENGINE"

// chooseEngine decides which engine's command line everything is done with.
func (a *app) chooseEngine() error {
	asked := a.askedEngine()
	if err := docker.CheckEngine(asked); err != nil {
		return err
	}
	a.engine = docker.Choose(asked, proc.Installed)
	return nil
}

func (a *app) askedEngine() string { return cmp.Or(a.flags.engine, a.env.Get(envEngine)) }

// readEngine adds to the facts what the engine says. Where nobody named an engine and docker
// turns out to be podman's other name, podman is asked under its own.
func (a *app) readEngine(ctx context.Context, f *hostfacts.Facts, images []string) error {
	err := f.ReadEngine(ctx, a.docker(), images)
	if renamed, ok := asType[*hostfacts.RenamedEngineError](err); ok && a.askedEngine() == "" {
		a.engine = renamed.Engine
		err = f.ReadEngine(ctx, a.docker(), images)
	}
	return err
}

// locateEngine makes sure that the engine has this machine's files. A dry run starts no
// container to find out.
func (a *app) locateEngine(ctx context.Context, f *hostfacts.Facts, o plan.Options) error {
	doubt := f.EngineDoubt()
	if doubt == "" {
		return nil
	}
	if a.flags.dryRun {
		a.printer.Warn("the engine may be on another machine (" + doubt + "); a run finds out")
		return nil
	}
	images := plan.Images(o, f.Env)
	image := ""
	if i := slices.IndexFunc(images, f.Present); i >= 0 {
		image = images[i]
	}
	work := a.printer.Begin("finding out on which machine the engine is")
	var err error
	f.OtherKernel, err = session.Locate(ctx, a.docker(), *f, image, o.Kinds.Tools())
	work.End(err)
	return err
}
