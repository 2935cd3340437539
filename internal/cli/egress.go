package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// egressFlags are the flags about what containers may reach (docs/network.md).
type egressFlags struct {
	policies []string
	hosts    []string
}

// The variables that stand for them; entries are separated by spaces or commas.
const (
	policyVariable = "AIFO_CODER_NETWORK_POLICY"
	hostsVariable  = "AIFO_CODER_ALLOW_HOSTS"
)

func (f *egressFlags) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.policies, "network-policy", nil, "what containers, or the agent or those of one toolchain, may reach: `[KIND=]open|allowlist|none`; repeatable (default open)")
	fs.StringArrayVar(&f.hosts, "allow-host", nil, "with an allowlist, allow `[KIND=]HOST[:PORT]`, *.HOST or @PRESET as well; repeatable")
}

// parse returns what the flags ask for, or else the variables.
func (f *egressFlags) parse(env hostfacts.Env, kinds toolchain.Set) (plan.Egress, error) {
	e := plan.Egress{Modes: map[string]netpolicy.Mode{}, Rules: map[string][]netpolicy.Rule{}}
	for _, v := range entries(f.policies, env.Get(policyVariable)) {
		container, mode, err := ofContainer(v, kinds)
		if err != nil {
			return e, fmt.Errorf("--network-policy %q: %w", v, err)
		}
		m, err := netpolicy.ParseMode(mode)
		if err != nil {
			return e, fmt.Errorf("--network-policy %q: %w", v, err)
		}
		if was, twice := e.Modes[container]; twice && was != m {
			return e, fmt.Errorf("--network-policy says both %s and %s of %s", was, m, containerName(container))
		}
		e.Modes[container] = m
	}
	for _, v := range entries(f.hosts, env.Get(hostsVariable)) {
		container, host, err := ofContainer(v, kinds)
		if err != nil {
			return e, fmt.Errorf("--allow-host %q: %w", v, err)
		}
		rules, err := netpolicy.Parse(host, "--allow-host")
		if err != nil {
			return e, fmt.Errorf("--allow-host %q: %w", v, err)
		}
		e.Rules[container] = append(e.Rules[container], rules...)
	}
	return e, f.checkUsed(e)
}

// checkUsed refuses hosts where nobody has said a policy: who allows a host means the
// others to be out of reach. One that was said replaces, for once, that for which a
// configuration has its hosts.
func (f *egressFlags) checkUsed(e plan.Egress) error {
	for container := range e.Rules {
		if !said(e.Modes, container) {
			return fmt.Errorf("--allow-host is for an allowlist, and the network of %s is open; add --network-policy allowlist", containerName(container))
		}
	}
	return nil
}

// said reports whether there is a policy for the container, or for any where all are meant.
func said(modes map[string]netpolicy.Mode, container string) bool {
	return modes[container] != "" || modes[""] != "" || container == "" && len(modes) > 0
}

// entries returns what the flag was given, or else the entries of the variable.
func entries(flag []string, variable string) []string {
	if len(flag) > 0 {
		return flag
	}
	return strings.FieldsFunc(variable, func(r rune) bool { return r == ',' || r == ' ' })
}

// ofContainer takes KIND= off a value. The container is "" for all of them.
func ofContainer(value string, kinds toolchain.Set) (container, rest string, err error) {
	name, rest, ok := strings.Cut(value, "=")
	if !ok {
		return "", value, nil
	}
	if name == plan.KindAgent {
		return name, rest, nil
	}
	k, ok := kinds.Lookup(name)
	if !ok {
		return "", "", fmt.Errorf("there is no toolchain %q; name %s, or one of %s", name, plan.KindAgent, strings.Join(kinds.Names(), ", "))
	}
	return k.Name, rest, nil
}

func containerName(container string) string {
	switch container {
	case "":
		return "the session"
	case plan.KindAgent:
		return "the agent"
	}
	return "the toolchain " + container
}

// checkDockerNetwork refuses a network that nobody would join, so that nobody thinks to
// be reached there.
func checkDockerNetwork(o plan.Options, f hostfacts.Facts) error {
	if o.Network != "" && plan.Build(o, f, "").Network.Name == "" {
		return &UsageError{Err: fmt.Errorf("the network policy leaves no container that could join the network %q; leave --docker-network out", o.Network)}
	}
	return nil
}
