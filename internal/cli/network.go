package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/egress"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

func (a *app) networkCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Show what containers asked of the network",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.networkLogCmd())
	return cmd
}

// networkLogFlags are the flags of "network log".
type networkLogFlags struct{ denied, asJSON, follow bool }

// shows reports whether the entry is to be shown.
func (f networkLogFlags) shows(e egress.Entry) bool { return !f.denied || !e.Allowed }

func (a *app) networkLogCmd() *cobra.Command {
	var f networkLogFlags
	cmd := &cobra.Command{
		Use:   "log [SESSION]",
		Short: "Show what a session's containers reached, and what they were refused",
		Long: `Show what the containers of a session with a network policy reached, and what they were refused. The
session is the one that wrote last when none is named. A request or a tunnel is in the log when it is over.`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeNetworkLogs(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := chosenLog(args)
			if err != nil {
				return err
			}
			if f.follow {
				return followLog(cmd.Context(), cmd.OutOrStdout(), log, f)
			}
			return showLog(cmd.OutOrStdout(), log, f)
		},
	}
	cmd.Flags().BoolVar(&f.denied, "denied", false, "show only what was refused")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print a JSON array, or with --follow an object a line")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what comes, until interrupted")
	return cmd
}

// NoNetworkLogError says that there is no log to show.
type NoNetworkLogError struct{ Session string }

func (e *NoNetworkLogError) Error() string {
	if e.Session == "" {
		return "there is no network log"
	}
	return fmt.Sprintf("there is no network log of a session %q", e.Session)
}

// Hint says how one comes about.
func (e *NoNetworkLogError) Hint() string {
	return "a session writes one when its containers have a policy (--network-policy allowlist or none, --allow-host HOST) and ask for something"
}

func networkLogs() ([]egress.LogFile, error) {
	f, err := hostfacts.User()
	if err != nil {
		return nil, err
	}
	return egress.Logs(egress.LogDir(f.StateDir))
}

func completeNetworkLogs() []string {
	logs, _ := networkLogs() // a completion has nobody to tell
	var list []string
	for _, l := range logs {
		list = append(list, cobra.CompletionWithDesc(l.Session, l.Changed.Format(time.DateTime)))
	}
	return list
}

// chosenLog returns the log of the session that was named, or the newest.
func chosenLog(args []string) (egress.LogFile, error) {
	logs, err := networkLogs()
	if err != nil {
		return egress.LogFile{}, err
	}
	missing := &NoNetworkLogError{}
	if len(args) > 0 {
		missing.Session = args[0]
	}
	for _, l := range logs {
		if missing.Session == "" || l.Session == missing.Session {
			return l, nil
		}
	}
	return egress.LogFile{}, missing
}

func showLog(w io.Writer, log egress.LogFile, f networkLogFlags) error {
	all, err := egress.ReadLog(log.Path)
	if err != nil {
		return err
	}
	shown := []egress.Entry{}
	for _, e := range all {
		if f.shows(e) {
			shown = append(shown, e)
		}
	}
	if f.asJSON {
		return writeJSON(w, shown)
	}
	t := newTable(w, "TIME", "CONTAINER", "METHOD", "HOST", "VERDICT", "DETAIL")
	for _, e := range shown {
		t.row(entryCells(e)...)
	}
	return t.flush()
}

// followLog prints entries as they come. Their columns have a width beforehand, which
// most hosts fit.
func followLog(ctx context.Context, w io.Writer, log egress.LogFile, f networkLogFlags) error {
	return egress.Follow(ctx, log.Path, func(e egress.Entry) error {
		if !f.shows(e) {
			return nil
		}
		if f.asJSON {
			return json.NewEncoder(w).Encode(e)
		}
		c := entryCells(e)
		_, err := fmt.Fprintf(w, "%s  %-9s  %-7s  %-40s  %-7s  %s\n", c[0], c[1], c[2], c[3], c[4], c[5])
		return err
	})
}

// entryCells returns the cells of a row about the entry.
func entryCells(e egress.Entry) []string {
	host := "-"
	if e.Host != "" {
		host = net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	}
	verdict, detail := "allowed", fmt.Sprintf("%s sent, %s received", units.HumanSize(float64(e.Sent)), units.HumanSize(float64(e.Received)))
	switch {
	case !e.Allowed:
		verdict, detail = "refused", e.Reason
	case e.Code != "":
		verdict, detail = "failed", e.Reason
	}
	if e.Code == egress.CodeLogFull {
		verdict = "-"
	}
	if e.Count > 1 {
		detail += fmt.Sprintf(" (%d times)", e.Count)
	}
	return []string{e.Time.Local().Format(time.DateTime), firstNonEmpty(e.Container, "-"), firstNonEmpty(e.Method, "-"), host, verdict, detail}
}
