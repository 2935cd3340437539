package hostfacts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxConfigFile is far more than a configuration file has.
const maxConfigFile = 256 << 10

// configDir returns the directory in which the user keeps files for agents.
func configDir(env Env, home string) (string, error) {
	for _, name := range []string{"AIFO_CODER_CONFIG_HOST_DIR", "AIFO_CONFIG_HOST_DIR"} {
		dir := env.Get(name)
		if dir == "" {
			continue
		}
		if !filepath.IsAbs(dir) {
			return "", &EnvError{Name: name, Err: fmt.Errorf("%q is not an absolute path", dir)}
		}
		return dir, nil
	}
	return filepath.Join(home, "aifo-coder"), nil
}

// ReadFiles finds out which of the files there are. One that is there and cannot be
// used is among the warnings.
func (f *Facts) ReadFiles(names []string) {
	f.Files = map[string]string{}
	for _, name := range names {
		path, err := filepath.EvalSymlinks(name)
		if err != nil {
			continue
		}
		if why := unfit(path); why != "" {
			f.Warnings = append(f.Warnings, fmt.Sprintf("the configuration file %s is not used: %s", name, why))
			continue
		}
		f.Files[name] = path
	}
}

// unfit returns why a file cannot be mounted and copied, or "".
func unfit(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return reason(err)
	case !info.Mode().IsRegular():
		return "it is not a file"
	case info.Size() > maxConfigFile:
		return fmt.Sprintf("it has more than %d KiB", maxConfigFile>>10)
	case !utf8.ValidString(path), strings.ContainsFunc(path, unicode.IsControl):
		return "docker cannot mount a path like its own"
	}
	file, err := os.Open(path)
	if err != nil {
		return reason(err)
	}
	_ = file.Close()
	return ""
}
