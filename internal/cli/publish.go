package cli

import (
	"fmt"

	"github.com/aifo-coder/aifo-coder/internal/publish"
)

// parsePublish returns what the values of --publish say.
func parsePublish(values []string) ([]publish.Port, error) {
	var list []publish.Port
	for _, v := range values {
		p, err := publish.Parse(v)
		if err != nil {
			return nil, fmt.Errorf("--publish %q: %w", v, err)
		}
		list = append(list, p)
	}
	return list, publish.Check(list)
}

// checkPublishInPanes refuses ports of this machine that only one of several panes could have.
func checkPublishInPanes(list []publish.Port, panes int) error {
	for _, p := range list {
		if panes > 1 && p.Host.Port() != 0 {
			return fmt.Errorf("port %d of this machine cannot lead to %d panes; let the system choose one for each: --publish 0:%d",
				p.Host.Port(), panes, p.Container)
		}
	}
	return nil
}
