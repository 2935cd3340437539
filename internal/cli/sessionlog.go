package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
)

// noLogError says that there is no log to show.
type noLogError struct {
	Name    string // of such a log
	Session string // empty: of any
	hint    string
}

func (e *noLogError) Error() string {
	if e.Session == "" {
		return "there is no " + e.Name
	}
	return fmt.Sprintf("there is no %s of a session %q", e.Name, e.Session)
}

// Hint says how one comes about.
func (e *noLogError) Hint() string { return e.hint }

// chosenLog returns the log of the session that was named, or else the first by better,
// if there is such an order, and then by age.
func chosenLog(store jsonlog.Store, args []string, hint string, better func(a, b jsonlog.Log) int) (jsonlog.Log, error) {
	logs, err := store.List()
	if err != nil {
		return jsonlog.Log{}, err
	}
	if len(args) == 0 && better != nil {
		slices.SortStableFunc(logs, better)
	}
	missing := &noLogError{Name: store.Name, hint: hint}
	if len(args) > 0 {
		missing.Session = args[0]
	}
	for _, l := range logs {
		if missing.Session == "" || l.Session == missing.Session {
			return l, nil
		}
	}
	return jsonlog.Log{}, missing
}

// completeLogs completes the id of a session that has such a log.
func completeLogs(store func(hostfacts.Facts) jsonlog.Store) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		f, err := hostfacts.User()
		if len(args) > 0 || err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		logs, _ := store(f).List() // a completion has nobody to tell
		var list []string
		for _, l := range logs {
			list = append(list, cobra.CompletionWithDesc(l.Session, l.Changed.Format(time.DateTime)))
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}
