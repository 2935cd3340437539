package cli

import (
	"strings"

	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// greet says on a terminal what is about to start. --verbose says it in more words.
func (a *app) greet(o plan.Options, p plan.Plan, f hostfacts.Facts) {
	if p.Agent == nil || a.flags.verbose || !term.IsTerminal(int(a.streams.Err.Fd())) {
		return
	}
	for _, line := range banner(o, p, f) {
		a.printer.Notice(line)
	}
}

// banner returns what a session is, in two lines: what runs, and what it can reach.
func banner(o plan.Options, p plan.Plan, f hostfacts.Facts) []string {
	runs := o.Agent.Name + " in " + p.Agent.Image
	var kinds []string
	for _, s := range o.Toolchains {
		kinds = append(kinds, s.Spec())
	}
	if kinds != nil {
		runs += ", with " + strings.Join(kinds, ", ")
	}
	reaches := []string{"workspace " + tilde(f.Workspace, f.Home), "network " + networkWords(o.Egress)}
	if len(o.Agent.Credentials) > 0 {
		reaches = append(reaches, "keys "+keyWords(o))
	}
	return []string{runs, strings.Join(reaches, ", ")}
}

// networkWords says what the session's policy is, in the words of --network-policy.
func networkWords(e plan.Egress) string {
	agent, toolchains := e.Mode(plan.KindAgent), e.Mode("")
	words := string(toolchains)
	if agent != toolchains {
		words = string(agent) + " for the agent, " + string(toolchains) + " for toolchains"
	}
	for container, mode := range e.Modes {
		if container != "" && container != plan.KindAgent && mode != toolchains {
			return words + ", with exceptions"
		}
	}
	return words
}

// keyWords says where the keys of model providers are.
func keyWords(o plan.Options) string {
	if o.Broker != nil && o.Broker.Placeholders != nil {
		return "on the host"
	}
	return "with the agent"
}

// tilde returns a path as people write it.
func tilde(path, home string) string {
	if rest, ok := strings.CutPrefix(path, home+"/"); ok {
		return "~/" + rest
	}
	return path
}
