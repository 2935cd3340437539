//go:build linux

package boot

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// options is the command line of boot.
type options struct {
	UID, GID  int
	Name      string // of the account, if one must be made
	Home      string
	Caches    []cache
	Git       []setting
	PathFirst string
	StandIns  []standIn
	Config    []configFile
	Workdir   string
	Relay     bool // make the way out of a container without a network
	Stay      bool
	Argv      []string

	// WithoutSandbox are the arguments of Argv's program that switch off its own sandbox.
	WithoutSandbox []string

	wayOut *os.File // listens, once prepared, if Relay
}

// cache is a volume shared by users and sidecars, and where the user meets it.
type cache struct{ Name, Path string }

// standIn is a directory and the tools that the shim stands for in it.
type standIn struct {
	Dir   string
	Names []string
}

// configFile is a file that the user has on the host, and its place here.
type configFile struct{ Source, Path string }

// setting is one git setting.
type setting struct{ Key, Value string }

const synopsis = "usage: aifo-shim boot --user UID:GID [--name NAME] [--home DIR] [--cache NAME:PATH]... " +
	"[--git KEY=VALUE]... [--config SOURCE:PATH]... [--path-first DIR] [--stand-in DIR:NAME[,NAME]...]... [--workdir DIR] " +
	"[--relay] [--without-sandbox=ARG]... (--stay | -- ARGV...)"

func parse(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("boot", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("user", "", o.setUser)
	flags.StringVar(&o.Name, "name", "coder", "")
	flags.StringVar(&o.Home, "home", execproto.Home, "")
	flags.Func("cache", "", o.addCache)
	flags.Func("git", "", o.addGit)
	flags.Func("config", "", o.addConfig)
	flags.StringVar(&o.PathFirst, "path-first", "", "")
	flags.Func("stand-in", "", o.addStandIn)
	flags.StringVar(&o.Workdir, "workdir", "/", "")
	flags.Func("without-sandbox", "", func(arg string) error {
		o.WithoutSandbox = append(o.WithoutSandbox, arg)
		return nil
	})
	flags.BoolVar(&o.Relay, "relay", false, "")
	flags.BoolVar(&o.Stay, "stay", false, "")
	o.UID = -1
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, synopsis)
	}
	o.Argv = flags.Args()
	return o, o.check()
}

func (o *options) check() error {
	switch {
	case o.UID < 0:
		return errors.New("--user is missing\n" + synopsis)
	case o.Stay == (len(o.Argv) > 0):
		return errors.New("either --stay or a program is needed\n" + synopsis)
	case !validName(o.Name):
		return fmt.Errorf("--name %q is no account name", o.Name)
	}
	for flag, dir := range map[string]string{"home": o.Home, "workdir": o.Workdir, "path-first": o.PathFirst} {
		if dir != "" && !filepath.IsAbs(dir) || strings.ContainsAny(dir, "\n") {
			return fmt.Errorf("--%s %q is no absolute path", flag, dir)
		}
	}
	if strings.Contains(o.Home, ":") {
		return fmt.Errorf("--home %q cannot stand in /etc/passwd", o.Home)
	}
	o.Home = filepath.Clean(o.Home)
	return nil
}

func (o *options) setUser(s string) error {
	uid, gid, ok := strings.Cut(s, ":")
	u, err1 := strconv.ParseUint(uid, 10, 31)
	g, err2 := strconv.ParseUint(gid, 10, 31)
	if !ok || err1 != nil || err2 != nil {
		return errors.New("must be UID:GID, two numbers")
	}
	o.UID, o.GID = int(u), int(g)
	return nil
}

func (o *options) addCache(s string) error {
	name, path, ok := strings.Cut(s, ":")
	if !ok || !validName(name) || !filepath.IsAbs(path) {
		return errors.New("must be NAME:PATH")
	}
	o.Caches = append(o.Caches, cache{name, filepath.Clean(path)})
	return nil
}

func (o *options) addConfig(s string) error {
	source, path, ok := strings.Cut(s, ":")
	if !ok || !filepath.IsAbs(source) || !filepath.IsAbs(path) {
		return errors.New("must be SOURCE:PATH")
	}
	o.Config = append(o.Config, configFile{filepath.Clean(source), filepath.Clean(path)})
	return nil
}

func (o *options) addStandIn(s string) error {
	dir, names, ok := strings.Cut(s, ":")
	list := strings.Split(names, ",")
	bad := slices.ContainsFunc(list, func(name string) bool { return name == "" || strings.ContainsAny(name, "/\n") })
	if !ok || !filepath.IsAbs(dir) || bad {
		return errors.New("must be DIR:NAME, with more names after commas")
	}
	o.StandIns = append(o.StandIns, standIn{filepath.Clean(dir), list})
	return nil
}

func (o *options) addGit(s string) error {
	key, value, ok := strings.Cut(s, "=")
	set := setting{key, value}
	if _, err := set.section(); err != nil || !ok {
		return errors.New("must be KEY=VALUE with a KEY like user.name")
	}
	o.Git = append(o.Git, set)
	return nil
}

// validName reports whether s may be an account, or a directory of its own.
func validName(s string) bool {
	for i, c := range []byte(s) {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !alnum && (i == 0 || c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}
