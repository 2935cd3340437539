//go:build unix

package keys_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zalando/go-keyring"

	"github.com/aifo-coder/aifo-coder/internal/keys"
)

const key = "sk-real-0123456789abcdef"

// noKeyring has the tests run as on a machine without a session bus.
func noKeyring(t *testing.T) {
	t.Helper()
	keyring.MockInitWithError(errors.New("must not be asked"))
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
}

// mockKeyring has the tests run with a keyring in memory.
func mockKeyring(t *testing.T) {
	t.Helper()
	keyring.MockInit()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
}

func TestFile(t *testing.T) {
	noKeyring(t)
	dir := keys.Dir(filepath.Join(t.TempDir(), "aifo-coder"))
	require.NoError(t, keys.SaveFile(dir, "openai", "old"))
	require.NoError(t, keys.SaveFile(dir, "openai", key))
	info, err := os.Stat(filepath.Join(dir, "openai"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	info, err = os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)

	got, err := keys.Stored(t.Context(), dir, []string{"openai", "gemini"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"openai": key}, got)

	from, err := keys.Remove(t.Context(), dir, "openai")
	require.NoError(t, err)
	require.Equal(t, []string{keys.File}, from)
	got, err = keys.Stored(t.Context(), dir, []string{"openai"})
	require.NoError(t, err)
	require.Empty(t, got)
	from, err = keys.Remove(t.Context(), dir, "openai")
	require.NoError(t, err)
	require.Empty(t, from)
}

// TestUnfitFile wants a reason and a way out, and never what is in the file.
func TestUnfitFile(t *testing.T) {
	noKeyring(t)
	write := func(text string, mode os.FileMode) func(string) error {
		return func(path string) error {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return err
			}
			return os.Chmod(path, mode)
		}
	}
	for name, make := range map[string]func(string) error{
		"for the group": write(key, 0o640), "for others": write(key, 0o604), "others write": write(key, 0o602),
		"two lines": write(key+"\nsecret\n", 0o600), "empty": write("", 0o600), "blank": write("\n", 0o600), "a space": write("sk secret", 0o600),
		"big":         write(strings.Repeat("k", keys.MaxFile+1), 0o600),
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link": func(path string) error {
			to := filepath.Join(filepath.Dir(path), "to")
			return errors.Join(os.WriteFile(to, []byte(key), 0o600), os.Symlink(to, path))
		},
		"a pipe": mkfifo,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, make(filepath.Join(dir, "openai")))
			_, err := keys.Stored(t.Context(), dir, []string{"openai"})
			var unfit *keys.FileError
			require.ErrorAs(t, err, &unfit)
			require.NotEmpty(t, unfit.Hint())
			require.NotContains(t, err.Error()+unfit.Hint(), "sk")
			require.Equal(t, name == "a link", unfit.Reason == "it is a link")
		})
	}
}

func TestFileLineEnds(t *testing.T) {
	noKeyring(t)
	for _, end := range []string{"", "\n", "\r\n"} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "openai"), []byte(key+end), 0o400))
		got, err := keys.Stored(t.Context(), dir, []string{"openai"})
		require.NoError(t, err)
		require.Equal(t, key, got["openai"])
	}
}

// TestFileOfAnother needs root, who alone can give files away.
func TestFileOfAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a file of another user")
	}
	noKeyring(t)
	dir := keys.Dir(t.TempDir())
	require.NoError(t, keys.SaveFile(dir, "openai", key))
	require.NoError(t, os.Chown(filepath.Join(dir, "openai"), 12345, 12345))
	_, err := keys.Stored(t.Context(), dir, []string{"openai"})
	var unfit *keys.FileError
	require.ErrorAs(t, err, &unfit)
	require.NotContains(t, unfit.Hint(), "chmod", "which only its owner can do")
}

func TestKeyring(t *testing.T) {
	mockKeyring(t)
	dir := keys.Dir(t.TempDir())
	require.NoError(t, keys.SaveKeyring(t.Context(), "gemini", key))
	require.NoError(t, keys.SaveKeyring(t.Context(), "openai", key))
	require.NoError(t, keys.SaveFile(dir, "openai", "in-the-file"))
	got, err := keys.Find(t.Context(), dir, []string{"openai", "gemini", "azure"})
	require.NoError(t, err)
	require.Equal(t, map[string]keys.Found{"openai": {Key: "in-the-file", Source: keys.File}, "gemini": {Key: key, Source: keys.Keyring}}, got)

	from, err := keys.Remove(t.Context(), dir, "openai")
	require.NoError(t, err)
	require.Equal(t, []string{keys.File, keys.Keyring}, from)
	from, err = keys.Remove(t.Context(), dir, "openai")
	require.NoError(t, err)
	require.Empty(t, from)
}

// TestKeyringFails: one that is broken counts as absent where keys are looked for, and is
// an error where one is to be kept.
func TestKeyringFails(t *testing.T) {
	mockKeyring(t)
	keyring.MockInitWithError(errors.New("broken"))
	got, err := keys.Stored(t.Context(), t.TempDir(), []string{"openai", "gemini"})
	require.NoError(t, err)
	require.Empty(t, got)
	var failed *keys.KeyringError
	require.ErrorAs(t, keys.SaveKeyring(t.Context(), "openai", key), &failed)
	require.Contains(t, failed.Hint(), "--file")
	_, err = keys.Remove(t.Context(), t.TempDir(), "openai")
	require.ErrorAs(t, err, &failed)
}

func TestNoKeyring(t *testing.T) {
	noKeyring(t)
	var failed *keys.KeyringError
	require.ErrorAs(t, keys.SaveKeyring(t.Context(), "openai", key), &failed)
	_, err := keys.Remove(t.Context(), t.TempDir(), "openai")
	require.NoError(t, err)
}

// TestKeyringSlow has a session bus that never answers. Another process asks it, for in this
// one the keyring is a mock.
func TestKeyringSlow(t *testing.T) {
	if os.Getenv("TEST_SLOW_KEYRING") != "" {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		got, err := keys.Stored(ctx, t.TempDir(), []string{"openai"})
		require.NoError(t, err)
		require.Empty(t, got)
		var failed *keys.KeyringError
		require.ErrorAs(t, keys.SaveKeyring(ctx, "openai", key), &failed)
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("the keyring of this system is not reached by a session bus")
	}
	socket := filepath.Join(t.TempDir(), "bus")
	var config net.ListenConfig
	bus, err := config.Listen(t.Context(), "unix", socket) // it accepts nothing
	require.NoError(t, err)
	defer bus.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKeyringSlow$", "-test.v")
	cmd.Env = append(os.Environ(), "TEST_SLOW_KEYRING=1", "DBUS_SESSION_BUS_ADDRESS=unix:path="+socket)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: TestKeyringSlow")
}

func TestSaveRefuses(t *testing.T) {
	mockKeyring(t)
	for _, bad := range []string{"", "two\nlines", "tab\t", "é", "a b"} {
		require.Error(t, keys.SaveFile(t.TempDir(), "openai", bad))
		require.Error(t, keys.SaveKeyring(t.Context(), "openai", bad))
	}
}

// TestOpenDirectory: a directory that others can enter is not written to.
func TestOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.Error(t, keys.SaveFile(dir, "openai", key))
}
