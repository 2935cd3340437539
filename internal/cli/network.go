package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/egress"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
)

func (a *app) networkCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "network",
		GroupID: groupSessions,
		Short:   "Show what containers asked of the network",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
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
		Args:              oneAtMost("session"),
		ValidArgsFunction: completeLogs(networkLogs),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := chosenNetworkLog(args)
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

// noNetworkLogHint says how a network log comes about.
const noNetworkLogHint = "a session writes one when its containers have a policy (--network-policy allowlist or none, --allow-host HOST) and ask for something"

// emptyable are the stores of logs of which a session that was killed may have left an empty one.
func emptyable(f hostfacts.Facts) []jsonlog.Store { return []jsonlog.Store{networkLogs(f), traces(f)} }

func networkLogs(f hostfacts.Facts) jsonlog.Store { return egress.Logs(f.NetworkLogDir) }

// chosenNetworkLog returns the log of the session that was named, or the newest.
func chosenNetworkLog(args []string) (jsonlog.Log, error) {
	f, err := hostfacts.User()
	if err != nil {
		return jsonlog.Log{}, err
	}
	return chosenLog(networkLogs(f), args, noNetworkLogHint, nil)
}

func showLog(w io.Writer, log jsonlog.Log, f networkLogFlags) error {
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
func followLog(ctx context.Context, w io.Writer, log jsonlog.Log, f networkLogFlags) error {
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
	verdict, detail := "allowed", fmt.Sprintf("%s sent, %s received", size(&e.Sent), size(&e.Received))
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
	return []string{e.Time.Local().Format(time.DateTime), cmp.Or(e.Container, "-"), cmp.Or(e.Method, "-"), host, verdict, detail}
}
