package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/imageref"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// Choice is an image, and what decided for it.
type Choice struct {
	Ref string
	// Source is the flag or the variable that decided, or one of the constants.
	Source string
	// Own says that this project builds it, under whatever name: without a
	// registry of the user's, nobody may pull it.
	Own bool
}

// Sources beside flags and variables.
const (
	SourceLocal   = "local"   // the usual name, present on this machine
	SourceDefault = "default" // the usual name
)

// The variables of registries. Neither is ever asked whether it has an image.
const (
	EnvInternalRegistry = "AIFO_CODER_INTERNAL_REGISTRY_PREFIX" // for our own images
	EnvMirrorRegistry   = "AIFO_CODER_MIRROR_REGISTRY_PREFIX"   // for everybody's
)

// RegistryPrefix returns the prefix of a registry that a variable names, with
// one slash at its end, or "".
func RegistryPrefix(env hostfacts.Env, name string) string {
	prefix := strings.TrimRight(env.Get(name), "/")
	if prefix == "" {
		return ""
	}
	return prefix + "/"
}

// resolver chooses images (docs/toolchains.md, "Which image"). It is the same
// for a preview, a run and the images command.
type resolver struct {
	o       Options
	env     hostfacts.Env
	present func(ref string) bool
}

// AgentImage returns the image of an agent. present tells which images are on
// this machine.
func AgentImage(a agent.Agent, o Options, env hostfacts.Env, present func(ref string) bool) Choice {
	return resolver{o, env, present}.agent(a)
}

// ToolchainImage returns the image of a toolchain.
func ToolchainImage(s toolchain.Selection, o Options, env hostfacts.Env, present func(ref string) bool) Choice {
	return resolver{o, env, present}.toolchain(s)
}

func (r resolver) agent(a agent.Agent) Choice {
	if r.o.Image != "" {
		return Choice{Ref: r.o.Image, Source: "--image"}
	}
	if image, source := r.first("AIFO_CODER_IMAGE", "AIFO_CODER_AGENT_IMAGE"); image != "" {
		return Choice{Ref: image, Source: source}
	}
	tag, source := r.first("AIFO_CODER_IMAGE_TAG", "AIFO_TAG", "AIFO_CODER_AGENT_TAG")
	prefix, named := r.first("AIFO_CODER_IMAGE_PREFIX")
	ref := a.Image(agent.ImageOptions{Tag: tag, Prefix: prefix, Slim: r.o.Slim})
	return r.own(ref, cmp.Or(source, named))
}

func (r resolver) toolchain(s toolchain.Selection) Choice {
	k := s.Kind
	switch {
	case s.Image != "":
		return Choice{Ref: s.Image, Source: "--toolchain"}
	case s.Version != "":
		return r.version(k, s.Version, "--toolchain")
	}
	if image, source := r.first(ImageVariables(k.Name)...); image != "" {
		return Choice{Ref: image, Source: source}
	}
	if version, source := r.versionVariable(k); version != "" {
		return r.version(k, version, source)
	}
	if value, source := r.first(kindVariables("AIFO_", k.Name, "_TOOLCHAIN_USE_OFFICIAL")...); value == "1" && k.Official != "" {
		return r.version(k, k.DefaultVersion, source)
	}
	return r.unnamed(k)
}

// unnamed is the image of a toolchain for which nobody names one: ours where it
// can be had, else the official one of a fixed version.
func (r resolver) unnamed(k toolchain.Kind) Choice {
	if k.FirstParty == "" {
		return r.version(k, k.DefaultVersion, "")
	}
	tags := append(kindVariables("", k.Name, "_TOOLCHAIN_TAG"), "AIFO_TOOLCHAIN_TAG", "AIFO_TAG")
	tag, source := r.first(tags...)
	own := r.own(k.FirstParty+":"+cmp.Or(tag, "latest"), source)
	if own.Source != SourceDefault || k.Official == "" {
		return own
	}
	return r.version(k, k.DefaultVersion, "")
}

// version is the image of a version. Kinds without an official image have it
// from us.
func (r resolver) version(k toolchain.Kind, version, source string) Choice {
	if k.Official == "" {
		return r.own(k.FirstParty+":"+version, source)
	}
	ref := k.VersionImage(version)
	mirror := RegistryPrefix(r.env, EnvMirrorRegistry)
	switch {
	case mirror == "", imageref.Qualified(ref):
		return Choice{Ref: ref, Source: cmp.Or(source, SourceDefault)}
	case r.local(ref):
		return Choice{Ref: ref, Source: cmp.Or(source, SourceLocal)}
	}
	return Choice{Ref: mirror + ref, Source: cmp.Or(source, EnvMirrorRegistry)}
}

// own is an image of ours: the copy on this machine, else that of the registry.
// A name with a slash has a place of its own.
func (r resolver) own(ref, source string) Choice {
	registry := RegistryPrefix(r.env, EnvInternalRegistry)
	switch {
	case r.local(ref):
		return Choice{Ref: ref, Source: cmp.Or(source, SourceLocal), Own: true}
	case registry != "" && !strings.Contains(ref, "/"):
		return Choice{Ref: registry + ref, Source: cmp.Or(source, EnvInternalRegistry), Own: true}
	}
	return Choice{Ref: ref, Source: cmp.Or(source, SourceDefault), Own: true}
}

// local reports whether there is a copy on this machine that may be used.
func (r resolver) local(ref string) bool { return !r.o.IgnoreLocal && r.present(ref) }

// first returns the value of the first variable that is set, and its name.
func (r resolver) first(names ...string) (value, name string) {
	for _, name := range names {
		if v := r.env.Get(name); v != "" {
			return v, name
		}
	}
	return "", ""
}

// kindVariables returns the names of a variable of a kind, in the order in which
// they count: c-cpp is CPP, or CCPP.
func kindVariables(before, kind, after string) []string {
	upper := strings.ToUpper(kind)
	names := []string{before + strings.ReplaceAll(strings.TrimPrefix(upper, "C-"), "-", "_") + after}
	if strings.HasPrefix(upper, "C-") {
		names = append(names, before+strings.ReplaceAll(upper, "-", "")+after)
	}
	return names
}

// versionVariable returns the version that a variable has for a kind, and the
// variable's name.
func (r resolver) versionVariable(k toolchain.Kind) (version, name string) {
	return r.first(VersionVariables(k.Name)...)
}

// CheckVersions returns an error for a version that a variable asks for, and no
// flag or variable before it decides, when the kind does not have it.
func CheckVersions(o Options, env hostfacts.Env) error {
	r := resolver{o: o, env: env, present: func(string) bool { return false }}
	for _, s := range o.Toolchains {
		version, name := r.versionVariable(s.Kind)
		if version == "" || r.toolchain(s).Source != name {
			continue
		}
		if err := s.Kind.CheckVersion(version); err != nil {
			return fmt.Errorf("%s=%q: %w", name, version, err)
		}
	}
	return nil
}

// Images returns every image reference that Build may choose or ask about: the
// answers decide only which of them it is.
func Images(o Options, env hostfacts.Env) []string {
	var refs []string
	r := resolver{o: o, env: env, present: func(ref string) bool {
		refs = append(refs, ref)
		return false
	}}
	for _, s := range o.Toolchains {
		ref := r.toolchain(s).Ref
		refs = append(refs, ref)
	}
	if o.Agent != nil {
		ref := r.agent(*o.Agent).Ref
		refs = append(refs, ref)
	}
	return refs
}

// AllImages returns every image that sessions of the agents may use, sorted.
func AllImages(o Options, env hostfacts.Env, agents []agent.Agent) []string {
	var refs []string
	for _, a := range agents {
		o.Agent = &a
		refs = append(refs, Images(o, env)...)
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// AllToolchains returns all kinds: those that were chosen as they were, and the others in their usual form.
func (o Options) AllToolchains() []toolchain.Selection {
	var list []toolchain.Selection
	for _, k := range o.Kinds.Kinds() {
		s := toolchain.Selection{Kind: k}
		if i := slices.IndexFunc(o.Toolchains, func(c toolchain.Selection) bool { return c.Kind.Name == k.Name }); i >= 0 {
			s = o.Toolchains[i]
		}
		list = append(list, s)
	}
	return list
}

// MissingImage is an image of ours that cannot be had, with what builds it.
type MissingImage struct {
	Ref     string
	Target  string // of the Makefile; empty: this project does not build it
	Tag     string // that make has to be told; empty: its usual one
	Ignored bool   // it may be on this machine, but not be used
}

// Reason says why it cannot be had.
func (m MissingImage) Reason() string {
	if m.Ignored {
		return "image " + m.Ref + " may not be taken from this machine, and no registry is named for it"
	}
	return "image " + m.Ref + " is not on this machine"
}

// Hint says how to get the image.
func (m MissingImage) Hint() string {
	switch {
	case m.Ignored:
		return "name the registry that has it with " + EnvInternalRegistry + ", or leave --ignore-local-images out"
	case m.Target == "":
		return "this version of aifo-coder does not build it; name the registry that has it with " + EnvInternalRegistry +
			", or another image with --image IMAGE for the agent, --toolchain KIND=IMAGE for a toolchain"
	}
	command := "make " + m.Target
	if m.Tag != "" {
		command = envBuildTag + "=" + m.Tag + " " + command
	}
	return "build it in a checkout of aifo-coder: " + command
}

// envBuildTag tells the Makefile the tag of what it builds.
const envBuildTag = "AIFO_CODER_BUILD_TAG"

// missingImage returns an image of ours with the target that builds it: those of
// the Makefile give it its usual name, and the tag that they are told. A version is
// no such tag.
func missingImage(c Choice, target string, ignored bool) MissingImage {
	m := MissingImage{Ref: c.Ref, Ignored: ignored}
	_, tag, _ := strings.Cut(c.Ref, ":")
	switch {
	case !imageref.FirstParty(c.Ref):
	case tag == "latest":
		m.Target = target
	case strings.HasSuffix(c.Source, "_TAG"):
		m.Target, m.Tag = target, tag
	}
	return m
}

// absent splits the images that are known to be absent into those to pull and
// those of ours, which nobody may pull from a public registry.
func (b planner) absent() (pulls []string, missing []MissingImage) {
	if b.f.Engine == nil {
		return nil, nil
	}
	for _, s := range b.o.Toolchains {
		pulls, missing = b.sort(pulls, missing, b.images().toolchain(s), s.Kind.MakeTarget)
	}
	if b.o.Agent != nil {
		pulls, missing = b.sort(pulls, missing, b.images().agent(*b.o.Agent), b.o.Agent.MakeTarget(b.o.Slim))
	}
	return pulls, missing
}

func (b planner) images() resolver { return resolver{b.o, b.f.Env, b.f.Present} }

func (b planner) sort(pulls []string, missing []MissingImage, c Choice, target string) ([]string, []MissingImage) {
	switch {
	case !b.o.IgnoreLocal && b.f.Present(c.Ref), slices.Contains(pulls, b.pullName(c.Ref)):
	case imageref.FirstParty(c.Ref), c.Own && !strings.Contains(c.Ref, "/"):
		missing = append(missing, missingImage(c, target, b.o.IgnoreLocal))
	default:
		pulls = append(pulls, b.pullName(c.Ref))
	}
	return pulls, missing
}
