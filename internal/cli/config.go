package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/imageref"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/publish"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
	"github.com/aifo-coder/aifo-coder/internal/trust"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// configuration is what the files of an invocation say, each read once, and what
// of it was applied.
type configuration struct {
	above config.Above
	own   config.Own // the user's file
	// workspace is the directory from which a repository's files name others.
	workspace string

	// variables are those that files set, for whatever reads the environment later.
	variables map[string]string
}

// directory returns the one from which a file's setting names other files.
func (c configuration) directory(s config.Setting) string {
	if s.Origin == config.User {
		return filepath.Dir(s.File)
	}
	return c.workspace
}

// environment returns the caller's environment with what files set.
func (c configuration) environment(env hostfacts.Env) hostfacts.Env {
	merged := maps.Clone(env)
	maps.Copy(merged, c.variables)
	return merged
}

// environ is the same for an environment as os.Environ gives it.
func (c configuration) environ(environ []string) []string {
	for _, name := range slices.Sorted(maps.Keys(c.variables)) {
		environ = append(environ, name+"="+c.variables[name])
	}
	return environ
}

// overlay sets variables for the rest of the invocation.
func (a *app) overlay(variables map[string]string) {
	if a.config.variables == nil {
		a.config.variables = map[string]string{}
	}
	maps.Copy(a.config.variables, variables)
	a.env = a.config.environment(a.env)
}

// repositoryFile is a file of the workspace that holds settings.
type repositoryFile struct {
	subject  trust.Subject
	settings []config.Setting
	allowed  bool
}

// counting returns the settings that count now.
func (r repositoryFile) counting() []config.Setting {
	if r.allowed {
		return r.settings
	}
	free, _ := config.Split(r.settings)
	return free
}

// counting returns the settings of each file that count now.
func counting(files []repositoryFile) [][]config.Setting {
	var layers [][]config.Setting
	for _, r := range files {
		layers = append(layers, r.counting())
	}
	return layers
}

// waiting returns the settings that wait for the user.
func (r repositoryFile) waiting() []config.Setting {
	if r.allowed {
		return nil
	}
	_, waiting := config.Split(r.settings)
	return waiting
}

// userFile is the user's own file.
func userFile(f hostfacts.Facts) string {
	return filepath.Join(f.ConfigHome, "aifo-coder", "config.yaml")
}

// readUserFile returns the settings of the user's file, those of all its profiles among them; there
// need not be one.
func readUserFile(f hostfacts.Facts) ([]config.Setting, error) {
	data, err := trust.ReadOwn(userFile(f), config.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read your configuration: %w", err)
	}
	settings, err := config.Parse(userFile(f), data, config.User)
	return settings, suggestKey(err)
}

// place returns where the caller is. A current directory that cannot be the workspace, such as the
// home directory, is none, and has no files: what needs one says why. One that --workspace names must fit.
func (a *app) place() (hostfacts.Facts, error) {
	f, err := hostfacts.Place(a.flags.workspace)
	if is[*hostfacts.WorkspaceError](err) && a.flags.workspace == "" {
		return hostfacts.User()
	}
	return f, err
}

// readRepository returns the workspace's files that hold settings, the one that counts
// more first. The list is empty, and no error, where there are none.
func readRepository(f hostfacts.Facts, store trust.Store) ([]repositoryFile, error) {
	if f.Workspace == "" {
		return nil, nil
	}
	var files []repositoryFile
	for _, name := range []string{config.ProjectFile, config.EnvFile} {
		data, err := trust.ReadRepository(f.Workspace, name, config.MaxFile)
		if errors.Is(err, fs.ErrNotExist) || err != nil && name == config.EnvFile {
			continue // what is unfit under this name is the application's own, and no concern of ours
		}
		if err != nil {
			return nil, err
		}
		r := repositoryFile{subject: trust.Subject{Workspace: f.Workspace, File: name, Content: data}}
		if r.settings, err = parseRepository(name, data); err != nil {
			return nil, err
		}
		if _, waiting := config.Split(r.settings); len(waiting) > 0 {
			if r.allowed, err = store.Allowed(r.subject); err != nil {
				return nil, err
			}
		}
		files = append(files, r)
	}
	return files, nil
}

func parseRepository(name string, data []byte) ([]config.Setting, error) {
	if name == config.EnvFile {
		return config.ParseEnv(name, data), nil
	}
	settings, err := config.Parse(name, data, config.Project)
	return settings, suggestKey(err)
}

// suggestKey names the nearest key when one is unknown.
func suggestKey(err error) error {
	unknown, ok := asType[*config.UnknownKeyError](err)
	if !ok {
		return err
	}
	var names []string
	for _, k := range config.Keys() {
		names = append(names, k.Name)
	}
	if near := nearest(unknown.Key, names); near != "" {
		return fmt.Errorf("%w; did you mean %q?", err, near)
	}
	return fmt.Errorf("%w; docs/configuration.md lists them", err)
}

// command is the one below the root that cmd is, or belongs to.
func command(cmd *cobra.Command) *cobra.Command {
	for cmd.HasParent() && cmd.Parent().HasParent() {
		cmd = cmd.Parent()
	}
	return cmd
}

// unconfigured are the commands that work whatever the files say.
var unconfigured = []string{"help", "completion", "version", "config", "trust", "doctor"}

// configured reports whether the user's file concerns the command. A pane has all of it in
// its arguments and its environment.
func (a *app) configured(cmd *cobra.Command) bool {
	return a.pane == nil && cmd.HasParent() && !cmd.Hidden && !slices.Contains(unconfigured, command(cmd).Name())
}

// starts reports whether the command starts containers, or tells of those that would be
// started, so that the repository's files concern it.
func (a *app) starts(cmd *cobra.Command) bool {
	switch cmd.Name() {
	case "toolchain", "images", "resume":
		return a.configured(cmd)
	case "mcp":
		return !cmd.Flags().Changed("session") && a.configured(cmd) // a session that runs has its configuration
	}
	return cmd.GroupID == groupAgents && a.configured(cmd)
}

// above tells what the command line and the environment say.
func (a *app) above(fs *pflag.FlagSet) config.Above {
	given := map[string]bool{}
	fs.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	return config.Above{Flag: func(name string) bool { return given[name] }, Env: maps.Clone(a.env).Get}
}

// configure reads the user's file and applies what no repository has a say in: how to
// print, which comes before everything else, and the kinds of toolchains.
func (a *app) configure(cmd *cobra.Command) error {
	a.config.above = a.above(cmd.Flags())
	if !a.configured(cmd) {
		return nil
	}
	f, err := hostfacts.User()
	if err != nil {
		return err
	}
	settings, err := readUserFile(f)
	if err != nil {
		return err
	}
	if a.config.own, err = a.takeApart(settings); err != nil {
		return err
	}
	var layers [][]config.Setting
	for _, layer := range a.config.own.Layers() {
		layers = append(layers, ownOnly(layer))
	}
	return a.apply(cmd.Flags(), config.Effective(a.config.above, layers...))
}

// takeApart returns the user's settings with the profile that was chosen.
func (a *app) takeApart(settings []config.Setting) (config.Own, error) {
	own, err := config.TakeApart(settings, cmp.Or(a.flags.profile, a.env.Get(profileVariable)))
	if unknown, ok := asType[*config.UnknownProfileError](err); ok {
		if near := nearest(unknown.Name, append(unknown.Known, config.NoProfile)); near != "" {
			err = fmt.Errorf("%w; did you mean %q?", err, near)
		}
	}
	return own, err
}

// ownOnly returns the settings of the user's file that no other file may have.
func ownOnly(settings []config.Setting) []config.Setting {
	return slices.DeleteFunc(slices.Clone(settings), func(s config.Setting) bool {
		k, _ := config.Lookup(s.Key)
		return !k.Own
	})
}

// configureSession applies the rest: the repository's files, as far as they may, and the user's.
func (a *app) configureSession(cmd *cobra.Command, args []string) error {
	if !a.starts(cmd) {
		return nil
	}
	f, err := a.place()
	if err != nil {
		return err
	}
	a.config.workspace = f.Workspace
	a.warnOwnFile(f)
	store := trust.NewStore(f.StateDir)
	files, err := readRepository(f, store)
	if is[*trust.DamagedError](err) {
		return err
	}
	if err != nil {
		return &UsageError{Err: err}
	}
	if err := a.settle(cmd, store, files); err != nil {
		return err
	}
	layers := a.config.own.Layers(counting(files)...)
	settings, one := config.Effective(a.config.above, layers...), ""
	if cmd.Name() == "toolchain" {
		settings = forOne(settings, args[0])
		_, one = kindIn(args[0])
	}
	if err := checkReplaced(a.policyLists(layers), one); err != nil {
		return &UsageError{Err: err}
	}
	if err := a.apply(cmd.Flags(), settings); err != nil {
		return &UsageError{Err: err}
	}
	return nil
}

// warnOwnFile tells of a user's file that the agent can write.
func (a *app) warnOwnFile(f hostfacts.Facts) {
	if file := userFile(f); f.Workspace != "" && strings.HasPrefix(canonical(file), f.Workspace+string(filepath.Separator)) && len(slices.Concat(a.config.own.Layers()...)) > 0 {
		a.printer.Warn(fmt.Sprintf("your configuration %s is in the workspace, where the agent can change it; keep it elsewhere", file))
	}
}

// apply gives the settings to flags and variables.
func (a *app) apply(fs *pflag.FlagSet, settings []config.Setting) error {
	for _, s := range settings {
		if s.Variable != "" {
			a.overlay(map[string]string{s.Variable: s.Values[0]})
			continue
		}
		for _, v := range a.flagValues(s) {
			err := fs.Set(s.Key, v)
			if err == nil {
				err = checkValue(s.Key, v)
			}
			if err != nil {
				return &config.Error{File: s.File, Line: s.Line, Err: err}
			}
		}
	}
	return a.checkKinds(settings)
}

// checkKinds refuses toolchains that there are not. Where the user defines some, whose files may come from
// a pipe that can be read once, it is left to the check of all together.
func (a *app) checkKinds(settings []config.Setting) error {
	if len(a.flags.files(a.env)) > 0 {
		return nil
	}
	for _, s := range settings {
		if s.Key != "toolchain" {
			continue
		}
		for _, v := range s.Values {
			if _, err := (toolchain.Set{}).ParseOne(v); err != nil {
				return &config.Error{File: s.File, Line: s.Line, Err: err}
			}
		}
	}
	return nil
}

// flagValues returns the values of a setting as the flag takes them.
func (a *app) flagValues(s config.Setting) []string {
	k, _ := config.Lookup(s.Key)
	var values []string
	for _, v := range s.Values {
		switch {
		case k.Path && !filepath.IsAbs(v):
			v = filepath.Join(filepath.Dir(s.File), v)
		case k.Name == mountFlag:
			v = absoluteMount(v, a.config.directory(s))
		case k.Name == "toolchain":
			v = a.undecided(v)
		}
		values = append(values, v)
	}
	return values
}

// undecided takes version and image off a toolchain where the environment has
// them: it beats the files.
func (a *app) undecided(value string) string {
	name, kind := kindIn(value)
	for _, variable := range append(plan.VersionVariables(kind), plan.ImageVariables(kind)...) {
		if a.env.Get(variable) != "" {
			return name
		}
	}
	return value
}

// kindIn returns the kind in a value of toolchain, as it is written and by its own name. Definitions
// of the user's are not looked at: they may come from a pipe, which can be read once.
func kindIn(value string) (written, kind string) {
	written, _, _ = strings.Cut(value, "=")
	written, _, _ = strings.Cut(written, "@")
	if k, ok := (toolchain.Set{}).Lookup(written); ok {
		return written, k.Name
	}
	return written, strings.ToLower(written)
}

// forOne leaves of the toolchains those of the kind that the toolchain command runs, and none
// when the command says more than the kind.
func forOne(settings []config.Setting, one string) []config.Setting {
	written, asked := kindIn(one)
	list := slices.Clone(settings)
	for i := range list {
		if list[i].Key != "toolchain" {
			continue
		}
		list[i].Values = slices.DeleteFunc(slices.Clone(list[i].Values), func(v string) bool {
			_, kind := kindIn(v)
			return kind != asked || written != one
		})
	}
	return list
}

// valueChecks check a value of a file by itself, by its key.
var valueChecks = map[string]func(v string) error{
	"toolchain":           checkKindValue,
	"toolchain-bootstrap": errorOf(func(v string) (bool, error) { return parseBootstrap([]string{v}) }),
	"toolchain-timeout":   errorOf(func(v string) (time.Duration, error) { return parseTimeout("--toolchain-timeout", v) }),
	"engine":              docker.CheckEngine,
	"image":               imageref.Check,
	"flavor":              errorOf(parseFlavor),
	"docker-network":      checkNetwork,
	"workspace-path":      errorOf(parseWorkspacePath),
	mountFlag:             errorOf(func(v string) ([]dockerargs.Mount, error) { return parseMounts([]string{v}) }),
	"memory":              func(v string) error { return checkLimitValue("memory", v) },
	"cpus":                func(v string) error { return checkLimitValue("cpus", v) },
	"gpus":                func(v string) error { return checkLimitValue("gpus", v) },
	"pids-limit":          func(v string) error { return checkLimitValue("pids-limit", v) },
	"color":               errorOf(ui.ParseMode),
	policyKey:             named(policyKey, checkPolicyValue),
	"allow-host":          named("allow-host", checkHostValue),
	"publish":             named("publish", errorOf(publish.Parse)),
}

// named returns the check with errors that name the key.
func named(key string, check func(string) error) func(string) error {
	return func(v string) error {
		if err := check(v); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	}
}

// errorOf returns a check that is a parser without its result.
func errorOf[T any](parse func(string) (T, error)) func(string) error {
	return func(v string) error {
		_, err := parse(v)
		return err
	}
}

// checkValue checks a value of a file by itself, so that what is wrong is told with its
// place. What depends on others is checked with them.
func checkValue(key, v string) error {
	if check, ok := valueChecks[key]; ok {
		return check(v)
	}
	return nil
}

// checkKindValue leaves kinds that somebody defined to the check of all together.
func checkKindValue(v string) error {
	if _, kind := kindIn(v); !slices.Contains(toolchain.Set{}.Names(), kind) {
		return nil
	}
	_, err := toolchain.Set{}.ParseOne(v)
	return err
}

// checkPolicyValue does so too.
func checkPolicyValue(v string) error {
	_, mode := policyEntry(v)
	_, err := netpolicy.ParseMode(mode)
	return err
}

// checkHostValue does so too.
func checkHostValue(v string) error {
	if _, host, ok := strings.Cut(v, "="); ok {
		v = host
	}
	_, err := netpolicy.Parse(v, "allow-host")
	return err
}

// checkLimitValue does so too.
func checkLimitValue(key, v string) error {
	_, kind := kindIn(v)
	if strings.Contains(v, "=") && kind != plan.KindAgent && !slices.Contains(toolchain.Set{}.Names(), kind) {
		return nil
	}
	return checkLimit(key, v)
}
