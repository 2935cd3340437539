package cli_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/aifo-coder/aifo-coder/internal/cli"
	"github.com/aifo-coder/aifo-coder/shims"
)

// TestMain also is the programs that the scripts run: ours, and a fake docker.
func TestMain(m *testing.M) {
	if strings.HasSuffix(os.Args[0], ".test") {
		// Where HUP is ignored, as under nohup, the programs would ignore it too;
		// a caught signal they get back with its usual meaning.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	testscript.Main(m, map[string]func(){
		"aifo-coder": func() { os.Exit(cli.Main(os.Args[1:], cli.System())) },
		"docker":     fakeDockerMain,
		"podman":     fakeDockerMain,
		"dockerlog":  dockerlogMain,
	})
}

// TestScripts runs testdata/script, each script one story. Each has a home, a
// runtime directory and a fake engine of its own, and begins in $WORK/src.
func TestScripts(t *testing.T) {
	p := params(t)
	p.Dir = "testdata/script"
	testscript.Run(t, p)
}

// TestToolchainCPP is the part of TestScripts that make test-toolchain-cpp runs.
func TestToolchainCPP(t *testing.T) {
	p := params(t)
	p.Files = []string{"testdata/script/c-cpp.txtar"}
	testscript.Run(t, p)
}

func params(t *testing.T) testscript.Params {
	t.Helper()
	if _, err := shims.Path("/", "amd64", nil); err != nil {
		t.Fatalf("%v\nrun: make build", err)
	}
	return testscript.Params{
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup:               func(e *testscript.Env) error { return setup(t, e) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode":  cmdExitCode,
			"normalise": cmdNormalise,
			"snapshot":  cmdSnapshot,
			"nothing":   cmdNothing,
			"mkdirs":    cmdMkdirs,
			"listen":    cmdListen,
		},
	}
}

func setup(t *testing.T, e *testscript.Env) error {
	docker := filepath.Join(e.WorkDir, "docker")
	for name, value := range environment(e.WorkDir, docker) {
		e.Setenv(name, value)
	}
	if err := makeDirs(e.WorkDir, docker); err != nil {
		return err
	}
	e.Cd = filepath.Join(e.WorkDir, "src")
	e.Defer(func() {
		if data, err := os.ReadFile(filepath.Join(docker, "unexpected")); err == nil {
			t.Errorf("%s: %s", filepath.Base(e.WorkDir), data)
		}
	})
	// $NODOCKER is a PATH with our program and nothing else.
	e.Setenv("NODOCKER", filepath.Join(e.WorkDir, "nodocker"))
	if err := link("aifo-coder", filepath.Join(e.WorkDir, "nodocker")); err != nil {
		return err
	}
	// $ONLYPODMAN has podman besides.
	e.Setenv("ONLYPODMAN", filepath.Join(e.WorkDir, "onlypodman"))
	return errors.Join(link("aifo-coder", filepath.Join(e.WorkDir, "onlypodman")), link("podman", filepath.Join(e.WorkDir, "onlypodman")))
}

// link puts a program of PATH into a directory.
func link(name, dir string) error {
	program, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	return os.Symlink(program, filepath.Join(dir, name))
}

// environment returns the variables that keep a test in its directory.
func environment(work, docker string) map[string]string {
	return map[string]string{
		"HOME": filepath.Join(work, "home"), "XDG_RUNTIME_DIR": filepath.Join(work, "run"),
		"XDG_CACHE_HOME": filepath.Join(work, "cache"), "XDG_STATE_HOME": filepath.Join(work, "state"),
		"FAKE_DOCKER_DIR":    docker,
		"FAKE_DOCKER_IMAGES": "aifo-coder-aider:latest aifo-coder-shell:latest aifo-coder-toolchain-rust:latest aifo-coder-toolchain-node:latest",
		// The race detector's pause at the end of each program is for threads
		// that still run; there are many programs here.
		"GORACE": "atexit_sleep_ms=0",
		// What the host trusts is not the tests' concern; those of package hostfacts have it.
		"AIFO_CODER_CA_BUNDLE": "off",
		"GIT_AUTHOR_NAME":      "Ann Example", "GIT_AUTHOR_EMAIL": "ann@example.org",
	}
}

func makeDirs(work, docker string) error {
	for _, dir := range []string{
		filepath.Join(work, "home"), filepath.Join(work, "run"), filepath.Join(work, "src", ".git"), filepath.Join(work, "nodocker"), filepath.Join(work, "onlypodman"),
		docker, filepath.Join(docker, "volumes"), filepath.Join(docker, "networks"), filepath.Join(docker, "containers"),
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// cmdExitCode runs a program and wants the exit code: exitcode N PROGRAM ARG...
func cmdExitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code is %d, want %d", got, want)
	}
}

// cmdMkdirs makes directories, whose names may begin with a dash.
func cmdMkdirs(ts *testscript.TestScript, _ bool, args []string) {
	for _, dir := range args {
		ts.Check(os.MkdirAll(ts.MkAbs(dir), 0o755))
	}
}

// cmdListen listens on a port of this machine until the script ends, and puts its number into
// the variable: listen NAME.
func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listen NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// volatile are the parts of a vector that differ from run to run, from user to
// user and from build to build.
var volatile = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`owner-pid=\d+`), "owner-pid=PID"},
	{regexp.MustCompile(`owner-start=[0-9a-f.-]+`), "owner-start=START"},
	{regexp.MustCompile(`owner-host=\S+`), "owner-host=HOST"},
	{regexp.MustCompile(`boot --user \d+:\d+`), "boot --user UID:GID"},
	{regexp.MustCompile(`exec( --interactive)? --user \d+:\d+`), "exec$1 --user UID:GID"},
	{regexp.MustCompile(`(/var/cache/aifo/[a-z-]+)/\d+`), "$1/UID"},
	{regexp.MustCompile(` --cap-add (DAC_OVERRIDE|FOWNER|FSETID)`), ""}, // root's
	{regexp.MustCompile(`shims/[0-9a-f]{16}`), "shims/HASH"},
	{regexp.MustCompile(`((?:aifo-net|aifo-tc-[a-z-]+|aifo-coder-(?:aider|shell))-|session=|aifo-coder/aifo-|` + `AIFO_EXEC_ID=)[0-9a-z]{8}\b`), "${1}SESSION"},
}

// cmdNormalise rewrites the file, or stdout, with the volatile parts replaced,
// to another file: normalise FROM TO.
func cmdNormalise(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: normalise FROM TO")
	}
	work, err := filepath.EvalSymlinks(ts.Getenv("WORK"))
	ts.Check(err)
	text := strings.ReplaceAll(ts.ReadFile(args[0]), work, "/WORK")
	for _, v := range volatile {
		text = v.re.ReplaceAllString(text, v.with)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// cmdSnapshot writes what is below $WORK, but for the fake's directory, to a
// file in that directory: names, modes, times and contents.
func cmdSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: snapshot NAME")
	}
	work := ts.Getenv("WORK")
	var b strings.Builder
	ts.Check(filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == filepath.Join(work, "docker") {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var sum [sha256.Size]byte
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = sha256.Sum256(data)
		}
		fmt.Fprintf(&b, "%s %s %d %x\n", path, info.Mode(), info.ModTime().UnixNano(), sum)
		return nil
	}))
	ts.Check(os.WriteFile(filepath.Join(work, "docker", args[0]), []byte(b.String()), 0o600))
}

// cmdNothing is "nothing done", which wants that docker was only asked
// questions and no file was made, or "nothing left", which wants that whatever
// was created is gone. The user's own networks and all volumes may stay.
func cmdNothing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] != "done" && args[0] != "left" {
		ts.Fatalf("usage: nothing done|left")
	}
	work := ts.Getenv("WORK")
	dirs := []string{"docker/containers", "run/aifo-coder"}
	if args[0] == "done" {
		dirs = append(dirs, "cache", "state", "run", "home", "docker/images")
		ts.Check(ts.Exec("dockerlog", "changes"))
		if out := ts.ReadFile("stdout"); out != "" {
			ts.Fatalf("docker was told to change something:\n%s", out)
		}
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(filepath.Join(work, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ts.Fatalf("%v", err)
		}
		for _, e := range entries {
			ts.Fatalf("left: %s/%s", dir, e.Name())
		}
	}
	nets, err := filepath.Glob(filepath.Join(work, "docker/networks/aifo-net-*"))
	ts.Check(err)
	if len(nets) > 0 {
		ts.Fatalf("left: %v", nets)
	}
}
