package apparmor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// parser returns a command of apparmor_parser on a file with the text, which leaves the
// kernel alone.
func parser(t *testing.T, text string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("apparmor_parser")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/apparmor_parser") // not on everybody's PATH
	}
	if err != nil {
		if os.Getenv("AIFO_TEST_DOCKER") == "require" {
			t.Fatal("apparmor_parser is required")
		}
		t.Skip("apparmor_parser is not installed")
	}
	file := filepath.Join(t.TempDir(), "profiles")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return exec.Command(path, append(args, "--skip-kernel-load", "--skip-cache", file)...)
}

// TestProfilesCompile: they do, under the names that containers are given, and let
// programs be executed.
func TestProfilesCompile(t *testing.T) {
	names, err := parser(t, Profiles(), "--names").Output()
	require.NoError(t, err)
	require.Equal(t, Agent+"\n"+Sidecar+"\n", string(names))
	dump, err := parser(t, Profiles(), "--debug").CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(dump), "\nCapabilities:"))
	require.NotContains(t, string(dump), "sys_admin")
	require.NotContains(t, string(dump), "net_raw")
}

// TestParserRefuses: the parser that the other test trusts finds mistakes.
func TestParserRefuses(t *testing.T) {
	require.Error(t, parser(t, strings.Replace(Profiles(), "deny mount,", "deny mounts,", 1)).Run())
}

func TestChoose(t *testing.T) {
	loaded, bare := Host{Engine: true, Loaded: true}, Host{}
	for name, tc := range map[string]struct {
		asked  string
		host   Host
		want   Choice
		notice bool
	}{
		"loaded":          {"", loaded, Choice{Agent: Agent, Sidecar: Sidecar}, false},
		"not loaded":      {"", Host{Engine: true}, Choice{}, true},
		"no AppArmor":     {"", bare, Choice{}, true},
		"one of the user": {"mine", loaded, Choice{Agent: "mine", Sidecar: "mine"}, false},
		"none":            {"None", loaded, Choice{}, false},
		"none to be had":  {"off", bare, Choice{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(tc.asked, tc.host)
			require.NoError(t, err)
			require.Equal(t, tc.notice, got.Notice != "")
			got.Notice = ""
			require.Equal(t, tc.want, got)
		})
	}
	var cannot *NotConfinedError
	_, err := Choose("mine", bare)
	require.ErrorAs(t, err, &cannot)
}
