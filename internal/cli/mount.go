package cli

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// mountFlag is the flag, and the setting, of further mounts.
const mountFlag = "mount"

// parseMounts returns the mounts that the values ask for, as docker run --mount takes them
// (docker-run(1)): their sources are as they were written.
func parseMounts(values []string) ([]dockerargs.Mount, error) {
	var list []dockerargs.Mount
	for _, v := range values {
		m, err := parseMount(v)
		if err != nil {
			return nil, fmt.Errorf("--mount %q: %w", v, err)
		}
		list = append(list, m)
	}
	return list, nil
}

func parseMount(v string) (dockerargs.Mount, error) {
	m := dockerargs.Mount{Type: "volume"}
	fields, err := mountFields(v)
	if err != nil {
		return m, err
	}
	for _, field := range fields {
		if err := setMountField(&m, field); err != nil {
			return m, err
		}
	}
	return m, checkMount(m)
}

// mountFields takes a value apart as docker does: a field with a comma stands in quotes.
func mountFields(v string) ([]string, error) {
	fields, err := csv.NewReader(strings.NewReader(v)).Read()
	if err != nil || !strings.Contains(v, "=") {
		return nil, errors.New("takes type=bind,source=PATH,target=DIR and the like; a field with a comma stands in quotes")
	}
	return fields, nil
}

func setMountField(m *dockerargs.Mount, field string) error {
	key, value, has := strings.Cut(field, "=")
	switch strings.ToLower(key) {
	case "type":
		m.Type = strings.ToLower(value)
	case "source", "src":
		m.Source = value
	case "target", "destination", "dst":
		m.Target = value
	case "readonly", "ro":
		if has && value != "true" && value != "1" && value != "false" && value != "0" {
			return fmt.Errorf("%q: takes true or false", field)
		}
		m.ReadOnly = !has || value == "true" || value == "1"
	default:
		return fmt.Errorf("there is no %q here; there are type, source, target and readonly", key)
	}
	return nil
}

var volumeRE = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func checkMount(m dockerargs.Mount) error {
	switch m.Type {
	case "bind":
		if m.Source == "" {
			return errors.New("a bind mount needs a source, a file or directory of this machine")
		}
	case "volume":
		if !volumeRE.MatchString(m.Source) {
			return fmt.Errorf("%q is not the name of a volume; a directory of this machine needs type=bind", m.Source)
		}
	case "tmpfs":
		if m.Source != "" {
			return errors.New("a tmpfs has no source")
		}
	default:
		return fmt.Errorf("type %q: takes bind, volume or tmpfs", m.Type)
	}
	return checkTarget(m.Target)
}

// themselves are the directories of containers that are not hidden as a whole.
var themselves = []string{execproto.Workspace, execproto.Home, "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64"}

func checkTarget(target string) error {
	if !path.IsAbs(target) || path.Clean(target) != target || strings.ContainsFunc(target, unicode.IsControl) {
		return fmt.Errorf("target %q: takes a path in the containers that begins with /", target)
	}
	hidden := func(dir string) bool { return execproto.Within(dir, target) }
	if slices.ContainsFunc(execproto.OwnDirs, func(dir string) bool { return execproto.Within(target, dir) || hidden(dir) }) || slices.ContainsFunc(themselves, hidden) {
		return fmt.Errorf("target %q: the containers need what is there; name a directory of its own", target)
	}
	return nil
}

// absoluteMount returns the value with the source of a bind mount seen from dir. A value
// that is wrong stays as it is, for the parser to say so.
func absoluteMount(v, dir string) string {
	m, err := parseMount(v)
	if err != nil || m.Type != "bind" || filepath.IsAbs(m.Source) {
		return v
	}
	fields, _ := mountFields(v) // it was parsed
	for i, field := range fields {
		if key, source, _ := strings.Cut(field, "="); strings.EqualFold(key, "source") || strings.EqualFold(key, "src") {
			fields[i] = key + "=" + filepath.Join(dir, source)
		}
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(fields) // a bytes.Buffer takes every write
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// decideMounts looks at the sources of the mounts, and refuses a target that is taken.
func decideMounts(o *plan.Options, f hostfacts.Facts) error {
	for i, m := range o.Mounts {
		if m.Type != "bind" {
			continue
		}
		var err error
		if o.Mounts[i].Source, err = f.MountSource(m.Source); err != nil {
			return &UsageError{Err: fmt.Errorf("--mount: %w", err)}
		}
	}
	if len(o.Mounts) == 0 {
		return nil
	}
	p := plan.Build(*o, f, "")
	if p.Agent != nil {
		if err := checkTaken(p.Agent.Mounts); err != nil {
			return err
		}
	}
	for _, s := range p.Sidecars {
		if err := checkTaken(s.Run.Mounts); err != nil {
			return err
		}
	}
	return nil
}

// checkTaken returns an error when two mounts have one target, which docker refuses when the
// container is made.
func checkTaken(mounts []dockerargs.Mount) error {
	seen := map[string]bool{}
	for _, m := range mounts {
		if seen[m.Target] {
			return &UsageError{Err: fmt.Errorf("--mount: %s is mounted already; name another target", m.Target)}
		}
		seen[m.Target] = true
	}
	return nil
}
