package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/keys"
	"github.com/aifo-coder/aifo-coder/internal/provider"
)

const credentialsLong = `See and keep the keys of model providers that the credential broker uses. A key is looked for in the provider's
variables, then in a file of yours, then in the system's keyring. No command shows a key.`

func (a *app) credentialsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "credentials",
		GroupID: groupConfig,
		Short:   "See and keep the keys of model providers",
		Long:    credentialsLong,
		Example: `  aifo-coder credentials list
  aifo-coder credentials set anthropic
  pass show openai | aifo-coder credentials set openai --file
  aifo-coder credentials remove openai`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.credentialsListCmd(), a.credentialsSetCmd(), a.credentialsRemoveCmd())
	return cmd
}

// credentialRow is one line of the list.
type credentialRow struct {
	Provider string `json:"provider"`
	Source   string `json:"source"`   // "environment", "file", "keyring" or "none"
	Variable string `json:"variable"` // that holds the key; empty: none
}

func (a *app) credentialsListCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show where the key of each provider is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.credentialRows(cmd.Context())
			if err != nil {
				return err
			}
			return writeCredentials(a.streams.Out, rows, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// credentialRows finds the keys as a session does.
func (a *app) credentialRows(ctx context.Context) ([]credentialRow, error) {
	dir, err := credentialsDir()
	if err != nil {
		return nil, err
	}
	found, err := keys.Find(ctx, dir, provider.Names())
	if err != nil {
		return nil, err
	}
	var rows []credentialRow
	for _, p := range provider.All() {
		row := credentialRow{Provider: p.Name, Source: cmp.Or(found[p.Name].Source, "none")}
		names := p.KeyVariables()
		if i := slices.IndexFunc(names, func(n string) bool { return a.env.Get(n) != "" }); i >= 0 {
			row.Source, row.Variable = "environment", names[i]
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// credentialsDir returns the directory of the keys' files.
func credentialsDir() (string, error) {
	f, err := hostfacts.User()
	return keys.Dir(f.ConfigDir), err
}

func writeCredentials(w io.Writer, rows []credentialRow, asJSON bool) error {
	if asJSON {
		return writeJSON(w, rows)
	}
	t := newTable(w, "PROVIDER", "KEY")
	for _, r := range rows {
		t.row(r.Provider, strings.TrimSpace(r.Source+" "+r.Variable))
	}
	return t.flush()
}

func (a *app) credentialsSetCmd() *cobra.Command {
	var file bool
	cmd := &cobra.Command{
		Use:   "set PROVIDER",
		Short: "Keep the key of a provider, in the keyring or a file",
		Long: `Keep the key of a provider. It is asked for on a terminal, where it is not shown, or else read from standard input.
It goes into the system's keyring; --file keeps it in a file that only you can read.`,
		Args:              providerArg,
		ValidArgsFunction: completeProviders,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.setCredential(cmd.Context(), args[0], file)
		},
	}
	cmd.Flags().BoolVar(&file, "file", false, "keep it in a file in place of the keyring")
	return cmd
}

// setCredential reads a key and keeps it.
func (a *app) setCredential(ctx context.Context, name string, file bool) error {
	dir, err := credentialsDir()
	if err != nil {
		return err
	}
	place := "the keyring"
	if file {
		place = filepath.Join(dir, name)
	}
	if a.flags.dryRun {
		_, err := fmt.Fprintf(a.streams.Out, "would keep the key of %s in %s\n", name, place)
		return err
	}
	key, err := a.readKey(name)
	if err != nil {
		return err
	}
	if file {
		err = keys.SaveFile(dir, name, key)
	} else {
		err = keys.SaveKeyring(ctx, name, key)
	}
	if err != nil {
		return err
	}
	a.printer.Notice(fmt.Sprintf("the key of %s is in %s", name, place))
	a.warnShadowed(ctx, dir, name, file)
	return nil
}

// warnShadowed tells that a key comes from elsewhere all the same.
func (a *app) warnShadowed(ctx context.Context, dir, name string, file bool) {
	p, _ := provider.Lookup(name)
	for _, v := range p.KeyVariables() {
		if a.env.Get(v) != "" {
			a.printer.Warn(v + " is set, and comes before it")
			return
		}
	}
	found, err := keys.Find(ctx, dir, []string{name})
	if err == nil && !file && found[name].Source == keys.File {
		a.printer.Warn("the file " + filepath.Join(dir, name) + " comes before it")
	}
}

// readKey asks for a key on a terminal, or reads it from standard input.
func (a *app) readKey(name string) (string, error) {
	key, err := "", error(nil)
	if fd := int(a.streams.In.Fd()); term.IsTerminal(fd) {
		if !a.canAsk() {
			return "", &UsageError{Err: errors.New("there is no key: give it on standard input")}
		}
		key, err = a.askKey(fd, "Key of "+name+": ")
	} else {
		var data []byte
		data, err = io.ReadAll(io.LimitReader(a.streams.In, keys.MaxFile+1))
		key = keys.Line(string(data))
		if len(data) > keys.MaxFile {
			err = fmt.Errorf("it has more than %d KiB", keys.MaxFile>>10)
		}
	}
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	if err := provider.CheckKey(key); err != nil {
		return "", &UsageError{Err: err}
	}
	return key, nil
}

// askKey reads a line that is not shown. In raw mode Ctrl-C is a byte like others, so that
// no signal leaves the terminal without its echo.
func (a *app) askKey(fd int, prompt string) (string, error) {
	state, err := term.MakeRaw(fd)
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(fd, state) }()
	line, err := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{a.streams.In, a.streams.Err}, "").ReadPassword(prompt)
	if errors.Is(err, io.EOF) {
		return "", errDeclined // Ctrl-C and Ctrl-D
	}
	return line, err
}

func (a *app) credentialsRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "remove PROVIDER",
		Short:             "Remove the key of a provider from the keyring and its file",
		Args:              providerArg,
		ValidArgsFunction: completeProviders,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.removeCredential(cmd.Context(), args[0])
		},
	}
}

func (a *app) removeCredential(ctx context.Context, name string) error {
	dir, err := credentialsDir()
	if err != nil {
		return err
	}
	if a.flags.dryRun {
		_, err := fmt.Fprintf(a.streams.Out, "would remove the key of %s from %s and the keyring\n", name, filepath.Join(dir, name))
		return err
	}
	from, err := keys.Remove(ctx, dir, name)
	for _, place := range from {
		a.printer.Notice(fmt.Sprintf("the key of %s is no longer in the %s", name, place))
	}
	if err == nil && len(from) == 0 {
		a.printer.Notice("there was no key of " + name)
	}
	return err
}

// providerArg wants the name of one provider.
func providerArg(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("name one provider: " + strings.Join(provider.Names(), ", "))
	}
	if _, ok := provider.Lookup(args[0]); !ok {
		return fmt.Errorf("there is no provider %q; there are %s", args[0], strings.Join(provider.Names(), ", "))
	}
	return nil
}

func completeProviders(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return provider.Names(), cobra.ShellCompDirectiveNoFileComp
}
