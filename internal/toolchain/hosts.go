package toolchain

import (
	"fmt"

	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

// HostRules returns what an allowlist lets the kind's sidecar reach without being told.
func (k Kind) HostRules() []netpolicy.Rule {
	var rules []netpolicy.Rule
	for _, host := range k.Hosts {
		parsed, err := netpolicy.Parse(host, "the toolchain "+k.Name)
		if err == nil { // or the definition would have been refused
			rules = append(rules, parsed...)
		}
	}
	return rules
}

func (d definition) checkHosts() error {
	for _, host := range d.Hosts {
		if _, err := netpolicy.Parse(host, ""); err != nil {
			return fmt.Errorf("hosts: %q: %w", host, err)
		}
	}
	return nil
}
