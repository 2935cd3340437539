package doctor

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/apparmor"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
	"github.com/aifo-coder/aifo-coder/shims"
)

// containers prepares the probes in containers, and tries whether one starts at all.
func (e *examination) containers(ctx context.Context) []Result {
	image := e.probeImage()
	if image == "" {
		return []Result{result("", Skip, "no image of an agent is on this machine to try it with", "build one in a checkout of aifo-coder: make build-shell")}
	}
	f := StartFacts{Image: image}
	e.prober, f.Err = e.newProber("c", image)
	if f.Err == nil && e.Facts.EngineDoubt() != "" {
		e.Facts.OtherKernel, f.Err = session.Locate(ctx, e.Docker, e.prober.facts, image, nil)
		e.prober.facts.OtherKernel = e.Facts.OtherKernel
	}
	if f.Err == nil {
		f.Err = e.prober.start(ctx)
	}
	return []Result{startResult(f)}
}

// probeImage returns the image for probes: that of an agent that somebody asked for, else any.
func (e *examination) probeImage() string {
	shell, _ := agent.Lookup(agent.Shell)
	for _, ag := range slices.Concat(e.asked(), []agent.Agent{shell}, agent.All()) {
		if c := plan.AgentImage(ag, e.Options, e.Facts.Env, e.Facts.Present); e.Facts.Present(c.Ref) {
			return c.Ref
		}
	}
	return ""
}

func (e *examination) asked() []agent.Agent {
	if e.Asked {
		return e.Agents
	}
	return nil
}

// newProber returns a prober with directories of its own: nothing of the user's is made.
func (e *examination) newProber(name, image string) (prober, error) {
	p := prober{docker: e.Docker, options: e.Options, facts: e.Facts, image: image, id: e.ID}
	f, dir := &p.facts, filepath.Join(e.Temp, name)
	f.StdinTTY, f.StdoutTTY = false, false
	f.RuntimeDir, f.StateDir, f.Files, f.HasForks = dir, filepath.Join(dir, "state"), nil, false
	f.CABundle = hostfacts.CABundle{}
	choice, err := apparmor.Choose(e.Facts.Env.Get(apparmor.Variable), e.Facts.AppArmor)
	if err != nil {
		return p, err
	}
	p.options.AppArmor = choice
	if err := os.MkdirAll(f.RuntimeDir, 0o700); err != nil {
		return p, err
	}
	f.CacheDir = filepath.Join(dir, "cache")
	if err := e.lendShim(f.CacheDir); err != nil {
		return p, err
	}
	f.ShimDir, err = shims.Install(f.CacheDir, e.Facts.Engine.GOARCH(), nil)
	return p, err
}

// lendShim copies a shim that this program was built without and that was made since.
func (e *examination) lendShim(cacheDir string) error {
	arch := e.Facts.Engine.GOARCH()
	binary, err := os.ReadFile(shims.Built(e.Facts.CacheDir, arch))
	if err != nil {
		return nil //nolint:nilerr // there is none to lend: the program has its own, or says that it has not
	}
	path := shims.Built(cacheDir, arch)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, binary, 0o700)
}

// closed reports whether the agent has no network, by the user's own policy.
func (e *examination) closed() bool {
	return e.Options.Egress.Mode(plan.KindAgent) != netpolicy.Open
}

// network tries, in a network as sessions have one, whether containers reach this process, and
// whether they get as far outside as this machine does.
func (e *examination) network(ctx context.Context) []Result {
	if e.closed() {
		return []Result{result("", Skip, "the network policy lets the agent have none")}
	}
	pl := e.prober.tcpPlan()
	remove, err := e.prober.network(ctx, pl.Network)
	defer remove()
	if err != nil {
		return []Result{networkResult(err)}
	}
	var (
		asked       sync.WaitGroup
		proxy       ProxyFacts
		own, inside Reach
		target      = outsideTarget(e.Facts.Env)
	)
	if pl.Proxy.TCP() {
		asked.Go(func() { proxy = e.prober.tcp(ctx, pl) })
	}
	asked.Go(func() { own = reachFromHere(ctx, target) })
	asked.Go(func() { inside = e.prober.outside(ctx, pl.Network, target) })
	asked.Wait()
	if !pl.Proxy.TCP() {
		return []Result{result("", Pass, "a network can be made; tool calls go by a unix socket here"), outsideResult(own, inside)}
	}
	return []Result{proxyResult(proxy), outsideResult(own, inside)}
}

func (e *examination) unix(ctx context.Context) []Result {
	if e.Facts.GOOS != "linux" || e.Facts.Engine.Desktop() || e.Facts.OtherKernel {
		return []Result{result("", Skip, "the engine is on another kernel, to which no socket of this machine can be handed")}
	}
	return []Result{proxyResult(e.prober.unix(ctx))}
}

// images looks at the images of agents and toolchains, several at a time.
func (e *examination) images(ctx context.Context) []Result {
	facts := e.imageFacts()
	looker, err := e.newProber("i", "")
	if err != nil {
		return []Result{result("", Fail, oneLine(err))}
	}
	turns := make(chan struct{}, 2)
	var asked sync.WaitGroup
	for i := range facts {
		if facts[i].Present {
			asked.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				looker.lookInto(ctx, &facts[i])
			})
		}
	}
	asked.Wait()
	var list []Result
	for _, f := range facts {
		list = append(list, imageResult(f))
	}
	if !e.Asked {
		list = append(list, someAgent(facts)...)
	}
	return list
}

func (e *examination) imageFacts() []ImageFacts {
	var facts []ImageFacts
	for _, ag := range e.Agents {
		o := e.Options
		o.Agent, o.Toolchains = &ag, nil
		p := plan.Build(o, e.Facts, e.ID)
		f := ImageFacts{What: "agent", Name: ag.Name, Ref: p.Agent.Image, Present: e.Facts.Present(p.Agent.Image), Asked: e.Asked, Program: ag.Argv[0]}
		facts = append(facts, e.withMachine(withMissing(f, p)))
	}
	for _, s := range e.Options.AllToolchains() {
		o := e.Options
		o.Agent, o.Toolchains, o.Args = nil, []toolchain.Selection{s}, []string{"true"}
		p := plan.Build(o, e.Facts, e.ID)
		f := ImageFacts{What: "toolchain", Name: s.Kind.Name, Ref: p.Sidecars[0].Image, Present: e.Facts.Present(p.Sidecars[0].Image), Program: probeOf(s.Kind)}
		f.Asked = slices.ContainsFunc(e.Options.Toolchains, func(c toolchain.Selection) bool { return c.Kind.Name == s.Kind.Name })
		facts = append(facts, e.withMachine(withMissing(f, p)))
	}
	return facts
}

func withMissing(f ImageFacts, p plan.Plan) ImageFacts {
	if len(p.Missing) > 0 {
		f.Missing = &p.Missing[0]
	}
	return f
}

// probeOf returns the program that shows that an image has a toolchain.
func probeOf(k toolchain.Kind) string {
	if len(k.Probe) > 0 {
		return k.Probe[0]
	}
	return k.ToolNames()[0]
}

// withMachine adds what an image is for, and whether its programs run here.
func (e *examination) withMachine(f ImageFacts) ImageFacts {
	m := e.machines[f.Ref]
	f.EngineArch, f.OS, f.Arch, f.Err = e.Facts.Engine.GOARCH(), m.OS, m.Arch, e.machinesErr
	f.Emulated = f.Arch != f.EngineArch && (e.Facts.Engine.Desktop() || emulates(f.Arch))
	return f
}

// lookInto asks what an image has, unless none of its programs could run.
func (p prober) lookInto(ctx context.Context, f *ImageFacts) {
	if f.Err != nil || f.Arch != f.EngineArch && !f.Emulated {
		return
	}
	has, err := p.has(ctx, f.What+"-"+f.Name, f.Ref, f.Program, "sh")
	f.Err, f.HasProgram, f.HasShell = err, has[f.Program], has["sh"]
}
