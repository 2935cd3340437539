package execproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Toolchain is what a session has of one kind.
type Toolchain struct {
	Kind    string
	Aliases []string
	Image   string
	Tools   []string // every tool that a shim may have the kind run
	Probe   []string // a tool of it with the arguments that make it print its version
}

// KindTools is what a sidecar really has, as /tools prints it.
type KindTools struct {
	Kind  string                `json:"kind"`
	Image string                `json:"image"`
	Tools []execproto.FoundTool `json:"tools"`
	Error string                `json:"error,omitempty"` // why the sidecar could not be asked
}

// maxToolList limits what a sidecar may say about its tools.
const maxToolList = 1 << 20

// tools answers /tools: which tools the session has, where and in which version,
// as a table or, with the argument --json, in JSON.
func (p *Proxy) tools(w http.ResponseWriter, r *http.Request, req *request) *refusal {
	if ref := req.checkAccess(); ref != nil {
		return ref
	}
	if req.proto == protoBuffered || len(req.args) > 1 || len(req.args) == 1 && req.args[0] != "--json" {
		return refuseRequest
	}
	found, ref := p.findTools(r.Context(), req.cwd)
	if ref != nil {
		return ref
	}
	text := toolTable(found)
	if len(req.args) == 1 {
		text, _ = json.MarshalIndent(found, "", "  ") // strings alone
		text = append(text, '\n')
	}
	plain(w, http.StatusOK, 0, int64(len(text)))
	_, _ = w.Write(text)
	return nil
}

// Tools returns what the sidecars really have, seen from a directory. It waits for all of
// them, and fails when ctx or the session ends.
func (p *Proxy) Tools(ctx context.Context, cwd string) ([]KindTools, error) {
	cwd, ok := cleanCwd(cwd, p.cfg.Workspace)
	if !ok {
		return nil, &RefusedError{Reason: refuseCwd}
	}
	found, ref := p.findTools(ctx, cwd)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if ref != nil {
		return nil, &RefusedError{Reason: strings.TrimSpace(ref.body)}
	}
	return found, nil
}

// findTools asks all sidecars at once.
func (p *Proxy) findTools(ctx context.Context, cwd string) ([]KindTools, *refusal) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c, ref := p.calls.add("", "", cancel) // counted, and ended by Shutdown, like a tool call
	if ref != nil {
		return nil, ref
	}
	defer p.calls.remove(c)
	found := make([]KindTools, len(p.cfg.Toolchains))
	var asked sync.WaitGroup
	for i, t := range p.cfg.Toolchains {
		asked.Go(func() { found[i] = p.askTools(ctx, c.id, cwd, t) })
	}
	asked.Wait()
	if ctx.Err() != nil {
		return nil, refuseFailed(context.Cause(ctx))
	}
	return p.served(found), nil
}

func (p *Proxy) askTools(ctx context.Context, id, cwd string, t Toolchain) KindTools {
	k := KindTools{Kind: t.Kind, Image: t.Image, Tools: []execproto.FoundTool{}}
	if err := p.cfg.Sidecars.Ready(ctx, t.Kind); err != nil {
		k.Error = err.Error()
		return k
	}
	argv := []string{execproto.ShimBinary, "tools"}
	for _, word := range t.Probe {
		argv = append(argv, "--probe="+word)
	}
	out := &limited{}
	_, err := p.cfg.Executor.Run(ctx, Call{
		ID: id + "-" + t.Kind, Kind: t.Kind, Cwd: cwd, Stdout: out, Stderr: &limited{},
		Argv: append(append(argv, "--"), t.Tools...),
	})
	for line := range strings.Lines(out.buffer.String()) {
		if f, ok := execproto.ParseFoundTool(strings.TrimSuffix(line, "\n")); ok {
			k.Tools = append(k.Tools, f)
		}
	}
	if err != nil {
		k.Error = fmt.Sprintf("ask the %s sidecar for its tools: %v", t.Kind, err)
	}
	return k
}

// limited is a buffer that takes no more than a sidecar has any reason to write.
// It has no other method than Write, or somebody would get around the limit.
type limited struct{ buffer bytes.Buffer }

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if l.buffer.Len()+len(p) > maxToolList {
		return 0, fmt.Errorf("more than %d bytes", maxToolList)
	}
	return l.buffer.Write(p)
}

// served leaves a tool that several sidecars have to the one that a call would
// go to.
func (p *Proxy) served(found []KindTools) []KindTools {
	has := map[string][]string{} // tool to kinds
	for _, k := range found {
		for _, f := range k.Tools {
			has[f.Name] = append(has[f.Name], k.Kind)
		}
	}
	for i, k := range found {
		found[i].Tools = slices.DeleteFunc(k.Tools, func(f execproto.FoundTool) bool {
			candidates := p.cfg.Candidates(f.Name)
			first := slices.IndexFunc(candidates, func(kind string) bool { return slices.Contains(has[f.Name], kind) })
			return first < 0 || candidates[first] != k.Kind
		})
	}
	return found
}

func toolTable(found []KindTools) []byte {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "TOOLCHAIN\tTOOL\tPATH\tVERSION")
	for _, k := range found {
		for _, f := range k.Tools {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", k.Kind, f.Name, f.Path, f.Version)
		}
		if k.Error != "" {
			fmt.Fprintf(t, "%s\t-\t-\t%s\n", k.Kind, k.Error)
		}
	}
	_ = t.Flush() // to memory
	return b.Bytes()
}
