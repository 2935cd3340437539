package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"runtime"
	"strconv"

	"github.com/aifo-coder/aifo-coder/internal/buildinfo"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/shimbuild"
	"github.com/aifo-coder/aifo-coder/shims"
)

// run carries out, or shows, the session of the options: flags and
// environment, then the facts, then the plan, then the act.
func (a *app) run(ctx context.Context, complete func(*plan.Options) error) error {
	o, err := a.flags.options(a.env)
	if err == nil {
		err = complete(&o)
	}
	if err == nil {
		err = checkOptions(o, a.env, runtime.GOOS)
	}
	if err == nil {
		a.tracing, err = a.parseTrace()
	}
	if err != nil {
		return &UsageError{Err: err}
	}
	id, err := a.sessionID()
	if err != nil {
		return err
	}
	f, err := a.facts(ctx, o)
	if err != nil {
		return err
	}
	a.pane.complete(&o, &f)
	if err := a.decide(ctx, &o, f); err != nil {
		return err
	}
	a.warnDefinitions(f)
	p := plan.Build(o, f, id)
	for _, w := range append(deprecated(a.env), p.Warnings...) {
		a.printer.Warn(w)
	}
	a.explain(p, f)
	if a.flags.dryRun {
		return a.show(p)
	}
	if a.pane == nil && o.Agent != nil {
		if err := a.staleForks(ctx, f); err != nil {
			a.printer.Warn(err.Error()) // the agent can work all the same
		}
	}
	a.greet(o, p, f)
	return a.act(ctx, o, p, f)
}

// facts takes the snapshot of the host. A dry run goes on without an engine.
func (a *app) facts(ctx context.Context, o plan.Options) (hostfacts.Facts, error) {
	workspace := a.flags.workspace
	if a.pane != nil {
		workspace = a.pane.dir
	}
	f, err := hostfacts.Host(ctx, workspace)
	if err != nil {
		return f, err
	}
	f.Env = a.config.environment(f.Env)
	f.ReadFiles(plan.ConfigFiles(o.Agent, f))
	work := a.printer.Begin("asking the engine which images it has")
	err = a.readEngine(ctx, &f, plan.Images(o, f.Env))
	work.End(err)
	if err != nil && !a.flags.dryRun {
		return f, err
	}
	arch := runtime.GOARCH
	if f.Engine == nil {
		a.printer.Warn("no engine answers; images are shown as if none were present")
	} else {
		arch = f.Engine.GOARCH()
	}
	if o.UnixSocket && f.Engine != nil && f.Engine.Desktop() {
		return f, &UsageError{Err: errors.New("--toolchain-unix-socket needs an engine on this host's kernel; Docker Desktop runs in a virtual machine; leave it out to use TCP")}
	}
	if f.ShimDir, err = a.shimDir(ctx, f.CacheDir, arch, o.Kinds.Tools()); err != nil {
		return f, err
	}
	return f, a.locateEngine(ctx, &f, o)
}

// shimDir returns the directory of the shims. Where this program came without them they are
// made, but not for a dry run.
func (a *app) shimDir(ctx context.Context, cacheDir, arch string, tools []string) (string, error) {
	dir, err := shims.Path(cacheDir, arch, tools)
	missing, ok := asType[*shims.MissingError](err)
	if !ok {
		return dir, err
	}
	if a.flags.dryRun {
		return "", &noShimYetError{missing}
	}
	work := a.printer.Begin("building the shim for containers with go install, once for this version")
	err = shimbuild.Build(ctx, missing, cacheDir, buildinfo.Version())
	work.End(err)
	if err != nil {
		return "", err
	}
	return shims.Path(cacheDir, arch, tools)
}

// noShimYetError says that a dry run does not make a shim.
type noShimYetError struct{ *shims.MissingError }

// Hint says what does.
func (e *noShimYetError) Hint() string {
	return "run the same without --dry-run once, which builds it, or in a checkout of aifo-coder: make build"
}

func (a *app) docker() docker.Client {
	c := docker.Client{Engine: a.engine}
	if a.flags.verbose && !a.flags.dryRun {
		c.Trace = func(argv []string) { a.printer.Notice("running: " + dockerargs.Quote(argv)) }
	}
	return c
}

// explain says what was chosen.
func (a *app) explain(p plan.Plan, f hostfacts.Facts) {
	if !a.flags.verbose {
		return
	}
	a.printer.Notice(fmt.Sprintf("workspace: %s", f.Workspace))
	if p.Agent != nil {
		a.printer.Notice(fmt.Sprintf("agent image: %s (%s)", p.Agent.Image, p.Source))
	}
	for _, s := range p.Sidecars {
		a.printer.Notice(fmt.Sprintf("toolchain %s: %s (%s)", s.Kind, s.Image, s.Source))
	}
	if a.flags.dryRun {
		a.printer.Notice("dry run: nothing is started or changed")
	}
}

// show prints the commands of the plan.
func (a *app) show(p plan.Plan) error {
	for _, m := range p.Missing {
		a.printer.Warn(m.Reason() + "; " + m.Hint())
	}
	for _, argv := range p.Commands() {
		if _, err := fmt.Fprintln(a.streams.Out, dockerargs.Quote(argv)); err != nil {
			return fmt.Errorf("print the commands: %w", err)
		}
	}
	return nil
}

func (a *app) act(ctx context.Context, o plan.Options, p plan.Plan, f hostfacts.Facts) error {
	s := &session.Session{
		Plan: p, Facts: f, Docker: a.docker(), Streams: a.streams, Log: a.log,
		Notice: a.printer.Notice, Begin: a.printer.Begin, Pull: a.pull, Named: a.pane != nil || a.env.Get(envSessionID) != "",
		Ready: a.pane.started(), Broker: a.broker, Trace: a.tracing, Agent: agentName(o),
		Lock: p.Agent != nil && a.env.Get("AIFO_CODER_SKIP_LOCK") != "1",
	}
	code, err := s.Run(ctx)
	if err != nil {
		return &sessionError{err: err}
	}
	a.code = code
	return nil
}

// agentName returns the name of the session's agent, or "" when there is none.
func agentName(o plan.Options) string {
	if o.Agent == nil {
		return ""
	}
	return o.Agent.Name
}

// pull pulls an image. What the engine shows of it on a terminal is better than what could be said here,
// and elsewhere a line for each layer is too much.
func (a *app) pull(ctx context.Context, image string) error {
	var terminal *os.File
	if a.printer.Screen.Live() && !a.flags.quiet {
		terminal = a.streams.Err
	}
	work := a.printer.Announce("pulling image " + image)
	err := a.docker().Pull(ctx, image, terminal)
	work.End(err)
	return err
}

// sessionID returns the id for a new session: that of the pane, or a new one.
func (a *app) sessionID() (string, error) {
	if a.pane != nil {
		return a.pane.id, nil
	}
	return sessionID(a.env)
}

// envSessionID names the session from outside.
const envSessionID = "AIFO_CODER_FORK_SESSION"

var sessionIDRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,23}$`)

// sessionID returns the id for a new session: the one from outside, or a random one.
func sessionID(env hostfacts.Env) (string, error) {
	if id := env.Get(envSessionID); id != "" {
		if !sessionIDRE.MatchString(id) {
			return "", &UsageError{Err: fmt.Errorf("%s=%q: takes up to 24 lower-case letters, digits and hyphens", envSessionID, id)}
		}
		return id, nil
	}
	return randomID()
}

// randomID returns 8 characters of base 36.
func randomID() (string, error) {
	const length, base = 8, 36
	n, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(base), big.NewInt(length), nil))
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return fmt.Sprintf("%0*s", length, strconv.FormatInt(n.Int64(), base)), nil
}
