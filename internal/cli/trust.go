package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/trust"
)

// settle asks about what files of the repository set and the user has not allowed, where
// there is somebody to ask and an agent is to start, and tells of what is not used.
func (a *app) settle(cmd *cobra.Command, store trust.Store, files []repositoryFile) error {
	for i := range files {
		if len(a.missed(cmd, files[i])) == 0 || cmd.GroupID != groupAgents || a.flags.dryRun || !a.canAsk() {
			continue
		}
		allowed, err := a.askTrust(store, files[i])
		if err != nil {
			return err
		}
		files[i].allowed = allowed
	}
	if w := a.unusedWarning(cmd, files); w != "" {
		a.printer.Warn(w)
	}
	return nil
}

// missed returns the settings that wait for the user and would count now. What a flag, the
// environment or a profile that was named decides would not, nor a provider's variable that the agent has no use for: many an
// application keeps its own keys in such a file.
func (a *app) missed(cmd *cobra.Command, r repositoryFile) []config.Setting {
	ag, isAgent := agent.Lookup(cmd.Name())
	return slices.DeleteFunc(r.waiting(), func(s config.Setting) bool {
		return a.config.above.Decides(s) || a.config.own.Covers(s) || isAgent && config.IsCredential(s.Variable) && !slices.Contains(ag.Credentials, s.Variable)
	})
}

// askTrust shows what waits and asks about it.
func (a *app) askTrust(store trust.Store, r repositoryFile) (allowed bool, err error) {
	if err := writeSettings(a.streams.Err, r); err != nil {
		return false, err
	}
	if err := a.ask("allow " + settingNames(r.waiting()) + ", until the file changes?"); err != nil {
		return false, nil //nolint:nilerr // no is an answer: the session goes on without it
	}
	return true, store.Allow(time.Now(), r.subject)
}

// unusedWarning says what is not used, or nothing.
func (a *app) unusedWarning(cmd *cobra.Command, files []repositoryFile) string {
	var parts []string
	for _, r := range files {
		if missed := a.missed(cmd, r); len(missed) > 0 {
			parts = append(parts, r.subject.File+" sets "+settingNames(missed))
		}
	}
	if parts == nil {
		return ""
	}
	argv := []string{"aifo-coder", "trust"}
	if a.flags.workspace != "" {
		argv = append(argv, "--workspace", a.flags.workspace)
	}
	return strings.Join(parts, "; ") + ": not used until you allow it: " + dockerargs.Quote(argv)
}

// settingNames names settings, those of aifo-coder itself before variables, and not without
// end: however long a file is, all that loosens the containers is named.
func settingNames(settings []config.Setting) string {
	const most = 24
	var names, variables []string
	for _, s := range settings {
		if s.Key != "" {
			names = append(names, s.Name)
		} else {
			variables = append(variables, s.Name)
		}
	}
	names = append(names, variables...)
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// writeSettings prints the settings of a file for somebody who is to allow them.
func writeSettings(w io.Writer, r repositoryFile) error {
	if _, err := fmt.Fprintf(w, "%s in %s:\n", r.subject.File, r.subject.Workspace); err != nil {
		return err
	}
	for _, s := range r.settings {
		what := s.Gives
		switch {
		case !s.Approval:
			what = "counts without your word"
		case r.allowed:
			what = "allowed: " + what
		}
		if _, err := fmt.Fprintf(w, "  %s = %s\n      %s\n", s.Name, s.Shown(), what); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) trustCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "trust",
		GroupID: groupConfig,
		Short:   "Show what the repository's configuration sets, and allow it",
		Long: `Show what .aifo-coder.yaml and .env of the workspace set, and allow what counts only with your word. The files are
allowed as they are: when one changes, it has to be allowed again.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.trust(yes) },
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.AddCommand(a.trustListCmd(), a.trustRevokeCmd())
	return cmd
}

// errNotAsked says that there is nobody to say yes.
var errNotAsked = errors.New("nothing was allowed: there is nobody to ask; --yes allows what was shown")

// trust shows the workspace's files and allows them.
func (a *app) trust(yes bool) error {
	f, err := hostfacts.Place(a.flags.workspace)
	if err != nil {
		return err
	}
	store := trust.NewStore(f.StateDir)
	files, err := readRepository(f, store)
	if err != nil {
		return err
	}
	for _, r := range files {
		if len(r.settings) == 0 {
			continue
		}
		if err := writeSettings(a.streams.Out, r); err != nil {
			return fmt.Errorf("print the settings: %w", err)
		}
	}
	subjects, settings := waiting(files)
	if subjects == nil {
		a.printer.Notice("nothing in " + f.Workspace + " waits for your word")
		return nil
	}
	if a.flags.dryRun {
		return nil
	}
	if err := a.agreed(yes, settings); err != nil {
		return err
	}
	if err := store.Allow(time.Now(), subjects...); err != nil {
		return err
	}
	a.printer.Notice("allowed, as long as the file does not change: " + settingNames(settings))
	return nil
}

// waiting returns the files that wait for the user, and why.
func waiting(files []repositoryFile) (subjects []trust.Subject, settings []config.Setting) {
	for _, r := range files {
		if w := r.waiting(); len(w) > 0 {
			subjects, settings = append(subjects, r.subject), append(settings, w...)
		}
	}
	return subjects, settings
}

// agreed returns nil when the user has said yes, or says so now.
func (a *app) agreed(yes bool, settings []config.Setting) error {
	switch {
	case yes:
		return nil
	case !a.canAsk():
		return errNotAsked
	}
	return a.ask("allow " + settingNames(settings) + ", until a file changes?")
}

func (a *app) trustListCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what you have allowed, of all repositories",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			f, err := hostfacts.User()
			if err != nil {
				return err
			}
			list, err := trust.NewStore(f.StateDir).List()
			if err != nil {
				return err
			}
			return writeEntries(a.streams.Out, list, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func writeEntries(w io.Writer, list []trust.Entry, asJSON bool) error {
	if asJSON {
		return writeJSON(w, list)
	}
	if len(list) == 0 {
		return nil
	}
	t := newTable(w, "ALLOWED", "FILE", "SHA256", "WORKSPACE")
	for _, e := range list {
		t.row(e.Allowed.Local().Format(time.DateTime), e.File, fmt.Sprintf("%.12s", e.Digest), e.Workspace)
	}
	return t.flush()
}

func (a *app) trustRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke [DIR]",
		Short: "Take back what you have allowed the workspace, or the one in DIR",
		Args:  oneAtMost("workspace"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return noFiles(nil)
			}
			return completeDirs(cmd, args, typed)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return a.revoke(args)
		},
	}
}

// revoke takes back what was allowed for a workspace, which may be gone.
func (a *app) revoke(args []string) error {
	f, err := a.place()
	if err != nil {
		return err
	}
	dir := f.Workspace
	if len(args) > 0 {
		dir = canonical(args[0])
	}
	store := trust.NewStore(f.StateDir)
	list, err := store.List()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(e trust.Entry) bool { return e.Workspace == dir }) {
		return fmt.Errorf("nothing is allowed for %q; aifo-coder trust list shows what is", dir)
	}
	if a.flags.dryRun {
		return nil
	}
	revoked, err := store.Revoke(dir)
	if err != nil {
		return err
	}
	for _, e := range revoked {
		a.printer.Notice("no longer allowed: " + e.File + " of " + e.Workspace)
	}
	return nil
}
