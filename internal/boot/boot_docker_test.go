//go:build linux

package boot_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/boot"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/mountid"
	"golang.org/x/sys/unix"
)

// image is what the tests boot. scripts/images builds it everywhere.
const image = "debian:bookworm-slim"

// caps are what boot is given by aifo-coder.
var caps = []string{"--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "SETPCAP", "--cap-add", "KILL"}

const bin = "/opt/aifo/bin/aifo-shim"

// built is the directory that build made, if it ran.
var built string

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "aifo-shim-test-")
	if err != nil {
		return "", err
	}
	built = dir
	cmd := exec.Command("go", "build", "-o", dir+"/aifo-shim", "github.com/aifo-coder/aifo-coder/shims/aifo-shim")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the shim: %w: %s", err, out)
	}
	return dir, os.Chmod(dir, 0o755)
})

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(built)
	os.Exit(code)
}

// engine skips the test without an engine and the image, unless the
// environment says that they must be there. It returns the path of the shim.
func engine(t *testing.T) string {
	t.Helper()
	if os.Getenv("AIFO_TEST_DOCKER") == "off" {
		t.Skip("AIFO_TEST_DOCKER=off")
	}
	if err := exec.Command("docker", "image", "inspect", image).Run(); err != nil {
		if os.Getenv("AIFO_TEST_DOCKER") == "require" {
			t.Fatalf("no engine with %s: %v", image, err)
		}
		t.Skipf("no engine with %s", image)
	}
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "aifo-shim")
}

// docker runs a docker command and returns its output and exit code.
func docker(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// bootRun boots a container in the foreground, with docker's and boot's options.
func bootRun(t *testing.T, options []string, boot ...string) (string, int) {
	t.Helper()
	shim := engine(t)
	args := append([]string{"run", "--rm", "--init", "--network", "none", "-v", shim + ":" + bin + ":ro"}, caps...)
	args = append(append(args, options...), image, bin, "boot")
	return docker(t, append(args, boot...)...)
}

func want(t *testing.T, out string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains("\n"+out+"\n", "\n"+l+"\n") {
			t.Errorf("no line %q in\n%s", l, out)
		}
	}
}

const report = `id -u; id -g; id -G; id -un; echo "home=$HOME user=$USER log=$LOGNAME run=$XDG_RUNTIME_DIR"
grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr '\t' ' '; umask; pwd; stat -c '%n %U %a' ~ "$XDG_RUNTIME_DIR"
touch ~/x && echo writable; bash -lc 'echo path=$PATH'`

func TestUser(t *testing.T) {
	out, code := bootRun(t, []string{"--tmpfs", "/home/coder/.config/a/b"},
		"--user", "4711:4712", "--path-first", "/opt/aifo/bin", "--workdir", "/usr", "--", "sh", "-c",
		report+"; stat -c '%n %U' ~/.config ~/.config/a ~/.config/a/b; stat -c '%n %U %a' /.aifo-env; tr '\\0' '\\n' < /.aifo-env | sort > ~/a; env | sort | grep -v ^_= > ~/b; comm -23 ~/a ~/b | sed s/^/note=/")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	want(t, out, "4711", "4712", "coder", "home=/home/coder user=coder log=coder run=/tmp/runtime-4711",
		"CapPrm: 0000000000000000", "CapEff: 0000000000000000", "CapInh: 0000000000000000", "CapBnd: 0000000000000000", "CapAmb: 0000000000000000",
		"NoNewPrivs: 1", "0022", "/usr", "/home/coder coder 755", "/tmp/runtime-4711 coder 700", "writable",
		"/home/coder/.config coder", "/home/coder/.config/a coder", "/home/coder/.config/a/b root",
		"/.aifo-env root 644")
	if !strings.Contains(out, "path=/opt/aifo/bin:") || strings.Contains(out, "warning") || strings.Contains(out, "note=") {
		t.Errorf("output:\n%s", out)
	}
}

// TestMountsKeepTheirOwner: what is mounted in HOME is not ours to give away,
// even when it is on the same file system as HOME.
func TestMountsKeepTheirOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs a directory of root")
	}
	engine(t)
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.MkdirAll(dir+"/home/own", 0o755), os.MkdirAll(dir+"/other/below", 0o755)); err != nil {
		t.Fatal(err)
	}
	out, code := bootRun(t, []string{"-v", dir + "/home:/home/coder", "-v", dir + "/other:/home/coder/.config/other"},
		"--user", "4711:4711", "--", "sh", "-c", "cd; stat -c '%n %u' . own .config .config/other .config/other/below")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	want(t, out, ". 4711", "own 4711", ".config 4711", ".config/other 0", ".config/other/below 0")
}

func TestRootUser(t *testing.T) {
	add := []string{"--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER", "--cap-add", "FSETID", "--cap-add", "NET_RAW"}
	out, code := bootRun(t, add, "--user", "0:0", "--", "sh", "-c", report)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	want(t, out, "0", "root", "home=/home/coder user=root log=root run=/tmp/runtime-0",
		"CapPrm: 000000000000001b", "CapEff: 000000000000001b", "CapBnd: 000000000000001b", "NoNewPrivs: 1", "writable")
}

func TestReadOnlyRoot(t *testing.T) {
	out, code := bootRun(t, []string{"--read-only", "--tmpfs", "/home/coder", "--tmpfs", "/tmp"},
		"--user", "4711:4711", "--git", "user.name=x", "--path-first", "/a", "--", "sh", "-c", "touch ~/x && echo writable")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	want(t, out, "writable")
	for _, w := range []string{"account", "group", "git settings", "PATH of login shells"} {
		if !strings.Contains(out, "aifo-shim boot: warning: "+w+": open ") {
			t.Errorf("no warning for the %s in\n%s", w, out)
		}
	}
}

func TestBootFails(t *testing.T) {
	for _, tt := range []struct {
		options []string
		boot    string
		code    int
		message string
	}{
		{nil, "--user 1:1 -- no-such-program", 127, "aifo-shim boot: no-such-program: not found in this image"},
		{nil, "--user 1:1 -- /etc/passwd", 126, "aifo-shim boot: /etc/passwd: cannot be executed: permission denied"},
		{nil, "--user 1:1 --workdir /none -- true", 125, "aifo-shim boot: cannot enter /none: no such file or directory"},
		{[]string{"--read-only"}, "--user 1:1 -- true", 125, "aifo-shim boot: home directory /home/coder: mkdir /home/coder: read-only file system"},
		{[]string{"--user", "5"}, "--user 5:5 -- true", 125, "aifo-shim boot: must be started as root, which it gives up itself"},
	} {
		out, code := bootRun(t, tt.options, strings.Fields(tt.boot)...)
		if code != tt.code || !strings.Contains(out, tt.message+"\n") {
			t.Errorf("%v %s: exit %d: %s", tt.options, tt.boot, code, out)
		}
	}
}

// TestMountsAreWhatWasMeant: the numbers that this host has of a directory are the container's, in one that the user
// alone may enter as well; the variable does not reach the program.
func TestMountsAreWhatWasMeant(t *testing.T) {
	engine(t)
	dir := t.TempDir()
	inner := filepath.Join(dir, "private", "inner")
	if err := errors.Join(os.MkdirAll(inner, 0o755), os.Chmod(filepath.Dir(inner), 0o700), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	number := func(path string) mountid.File {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return mountid.File{Dev: st.Dev, Ino: st.Ino}
	}
	run := func(file mountid.File) (string, int) {
		mounts := []mountid.Mount{{Target: "/private", File: number(filepath.Dir(inner))}, {Target: "/private/inner", File: file}}
		return bootRun(t, []string{
			"--env", execproto.EnvMounts + "=" + mountid.Encode(mounts),
			"-v", filepath.Dir(inner) + ":/private", "-v", inner + ":/private/inner",
		}, "--user", strconv.Itoa(os.Getuid())+":1", "--", "sh", "-c", "echo ran; env")
	}
	out, code := run(number(inner))
	if code != 0 || strings.Contains(out, execproto.EnvMounts) {
		t.Errorf("exit %d: %s", code, out)
	}
	out, code = run(number(dir))
	if code != boot.ExitFailed || strings.Contains(out, "ran") {
		t.Errorf("exit %d: %s", code, out)
	}
	want(t, out, "aifo-shim boot: "+(&mountid.SwappedError{Target: "/private/inner"}).Error())
}

// TestCannotDrop: what cannot be given up must not be run with.
func TestCannotDrop(t *testing.T) {
	shim := engine(t)
	for lacking, message := range map[string]string{
		"SETPCAP": "drop capability 0: operation not permitted",
		"SETGID":  "set groups: operation not permitted",
		"SETUID":  "set user 1: operation not permitted",
	} {
		args := []string{"run", "--rm", "--cap-drop", "ALL", "-v", shim + ":" + bin + ":ro"}
		for _, c := range []string{"CHOWN", "SETUID", "SETGID", "SETPCAP"} {
			if c != lacking {
				args = append(args, "--cap-add", c)
			}
		}
		out, code := docker(t, append(args, image, bin, "boot", "--user", "1:1", "--", "true")...)
		if code != 125 || !strings.Contains(out, message) {
			t.Errorf("without %s: exit %d: %s, want %s", lacking, code, out, message)
		}
	}
}

// TestEmptyImage boots an image that has nothing at all.
func TestEmptyImage(t *testing.T) {
	shim := engine(t)
	import_ := exec.Command("sh", "-c", "tar -c -T /dev/null | docker import - aifo-test-empty:boot")
	if out, err := import_.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { docker(t, "rmi", "aifo-test-empty:boot") })
	args := append([]string{"run", "--rm", "--init", "-v", shim + ":" + bin + ":ro"}, caps...)
	out, code := docker(t, append(args, "aifo-test-empty:boot", bin, "boot", "--user", "7:7", "--path-first", "/a", "--git", "a.b=c", "--", bin, "ready")...)
	if code != 0 || out != "" {
		t.Errorf("exit %d: %s", code, out)
	}
}

// sidecar starts a container that stays, and returns its name.
func sidecar(t *testing.T, options []string, boot ...string) string {
	t.Helper()
	shim := engine(t)
	args := append([]string{"run", "-d", "--init", "--network", "none", "-v", shim + ":" + bin + ":ro"}, caps...)
	args = append(append(args, options...), image, bin, "boot", "--stay")
	out, code := docker(t, append(args, boot...)...)
	id := strings.TrimSpace(out)
	if code != 0 {
		t.Fatal(out)
	}
	t.Cleanup(func() { docker(t, "rm", "-f", "-v", id) })
	return id
}

// inside is docker exec as the user, as the proxy does it.
func inside(t *testing.T, id string, args ...string) (string, int) {
	t.Helper()
	return docker(t, append([]string{"exec", "-u", "4711:4711", "-e", "HOME=/home/coder", "-e", "AIFO_EXEC_ID=me", id, bin}, args...)...)
}

// TestCaches has two sidecars of one user and one of another share a volume.
func TestCaches(t *testing.T) {
	engine(t)
	volume := fmt.Sprintf("aifo-test-boot-%d", os.Getpid())
	t.Cleanup(func() { docker(t, "volume", "rm", "-f", volume) })
	mount := []string{"-v", volume + ":/var/cache/aifo/pip"}
	boot := []string{"--cache", "pip:/home/coder/.cache/pip", "--cache", "none:/home/coder/.none", "--user"}
	var ids [3]string
	var wg sync.WaitGroup
	for i, user := range []string{"4711:4711", "4711:4711", "4712:4712"} {
		wg.Go(func() { ids[i] = sidecar(t, mount, append(boot, user)...) })
	}
	wg.Wait()
	const look = `echo hi >> ~/.cache/pip/f; readlink ~/.cache/pip; stat -c '%n %u %a' /var/cache/aifo/pip /var/cache/aifo/pip/4711 ~/.none; wc -l < ~/.cache/pip/f`
	for i, id := range ids[:2] {
		out, code := inside(t, id, "run", "--", "sh", "-c", look)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, out)
		}
		want(t, out, "/var/cache/aifo/pip/4711", "/var/cache/aifo/pip 0 755", "/var/cache/aifo/pip/4711 4711 755", "/home/coder/.none 4711 755", fmt.Sprint(i+1))
	}
	out, code := docker(t, "exec", "-u", "4712:4712", ids[2], bin, "run", "--", "sh", "-c", "touch /var/cache/aifo/pip/4711/evil || touch /var/cache/aifo/pip/evil")
	if code == 0 {
		t.Errorf("one user writes in another's cache: %s", out)
	}
}

func TestStay(t *testing.T) {
	id := sidecar(t, nil, "--user", "4711:4711")
	if out, code := inside(t, id, "run", "--cwd", "/usr", "--", "sh", "-c", `pwd; echo "$0 $*" "$PATH"; id -un; exit 42`, "a", "b c"); code != 42 || !strings.HasPrefix(out, "/usr\na b c /usr") || !strings.HasSuffix(out, ":/go/bin\ncoder\n") {
		t.Errorf("run: exit %d: %s", code, out)
	}
	for _, tt := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"ready"}, 0, ""},
		{[]string{"ready", "--wait"}, 0, ""},
		{[]string{"ready", "--what"}, 2, "aifo-shim: flag provided but not defined: -what\nusage: aifo-shim ready [--wait]\n"},
		{[]string{"which", "sh", "no-such-tool", "cat"}, 0, "sh\ncat\n"},
		{[]string{"run", "--kind", "rust", "--cwd", "/workspace/x", "--", "sh"}, 126, "aifo-shim: cannot enter /workspace/x in the rust sidecar: no such file or directory\n"},
		{[]string{"run", "--kind", "rust", "--", "cargo"}, 127, "aifo-shim: cargo: not found in the rust sidecar\n"},
		{[]string{"run", "--", "/etc/passwd"}, 126, "aifo-shim: /etc/passwd: cannot be executed in the sidecar: permission denied\n"},
		{[]string{"run"}, 2, "usage: aifo-shim run [--cwd DIR] [--kind KIND] [--hex] -- TOOL [ARGS...]\n"},
		{[]string{"signal", "--id", "none", "--signal", "TERM"}, 3, ""},
		{[]string{"signal", "--id", "a b", "--signal", "TERM"}, 2, "usage: aifo-shim signal --id ID --signal HUP|INT|QUIT|KILL|TERM\n"},
		{[]string{"end", "--id", "none"}, 3, ""},
	} {
		if out, code := inside(t, id, tt.args...); code != tt.code || out != tt.out {
			t.Errorf("%v: exit %d: %q", tt.args, code, out)
		}
	}
	start := time.Now()
	if out, code := docker(t, "stop", id); code != 0 || time.Since(start) > 8*time.Second {
		t.Errorf("stop: exit %d after %v: %s", code, time.Since(start), out)
	}
	if out, _ := docker(t, "inspect", "-f", "{{.State.ExitCode}}", id); out != "0\n" {
		t.Errorf("exit code %s", out)
	}
	// A second start must not find the marker of the first.
	if out, code := docker(t, "start", id); code != 0 {
		t.Fatal(out)
	}
	if out, code := inside(t, id, "ready", "--wait"); code != 0 {
		t.Errorf("no second boot: exit %d: %s", code, out)
	}
	if out, code := inside(t, id, "run", "--", "grep", "-c", "4711", "/etc/passwd"); code != 0 || out != "1\n" {
		t.Errorf("after a restart: exit %d: %s", code, out)
	}
}

// TestNotReady: a container that was not booted by boot never is.
func TestNotReady(t *testing.T) {
	shim := engine(t)
	out, code := docker(t, "run", "--rm", "-v", shim+":"+bin+":ro", image, bin, "ready")
	if code != 1 || out != "" {
		t.Errorf("exit %d: %s", code, out)
	}
}

// tool starts a script as a call with the id, and returns after its "ready".
func tool(t *testing.T, id, execID, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("docker", "exec", "-u", "4711:4711", "-e", "AIFO_EXEC_ID="+execID, id, bin, "run", "--", "bash", "-c", script)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 6)
	if _, err := out.Read(buf); err != nil || string(buf) != "ready\n" {
		t.Fatalf("%q, %v", buf, err)
	}
	return cmd
}

func TestSignal(t *testing.T) {
	id := sidecar(t, nil, "--user", "4711:4711")
	for name, code := range map[string]int{"INT": 5, "TERM": 6, "HUP": 7, "QUIT": 131, "KILL": 137} {
		cmd := tool(t, id, "x-"+name, `trap 'exit 5' INT; trap 'exit 6' TERM; trap 'exit 7' HUP; trap 'exit 131' QUIT; echo ready; while :; do read -rt 1 <> <(:); done`)
		other := tool(t, id, "y-"+name, `echo ready; exec tail -f /dev/null`)
		if out, c := inside(t, id, "signal", "--id", "x-"+name, "--signal", name); c != 0 {
			t.Fatalf("%s: exit %d: %s", name, c, out)
		}
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != code {
			t.Errorf("%s: the tool ended with %d, want %d", name, cmd.ProcessState.ExitCode(), code)
		}
		if out, c := inside(t, id, "signal", "--id", "y-"+name, "--signal", "KILL"); c != 0 {
			t.Errorf("%s: the other call is gone: %d: %s", name, c, out)
		}
		_ = other.Wait()
	}
}

func TestEnd(t *testing.T) {
	id := sidecar(t, nil, "--user", "4711:4711")
	for name, script := range map[string]string{
		"polite":     `echo ready; exec tail -f /dev/null`,
		"deaf":       `trap '' INT TERM; echo ready; tail -f /dev/null`,
		"straggler":  `setsid sh -c "trap '' INT TERM HUP; tail -f /dev/null" & echo ready; wait`,
		"no marker":  `env -u AIFO_EXEC_ID bash -c 'trap "" INT TERM; echo ready; exec tail -f /dev/null' & trap 'exit 1' INT; wait`,
		"grandchild": `(tail -f /dev/null & tail -f /dev/null & wait) & echo ready; wait`,
	} {
		cmd := tool(t, id, "e", script)
		if out, c := inside(t, id, "end", "--id", "e", "--grace", "200ms"); c != 0 {
			t.Errorf("%s: exit %d: %s", name, c, out)
		}
		_ = cmd.Wait()
		if out, c := inside(t, id, "run", "--", "sh", "-c", `for p in /proc/[0-9]*; do tr '\0' ' ' < $p/cmdline; echo; done | grep '^tail'`); c == 0 {
			t.Errorf("%s: left are\n%s", name, out)
		}
	}
	// One that is stopped gets to tidy up, too.
	cmd := tool(t, id, "e", `trap '' INT; trap 'touch /tmp/tidy; exit' TERM; echo ready; kill -STOP $$; while :; do read -rt 1 <> <(:); done`)
	if out, c := inside(t, id, "end", "--id", "e", "--grace", "3s"); c != 0 {
		t.Errorf("stopped: exit %d: %s", c, out)
	}
	_ = cmd.Wait()
	if out, c := inside(t, id, "run", "--", "ls", "/tmp/tidy"); c != 0 {
		t.Errorf("a stopped tool did not see TERM: %s", out)
	}
	// The caller itself has the id "me", and must survive asking for it.
	if out, c := inside(t, id, "end", "--id", "me"); c != 3 {
		t.Errorf("end of oneself: exit %d: %s", c, out)
	}
}

// TestSandbox: whether a sandbox can be made is the engine's to say, and the
// program gets its arguments where not.
func TestSandbox(t *testing.T) {
	for _, user := range []string{"4711:4712", "0:0"} {
		for name, tc := range map[string]struct {
			options []string
			want    string
		}{
			"usual":      {nil, "off exec"},
			"toolchains": {[]string{"--env", "AIFO_TOOLEEXEC_URL=x"}, "off exec"},
			"allowed":    {[]string{"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"}, "exec"},
		} {
			out, code := bootRun(t, tc.options, "--user", user, "--without-sandbox=off", "--", "/bin/echo", "exec")
			if code != 0 {
				t.Errorf("%s, %s: exit %d", name, user, code)
			}
			want(t, out, tc.want)
		}
	}
}
