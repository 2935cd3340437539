package execproxy

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// kindFor returns the kind that the request names, or the one that its tool has.
func (p *Proxy) kindFor(ctx context.Context, req *request) (string, *refusal) {
	if req.kind == "" {
		return p.route(ctx, req)
	}
	for _, t := range p.cfg.Toolchains {
		if t.Kind == req.kind || slices.Contains(t.Aliases, req.kind) {
			return t.Kind, nil
		}
	}
	return "", refuseKind(req.kind, p.cfg.Toolchains)
}

// route chooses the kind that runs the tool of a request that names none (docs/protocol.md, "Routing").
func (p *Proxy) route(ctx context.Context, req *request) (string, *refusal) {
	kinds := p.cfg.Candidates(req.tool)
	if len(kinds) == 0 {
		return "", refuseTool
	}
	var present []string
	for _, k := range kinds {
		if p.cfg.Sidecars.Has(k) {
			present = append(present, k)
		}
	}
	if len(present) == 0 {
		return "", req.refuseAbsent(kinds)
	}
	kind, err := p.choose(ctx, present, req.tool)
	if err != nil {
		return "", refuseError(err)
	}
	return kind, nil
}

// choose returns the first of kinds whose image has the tool. Where there is no
// choice nothing is probed, and where no image has the tool the first kind gets
// to say so itself, with exit code 127. A probe that fails is not taken for a
// no: make must not switch compilers because one sidecar was ill for a moment.
func (p *Proxy) choose(ctx context.Context, kinds []string, tool string) (string, error) {
	if len(kinds) == 1 {
		return kinds[0], nil
	}
	for _, k := range kinds {
		ok, err := p.offers.get(ctx, k, tool)
		if err != nil {
			return "", fmt.Errorf("look for %q in toolchain %s: %w", tool, k, err)
		}
		if ok {
			return k, nil
		}
	}
	return kinds[0], nil
}

// offers remembers which images have which tools. A session has one image for
// each kind, so an answer, yes or no, stays true.
type offers struct {
	ctx   context.Context // of the probes: no caller's, since callers share them
	probe func(ctx context.Context, kind, tool string) (bool, error)

	mu     sync.Mutex // never held during a probe
	probes map[offerKey]*offer
}

type offerKey struct{ kind, tool string }

type offer struct {
	done chan struct{} // closed when ok and err are set
	ok   bool
	err  error
}

func newOffers(ctx context.Context, probe func(context.Context, string, string) (bool, error)) *offers {
	return &offers{ctx: ctx, probe: probe, probes: map[offerKey]*offer{}}
}

// get returns what the probe for kind and tool says; callers at the same time
// share one probe.
func (o *offers) get(ctx context.Context, kind, tool string) (bool, error) {
	f := o.shared(offerKey{kind, tool})
	select {
	case <-f.done:
		return f.ok, f.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (o *offers) shared(k offerKey) *offer {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.probes[k]
	if f == nil {
		f = &offer{done: make(chan struct{})}
		o.probes[k] = f
		go o.run(k, f)
	}
	return f
}

func (o *offers) run(k offerKey, f *offer) {
	f.ok, f.err = o.probe(o.ctx, k.kind, k.tool)
	if f.err != nil { // not an answer: the next caller asks again
		o.mu.Lock()
		delete(o.probes, k)
		o.mu.Unlock()
	}
	close(f.done)
}
