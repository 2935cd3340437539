package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

// policyKey is the setting, and the flag, of network policies.
const policyKey = "network-policy"

// policyList is what one place says of network policies.
type policyList struct {
	place   string
	entries []string
}

// policyLists returns what the command line or the environment and the files say, the first of which decides.
func (a *app) policyLists(layers [][]config.Setting) []policyList {
	var lists []policyList
	switch env := a.env.Get(policyVariable); {
	case len(a.flags.egress.policies) > 0:
		lists = append(lists, policyList{"--" + policyKey, a.flags.egress.policies})
	case env != "":
		lists = append(lists, policyList{policyVariable, entries(nil, env)})
	}
	for _, s := range slices.Concat(layers...) {
		if s.Key != policyKey {
			continue
		}
		list := policyList{s.Place(), s.Values}
		if s.Variable != "" {
			list.entries = entries(nil, s.Values[0])
		}
		lists = append(lists, list)
	}
	return lists
}

// checkReplaced returns an error when the policy that decides opens, by saying nothing of it,
// what another place closes: a list replaces the one below it as a whole, and who opens
// one toolchain for once does not mean the agent. one is the only container of the session,
// if it is only one.
func checkReplaced(lists []policyList, one string) error {
	if len(lists) == 0 {
		return nil
	}
	var named []string
	for _, v := range lists[0].entries {
		container, _ := policyEntry(v)
		named = append(named, container)
	}
	if slices.Contains(named, "") || one != "" && slices.Contains(named, one) {
		return nil
	}
	for _, below := range lists[1:] {
		for _, v := range below.entries {
			container, mode := policyEntry(v)
			if mode == string(netpolicy.Open) || slices.Contains(named, container) {
				continue
			}
			return fmt.Errorf("%s: the network policy %s says nothing of the others, and %q of %s does not count beside it; say both, as in --%s %s --%s %s",
				lists[0].place, strings.Join(lists[0].entries, ", "), v, below.place, policyKey, v, policyKey, lists[0].entries[0])
		}
	}
	return nil
}

// policyEntry takes an entry apart. The container is "" for all of them.
func policyEntry(entry string) (container, mode string) {
	name, mode, ok := strings.Cut(entry, "=")
	if !ok {
		return "", entry
	}
	_, container = kindIn(name)
	return container, mode
}
