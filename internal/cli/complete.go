package cli

import (
	"cmp"
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// engineTime is how long a completion waits for the engine. An engine that is not there says
// so in a few milliseconds; one that does not answer must not keep a person from typing. Tests have more time.
var engineTime = 300 * time.Millisecond

// noFiles are completions of which none is a file.
func noFiles(values []string) ([]string, cobra.ShellCompDirective) {
	return values, cobra.ShellCompDirectiveNoFileComp
}

// client is that of the engine that the command line names so far, or the environment, or that is installed.
func (f *flags) client() docker.Client {
	return docker.Client{Engine: docker.Choose(cmp.Or(f.engine, os.Getenv(envEngine)), proc.Installed)}
}

// fromEngine returns what the engine answers in time, or nothing.
func fromEngine(ctx context.Context, c docker.Client, ask func(docker.Client, context.Context) ([]string, error)) []string {
	return inTime(ctx, func(ctx context.Context) []string {
		list, _ := ask(c, ctx) // there is nobody to tell
		return list
	})
}

// inTime returns what ask does, which asks the engine, or nothing when that takes too long.
func inTime(ctx context.Context, ask func(context.Context) []string) []string {
	ctx, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	answer := make(chan []string, 1)
	go func() { answer <- ask(ctx) }()
	select {
	case list := <-answer:
		return list
	case <-ctx.Done(): // the docker command may take its time to end
		return nil
	}
}

// images returns the images of this machine, those of containers of ours first.
func (f *flags) images(ctx context.Context) []string {
	refs := fromEngine(ctx, f.client(), docker.Client.ImageRefs)
	slices.SortStableFunc(refs, func(a, b string) int {
		switch ours, others := strings.Contains(a, "aifo-"), strings.Contains(b, "aifo-"); {
		case ours == others:
			return 0
		case ours:
			return -1
		}
		return 1
	})
	return refs
}

// completeImages completes the name of an image.
func (f *flags) completeImages(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return noFiles(f.images(cmd.Context()))
}

// completeNetworks completes the name of a network that a session may join.
func (f *flags) completeNetworks(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := fromEngine(cmd.Context(), f.client(), docker.Client.NetworkNames)
	return noFiles(slices.DeleteFunc(names, func(n string) bool { return checkNetwork(n) != nil }))
}

// completeKinds completes KIND[@VERSION][=IMAGE]: kinds, then the versions of one whose
// images are here, then images.
func (f *flags) completeKinds(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	set := f.known()
	if _, _, ok := strings.Cut(typed, "="); ok {
		return f.completeKindImages(cmd, nil, typed)
	}
	name, _, ok := strings.Cut(typed, "@")
	if !ok {
		return noFiles(set.Names())
	}
	k, ok := set.Lookup(name)
	if !ok {
		return noFiles(nil)
	}
	return noFiles(prefixed(name+"@", kindVersions(k, f.images(cmd.Context()))))
}

// completeContainers completes KIND= of values that may be for one container.
func (f *flags) completeContainers(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return suffixed(f.containers(), "="), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeKindImages completes KIND=IMAGE.
func (f *flags) completeKindImages(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	name, _, ok := strings.Cut(typed, "=")
	if ok {
		return noFiles(prefixed(name+"=", f.images(cmd.Context())))
	}
	return suffixed(f.known().Names(), "="), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// kindVersions returns the versions of a kind of which an image is here, and its default.
func kindVersions(k toolchain.Kind, refs []string) []string {
	var versions []string
	pattern := cmp.Or(k.Official, k.FirstParty+":{version}")
	re := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), regexp.QuoteMeta("{version}"), "([A-Za-z0-9_][A-Za-z0-9_.-]*?)") + "$")
	for _, ref := range refs {
		if m := re.FindStringSubmatch(ref); len(m) == 2 {
			versions = append(versions, m[1])
		}
	}
	if k.DefaultVersion != "" {
		versions = append(versions, k.DefaultVersion)
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

func prefixed(prefix string, values []string) []string {
	var list []string
	for _, v := range values {
		list = append(list, prefix+v)
	}
	return list
}

func suffixed(values []string, suffix string) []string {
	var list []string
	for _, v := range values {
		list = append(list, v+suffix)
	}
	return list
}

// completePolicies completes [KIND=]POLICY.
func (f *flags) completePolicies(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if name, _, ok := strings.Cut(typed, "="); ok {
		return noFiles(prefixed(name+"=", netpolicy.Modes()))
	}
	return noFiles(slices.Concat(netpolicy.Modes(), prefixes(typed, f.containers())))
}

// completeHosts completes [KIND=]@PRESET.
func (f *flags) completeHosts(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var presets []string
	for _, p := range netpolicy.Presets() {
		presets = append(presets, cobra.CompletionWithDesc("@"+p.Name, p.Short))
	}
	if name, _, ok := strings.Cut(typed, "="); ok {
		return noFiles(prefixed(name+"=", presets))
	}
	return noFiles(slices.Concat(presets, prefixes(typed, f.containers())))
}

// known returns the kinds of toolchains, as far as their definitions can be read.
func (f *flags) known() toolchain.Set {
	set, _ := f.kinds(hostfacts.EnvOf(os.Environ()))
	return set
}

// containers returns what KIND= can be.
func (f *flags) containers() []string {
	return append([]string{plan.KindAgent}, f.known().Names()...)
}

// prefixes returns NAME= of the names, once something is typed that they begin with: before that they
// would hide what is meant most of the time.
func prefixes(typed string, names []string) []string {
	if typed == "" {
		return nil
	}
	return suffixed(names, "=")
}

// completeAgentArgs completes what follows "--": a tool, or else what a shell would complete.
func (a *app) completeAgentArgs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if !a.dashed() {
		return noFiles(nil) // flags, or the agent's own words, of which we know nothing
	}
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.flags.known().Tools(), cobra.ShellCompDirectiveDefault
}

// completeToolchainArgs completes the kind of the toolchain command, then its command.
func (a *app) completeToolchainArgs(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	switch {
	case len(args) == 0:
		return a.flags.completeKinds(cmd, args, typed)
	case !a.dashed():
		return []string{"--"}, cobra.ShellCompDirectiveNoFileComp
	case len(args) > 1:
		return nil, cobra.ShellCompDirectiveDefault
	}
	name, _ := kindIn(args[0])
	k, _ := a.flags.known().Lookup(name)
	return k.ToolNames(), cobra.ShellCompDirectiveDefault
}

// dashed reports whether "--" stands before what is completed. Cobra cannot be asked: it adds one of its own.
func (a *app) dashed() bool { return len(a.args) > 0 && slices.Contains(a.args[:len(a.args)-1], "--") }

// completeDirs completes directories.
func completeDirs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeFiles completes files.
func completeFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}
