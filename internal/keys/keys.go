// Package keys finds the credentials that a host keeps for its user: keys of model
// providers in files and in the system's keyring, and logins of git servers.
package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/provider"
	"github.com/aifo-coder/aifo-coder/internal/trust"
)

// MaxFile is the size of a file with a key, in bytes.
const MaxFile = 16 << 10

// service is the name below which keys are in the keyring.
const service = "aifo-coder"

// Where a key can be.
const (
	File    = "file"
	Keyring = "keyring"
)

// keyringWait bounds what the keyring takes: one that is locked asks its user, and that
// may be nobody.
const keyringWait = 5 * time.Second

// Found is a key, and where it was.
type Found struct {
	Key    string
	Source string // File or Keyring
}

// FileError says that the file of a key cannot be used. It never holds what is in it.
type FileError struct {
	Path   string
	Reason string
	Fix    string // what to do
}

func (e *FileError) Error() string {
	return fmt.Sprintf("the key in %s is not used: %s", e.Path, e.Reason)
}

// Hint says what to do about it.
func (e *FileError) Hint() string { return e.Fix }

// KeyringError says that there is no keyring, or that it did not do what was asked.
type KeyringError struct{ Err error }

func (e *KeyringError) Error() string { return "the keyring: " + e.Err.Error() }
func (e *KeyringError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *KeyringError) Hint() string { return "keep the key in a file: --file" }

var (
	errNoKeyring = errors.New("this machine has none that can be reached")
	errSlow      = errors.New("it does not answer")
)

// Dir returns the directory of the files, given where the user has files for aifo-coder.
func Dir(config string) string { return filepath.Join(config, hostfacts.CredentialsName) }

// Stored returns the keys of the providers names that are in dir or in the keyring. It
// returns a *FileError for a file that is there and cannot be used. A keyring that does
// not answer within seconds counts as absent.
func Stored(ctx context.Context, dir string, names []string) (map[string]string, error) {
	found, err := Find(ctx, dir, names)
	keys := map[string]string{}
	for name, f := range found {
		keys[name] = f.Key
	}
	return keys, err
}

// Find is Stored, with the place of each key. A file comes before the keyring.
func Find(ctx context.Context, dir string, names []string) (map[string]Found, error) {
	found := map[string]Found{}
	var rest []string
	for _, name := range names {
		key, err := readFile(filepath.Join(dir, name))
		switch {
		case errors.Is(err, os.ErrNotExist):
			rest = append(rest, name)
		case err != nil:
			return nil, err
		default:
			found[name] = Found{Key: key, Source: File}
		}
	}
	for name, key := range fromKeyring(ctx, rest) {
		found[name] = Found{Key: key, Source: Keyring}
	}
	return found, nil
}

// readFile returns the key in a file of the user's own that nobody else can read. It
// returns an error that is os.ErrNotExist when there is no file.
func readFile(path string) (string, error) {
	unfit := func(fix, format string, args ...any) error {
		return &FileError{Path: path, Reason: fmt.Sprintf(format, args...), Fix: fix}
	}
	f, err := trust.OpenNoFollow(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if trust.IsLink(err) {
		return "", unfit("put the file itself in its place", "it is a link")
	}
	if err != nil {
		return "", unfit("make it a file that you can read", "it cannot be opened: %v", cause(err))
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", unfit("make it a file that you can read", "%v", cause(err))
	case !info.Mode().IsRegular():
		return "", unfit("make it a file", "it is not a file")
	case !ours(info):
		return "", unfit("replace it by a file of your own", "it belongs to somebody else")
	case !private(info):
		return "", unfit("make it yours alone: chmod 600 "+path, "others can read or change it")
	case info.Size() > MaxFile:
		return "", unfit("put the key alone in it", "it has more than %d KiB", MaxFile>>10)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFile))
	if err != nil {
		return "", unfit("make it a file that you can read", "%v", cause(err))
	}
	key := Line(string(data))
	if err := provider.CheckKey(key); err != nil {
		return "", unfit("put the key alone in it, on one line", "%v", err)
	}
	return key, nil
}

// Line returns a text without the end of its last line.
func Line(text string) string { return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r") }

// cause returns what went wrong without the path, which the message has already.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// SaveFile writes a provider's key to its file, in place of what was there.
func SaveFile(dir, name, key string) error {
	if err := provider.CheckKey(key); err != nil {
		return err
	}
	if err := hostfacts.PrivateDir(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+name+"-") // with mode 0600
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	_, err = f.WriteString(key + "\n")
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write the key: %w", err)
	}
	return nil
}

// SaveKeyring puts a provider's key into the keyring, in place of what was there. It
// returns a *KeyringError when there is none.
func SaveKeyring(ctx context.Context, name, key string) error {
	if err := provider.CheckKey(key); err != nil {
		return err
	}
	// Its user may have to unlock it first, so only ctx bounds this.
	if err := ask(ctx, func() error { return keyring.Set(service, name, key) }); err != nil {
		return &KeyringError{Err: err}
	}
	return nil
}

// Remove removes a provider's key wherever it is, and returns where that was.
func Remove(ctx context.Context, dir, name string) (from []string, err error) {
	err = os.Remove(filepath.Join(dir, name))
	switch {
	case err == nil:
		from = append(from, File)
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("remove the key: %w", err)
	}
	err = ask(ctx, func() error { return keyring.Delete(service, name) })
	switch {
	case err == nil:
		from = append(from, Keyring)
	case !errors.Is(err, keyring.ErrNotFound) && !errors.Is(err, errNoKeyring):
		return from, &KeyringError{Err: err}
	}
	return from, nil
}

// fromKeyring returns the keys that the keyring has.
func fromKeyring(ctx context.Context, names []string) map[string]string {
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, keyringWait)
	defer cancel()
	answer := make(chan map[string]string, 1)
	err := ask(ctx, func() error {
		keys := map[string]string{}
		for _, name := range names {
			key, err := keyring.Get(service, name)
			if err == nil && provider.CheckKey(key) == nil {
				keys[name] = key
			} else if !errors.Is(err, keyring.ErrNotFound) {
				break // one that does not answer would be asked in vain for the others
			}
		}
		answer <- keys
		return nil
	})
	if err != nil {
		return nil
	}
	return <-answer
}

// ask has the keyring do something, and does not wait longer than ctx says: the library
// has no way to end a question.
func ask(ctx context.Context, do func() error) error {
	if !reachable() {
		return errNoKeyring
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errSlow
	}
}

// reachable reports whether there may be a keyring. Without a session bus the library
// would start one.
func reachable() bool {
	if runtime.GOOS != "linux" || os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	info, err := os.Stat(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bus"))
	return err == nil && info.Mode().Type() == os.ModeSocket
}
