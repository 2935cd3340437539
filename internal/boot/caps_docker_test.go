//go:build linux

package boot_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bootWithout boots a container with all capabilities that aifo-coder gives but one, and
// those of root for uid 0.
func bootWithout(t *testing.T, lacking string, options []string, boot ...string) string {
	t.Helper()
	shim := engine(t)
	args := []string{"run", "--rm", "--init", "--network", "none", "--cap-drop", "ALL", "-v", shim + ":" + bin + ":ro"}
	given := []string{"CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"}
	if slices.Contains(boot, "0:0") {
		given = append(given, "DAC_OVERRIDE", "FOWNER", "FSETID")
	}
	for _, c := range given {
		if c != lacking {
			args = append(args, "--cap-add", c)
		}
	}
	args = append(append(args, options...), image, bin, "boot")
	out, _ := docker(t, append(args, boot...)...)
	return out
}

// TestEveryCapabilityIsNeeded: without any of them something of what docs/security.md
// names does not work. SETPCAP, SETGID and SETUID are those of TestCannotDrop.
func TestEveryCapabilityIsNeeded(t *testing.T) {
	engine(t)
	if os.Geteuid() != 0 {
		t.Skip("needs files of another user")
	}
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	for _, err := range []error{os.MkdirAll(theirs, 0o755), os.Chmod(dir, 0o755), os.WriteFile(theirs+"/file", nil, 0o600), os.Chown(theirs+"/file", 4711, 4711), os.Chown(theirs, 4711, 4711)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ lacking, user, script string }{
		{"CHOWN", "4711:4711", "touch ~/x && echo works"},
		{"DAC_OVERRIDE", "0:0", "echo x >/w/file && echo works"},
		{"FOWNER", "0:0", "chmod 640 /w/file && echo works"},
		{"FSETID", "0:0", "chmod 2750 /w && stat -c %a /w | grep -q 2750 && echo works"},
	} {
		for _, lacking := range []string{"", tt.lacking} {
			if err := os.Chmod(theirs, 0o755); err != nil {
				t.Fatal(err)
			}
			out := bootWithout(t, lacking, []string{"-v", theirs + ":/w"}, "--user", tt.user, "--", "sh", "-c", tt.script)
			if works := strings.Contains(out, "works"); works != (lacking == "") {
				t.Errorf("%s without %q: %s", tt.script, lacking, out)
			}
		}
	}
}

// TestKillIsNeeded: root in the container, as which its init runs, may end an agent of
// another uid.
func TestKillIsNeeded(t *testing.T) {
	shim := engine(t)
	for _, with := range []bool{true, false} {
		args := []string{"run", "--rm", "--detach", "--init", "--network", "none", "--cap-drop", "ALL", "-v", shim + ":" + bin + ":ro"}
		for _, c := range []string{"CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"} {
			if with || c != "KILL" {
				args = append(args, "--cap-add", c)
			}
		}
		id, code := docker(t, append(args, image, bin, "boot", "--user", "4711:4711", "--", "sleep", "1000")...)
		if code != 0 {
			t.Fatal(id)
		}
		id = strings.TrimSpace(id)
		defer exec.Command("docker", "rm", "--force", id).Run()
		// Signal 0 needs the same permission, and the container lives on for the exec to end in.
		out, code := docker(t, "exec", "--user", "0:0", id, "sh", "-c", "until pid=$(pidof sleep); do :; done; kill -0 $pid")
		if allowed := code == 0; allowed != with {
			t.Errorf("with KILL: %v: %s", with, out)
		}
	}
}
