package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/trust"
)

func (a *app) configCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		GroupID: groupConfig,
		Short:   "Show, check and edit the configuration",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(a.configShowCmd(), a.configPathCmd(), a.configValidateCmd(), a.configEditCmd(), a.configSchemaCmd())
	return cmd
}

// configRow is one line of config show.
type configRow struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`         // flag, environment, project, user or default
	Name   string `json:"name,omitempty"` // of the flag or the variable
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	// Profile is that of the user's file in which the setting stands.
	Profile string `json:"profile,omitempty"`
	// Waiting says that it does not count until the user allows the file.
	Waiting bool `json:"waiting"`
}

func (a *app) configShowCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show every setting, with what decides for it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, files, err := a.readAll()
			if err != nil {
				return err
			}
			own, err := a.takeApart(settings)
			if err != nil {
				return &UsageError{Err: err}
			}
			return writeConfig(a.streams.Out, a.configRows(cmd.Flags(), own, files), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// readAll reads the user's file and those of the repository.
func (a *app) readAll() ([]config.Setting, []repositoryFile, error) {
	f, err := a.place()
	if err != nil {
		return nil, nil, err
	}
	own, err := readUserFile(f)
	files, repositoryErr := readRepository(f, trust.NewStore(f.StateDir))
	return own, files, errors.Join(err, repositoryErr)
}

// configRows returns a row for each key, then for each variable that files set, then for
// what waits.
func (a *app) configRows(fs *pflag.FlagSet, own config.Own, files []repositoryFile) []configRow {
	var waiting []config.Setting
	for _, r := range files {
		waiting = append(waiting, r.waiting()...)
	}
	effective := config.Effective(a.config.above, own.Layers(counting(files)...)...)
	var rows []configRow
	for _, k := range config.Keys() {
		rows = append(rows, a.keyRows(fs, k, effective)...)
	}
	for _, s := range effective {
		if s.Key == "" {
			rows = append(rows, fileRow(s))
		}
	}
	for _, s := range waiting {
		row := fileRow(s)
		row.Waiting = true
		rows = append(rows, row)
	}
	return rows
}

// keyRows returns what decides for one key: several rows where a file does so by several variables.
func (a *app) keyRows(fs *pflag.FlagSet, k config.Key, effective []config.Setting) []configRow {
	flag, variable := a.config.above.KeyOrigin(k)
	switch {
	case flag != "":
		return []configRow{{Key: k.Name, Value: flagText(fs.Lookup(flag)), Origin: "flag", Name: "--" + flag}}
	case variable != "":
		return []configRow{{Key: k.Name, Value: config.Redact(variable, a.env.Get(variable)), Origin: "environment", Name: variable}}
	}
	var rows []configRow
	for _, s := range effective {
		if s.Key == k.Name {
			row := fileRow(s)
			row.Key = k.Name
			rows = append(rows, row)
		}
	}
	if rows == nil {
		rows = []configRow{{Key: k.Name, Value: flagText(fs.Lookup(k.Name)), Origin: "default"}}
	}
	return rows
}

// flagText returns the value of a flag, a list without brackets.
func flagText(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ", ")
	}
	return f.Value.String()
}

func fileRow(s config.Setting) configRow {
	row := configRow{Key: s.Name, Value: s.Value(), Origin: "project", File: s.File, Line: s.Line, Profile: s.Profile}
	if s.Origin == config.User {
		row.Origin = "user"
	}
	return row
}

func writeConfig(w io.Writer, rows []configRow, asJSON bool) error {
	if asJSON {
		return writeJSON(w, rows)
	}
	t := newTable(w, "KEY", "VALUE", "ORIGIN")
	for _, r := range rows {
		origin := r.Origin
		switch {
		case r.File != "":
			origin = fmt.Sprintf("%s:%d", r.File, r.Line)
		case r.Name != "":
			origin = r.Name
		}
		if r.Profile != "" {
			origin += " (profile " + r.Profile + ")"
		}
		if r.Waiting {
			origin += " (waits for: aifo-coder trust)"
		}
		t.row(r.Key, r.Value, origin)
	}
	return t.flush()
}

func (a *app) configPathCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "path",
		Short: "Print the files that are read, whether they exist or not",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			f, err := a.place()
			if err != nil {
				return err
			}
			return writePaths(a.streams.Out, f)
		},
	}
}

func writePaths(w io.Writer, f hostfacts.Facts) error {
	paths := []string{userFile(f)}
	if f.Workspace != "" {
		paths = append([]string{filepath.Join(f.Workspace, config.ProjectFile), filepath.Join(f.Workspace, config.EnvFile)}, paths...)
	}
	t := newTable(w, "FILE", "PRESENT")
	for _, path := range paths {
		present := "no"
		if _, err := os.Lstat(path); err == nil {
			present = "yes"
		}
		t.row(path, present)
	}
	return t.flush()
}

func (a *app) configValidateCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration files, also what is not allowed yet",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			settings, files, err := a.readAll()
			if err != nil {
				return err
			}
			errs := []error{a.validateOwn(settings)}
			base, _ := config.OfProfile(settings, "")
			for _, r := range files {
				errs = append(errs, a.validate(slices.Concat(ownOnly(base), r.settings)))
			}
			return errors.Join(errs...)
		},
	}
}

// validateOwn checks the user's file: with each of its profiles, and with none.
func (a *app) validateOwn(settings []config.Setting) error {
	above := config.Above{Flag: func(string) bool { return false }, Env: func(string) string { return "" }}
	var errs []error
	told := map[string]bool{} // what is wrong outside of the profiles is wrong with each
	check := func(named string) {
		own, err := config.TakeApart(settings, named)
		if err == nil {
			err = a.validate(config.Effective(above, own.Layers()...))
		}
		if err != nil && !told[err.Error()] {
			told[err.Error()] = true
			errs = append(errs, err)
		}
	}
	check("")
	for _, name := range append(config.Profiles(settings), config.NoProfile) {
		check(name)
	}
	return errors.Join(errs...)
}

// validate applies the settings of one file to an invocation that is thrown away.
func (a *app) validate(settings []config.Setting) error {
	probe := &app{env: a.env}
	err := probe.apply(probe.root().PersistentFlags(), settings)
	var o plan.Options
	if err == nil {
		o, err = probe.flags.options(probe.env)
	}
	if err == nil {
		err = checkOptions(o, probe.env, runtime.GOOS)
	}
	return err
}
