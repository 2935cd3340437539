package cli

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// envFlags are the flags that set variables in containers.
type envFlags struct {
	vars, files []string
}

func (f *envFlags) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.vars, "env", nil, "set a variable in the containers, or in one; without a value it is the one here: `[KIND.]NAME[=VALUE]`; repeatable")
	fs.StringArrayVar(&f.files, "env-file", nil, "set the variables that `FILE` has, a NAME=VALUE a line; repeatable")
}

// parse returns the values of variables by container, "" for all. The files come before
// --env, and the last one counts.
func (f *envFlags) parse(env hostfacts.Env, kinds toolchain.Set) (map[string]map[string]string, error) {
	values := envValues{env: env, kinds: kinds, of: map[string]map[string]string{}}
	for _, name := range f.files {
		if err := values.readFile(name); err != nil {
			return nil, fmt.Errorf("--env-file: %w", err)
		}
	}
	for _, v := range f.vars {
		if err := values.add(v); err != nil {
			return nil, fmt.Errorf("--env %s: %w", nameIn(v), err)
		}
	}
	return values.of, nil
}

// nameIn returns a variable without its value, which may be a secret.
func nameIn(v string) string {
	name, _, _ := strings.Cut(v, "=")
	return fmt.Sprintf("%q", name)
}

// envValues collects variables.
type envValues struct {
	env   hostfacts.Env // whose value a name alone has
	kinds toolchain.Set
	of    map[string]map[string]string
}

// readFile takes the lines of a file as docker run --env-file does: a value is what follows
// "=" to the end of the line, quotes and all, and "#" begins a comment at the start of a
// line only.
func (e *envValues) readFile(name string) error {
	data, err := readText(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("%s is not UTF-8 text", name)
	}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := e.add(line); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", name, number, nameIn(line), err)
		}
	}
	return nil
}

var envRE = regexp.MustCompile(`^(?:([A-Za-z][A-Za-z0-9+_-]*)\.)?([A-Za-z_][A-Za-z0-9_]*)(=(?s:.*))?$`)

// add takes one variable. One without a value, that is not set here, is left out.
func (e *envValues) add(v string) error {
	m := envRE.FindStringSubmatch(v)
	if m == nil {
		return errors.New("takes NAME=VALUE or NAME, or KIND.NAME for one container")
	}
	container, name := m[1], m[2]
	if container != "" {
		var err error
		if container, _, err = ofContainer(container+"=", e.kinds); err != nil {
			return err
		}
	}
	if !plan.Passable(name) {
		return errors.New("that variable is not for you to set in a container: docker, the loader or aifo-coder itself needs it")
	}
	value, set := e.env[name]
	if m[3] != "" {
		value, set = m[3][1:], true
	}
	if !set {
		return nil
	}
	if strings.Contains(value, "\x00") {
		return errors.New("the value holds a NUL")
	}
	if e.of[container] == nil {
		e.of[container] = map[string]string{}
	}
	e.of[container][name] = value
	return nil
}

// checkEnv refuses variables by which something else was to be kept: keys that the
// credential broker stands for, and the way out of a container without a network.
func checkEnv(o plan.Options) error {
	for _, container := range slices.Sorted(maps.Keys(o.Env)) {
		for _, name := range slices.Sorted(maps.Keys(o.Env[container])) {
			switch {
			case o.Broker != nil && o.Broker.Placeholders != nil && config.IsCredential(name):
				return &UsageError{Err: fmt.Errorf("--env %q: the credential broker stands for that variable; leave it out, or say --credentials %s", name, credentialsPass)}
			case plan.IsProxyVariable(name) && o.Closes(container):
				return &UsageError{Err: fmt.Errorf("--env %q: with a network policy the way out is aifo-coder's own proxy; leave it out", name)}
			}
		}
	}
	return nil
}
