// Package hostfacts takes one snapshot of the host before anything is decided:
// who calls, from where, with which environment and terminals, and what the
// engine says. Decisions are made from the snapshot alone, which is what makes
// a dry run the same as a run. Reading the snapshot changes nothing.
package hostfacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/apparmor"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Facts is the snapshot.
type Facts struct {
	GOOS     string
	UID, GID int
	Home     string

	Cwd       string   // canonical
	Workspace string   // canonical directory that becomes /workspace
	HasForks  bool     // fork mode keeps clones in ForksDir of the workspace
	GitLink   *GitLink // nil: the workspace has its git directory itself, or none
	Env       Env

	RuntimeDir string // private, for locks and sockets; may not exist
	CacheDir   string // for the shims; may not exist
	StateDir   string // for the agents' state; may not exist
	ShimDir    string // the shims for the engine's architecture; may not exist
	// NetworkLogDir is where sessions keep what their containers asked to reach; may not exist.
	NetworkLogDir string
	// TraceDir is where sessions keep what is known of their tool calls; may not exist.
	TraceDir string

	ConfigHome string // where programs of the user have their configuration
	ConfigDir  string // where the user has files for agents; may not exist
	// Files are the files that were asked about and can be mounted, by the names that
	// were given, with their canonical names.
	Files map[string]string

	StdinTTY, StdoutTTY bool

	CABundle CABundle // certificate authorities for containers

	AppArmor apparmor.Host // with Engine, what the engine says

	// Warnings are what the user should know about the host, a line each.
	Warnings []string

	Git   GitIdentity
	Owner Owner

	// Program is the command line of the engine; empty: docker's.
	Program string
	// Engine is nil when no engine was asked or none answered.
	Engine *docker.Info
	// Endpoint is where it was reached.
	Endpoint docker.Endpoint
	// OtherKernel says that a container has shown the engine to mount this host's files on
	// another kernel than this host's.
	OtherKernel bool
	// Images tells which of the images that were asked about are present.
	Images map[string]bool
}

// ForksDir is the directory in a repository where fork mode keeps its clones.
const ForksDir = ".aifo-coder"

// Env is an environment.
type Env map[string]string

// Get returns the value of name, or "" when it is unset.
func (e Env) Get(name string) string { return e[name] }

// absolute returns the value of name when it is an absolute path, else "": the
// base directory specification has relative ones ignored.
func (e Env) absolute(name string) string {
	if dir := e[name]; filepath.IsAbs(dir) {
		return dir
	}
	return ""
}

// EnvOf turns "NAME=value" words into an Env.
func EnvOf(environ []string) Env {
	env := Env{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && name != "" {
			env[name] = value
		}
	}
	return env
}

// GitIdentity is the user's name and address for commits; parts may be empty.
type GitIdentity struct{ Name, Email string }

// Owner identifies the process that a session belongs to, so that a later one
// can tell whether it is still alive.
type Owner struct {
	Host  string
	PID   int
	Start string // changes with every boot and every reuse of the pid
}

// Present reports whether the image ref is known to be present.
func (f Facts) Present(ref string) bool { return f.Images[ref] }

// Interactive reports whether the caller sits at a terminal.
func (f Facts) Interactive() bool { return f.StdinTTY && f.StdoutTTY }

// WorkspaceError says that a directory cannot become the workspace.
type WorkspaceError struct {
	Path   string // empty: there is none, and Reason says all
	Reason string
}

func (e *WorkspaceError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return fmt.Sprintf("the directory %q cannot be the workspace: %s", e.Path, e.Reason)
}

// EnvError says that an environment variable has a value that cannot be used.
type EnvError struct {
	Name string
	Err  error
}

func (e *EnvError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *EnvError) Unwrap() error { return e.Err }

// Host reads everything but the engine. workspace is what the user asked for,
// or "" for the repository around the working directory. It returns a
// *WorkspaceError for a directory that cannot be mounted.
func Host(ctx context.Context, workspace string) (Facts, error) {
	f, err := Place(workspace)
	if err != nil {
		return Facts{}, err
	}
	// Git's programs take as long as reading the authorities does.
	var identified sync.WaitGroup
	identified.Go(func() { f.Git = gitIdentity(ctx, f.Env) })
	err = f.readCABundle(SystemCAPlaces)
	identified.Wait()
	return f, err
}

// Place reads what User does, and where the caller is: the workspace as Host decides
// on it, which is all that reading a repository's configuration needs.
func Place(workspace string) (Facts, error) {
	f, err := User()
	if err == nil {
		err = f.readWorkspace(workspace)
	}
	if err != nil {
		return Facts{}, err
	}
	return f, nil
}

// User reads what does not depend on a workspace: who calls, with which environment,
// directories and terminals.
func User() (Facts, error) {
	f := Facts{
		GOOS: runtime.GOOS, UID: os.Getuid(), GID: os.Getgid(),
		Env:       EnvOf(os.Environ()),
		StdinTTY:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutTTY: term.IsTerminal(int(os.Stdout.Fd())),
		Owner:     Self(),
	}
	if f.UID < 0 { // Windows: containers run as the image's usual first user
		f.UID, f.GID = 1000, 1000
	}
	return f, f.readDirs()
}

func (f *Facts) readDirs() error {
	home, err := os.UserHomeDir()
	if err != nil {
		return fmt.Errorf("find the home directory: %w", err)
	}
	if !filepath.IsAbs(home) {
		return &EnvError{Name: "HOME", Err: fmt.Errorf("%q is not an absolute path", home)}
	}
	f.Home = home
	f.CacheDir = filepath.Join(cmp.Or(f.Env.absolute("XDG_CACHE_HOME"), filepath.Join(home, ".cache")), "aifo-coder")
	f.StateDir = filepath.Join(cmp.Or(f.Env.absolute("XDG_STATE_HOME"), filepath.Join(home, ".local", "state")), "aifo-coder")
	f.NetworkLogDir = filepath.Join(f.StateDir, "network")
	f.TraceDir = filepath.Join(f.StateDir, "trace")
	f.RuntimeDir = RuntimeDir(f.Env, f.UID)
	f.ConfigHome = cmp.Or(f.Env.absolute("XDG_CONFIG_HOME"), filepath.Join(home, ".config"))
	f.ConfigDir, err = configDir(f.Env, f.ConfigHome)
	return err
}

// RuntimeDir returns the private directory of uid for locks and sockets.
func RuntimeDir(env Env, uid int) string {
	if dir := env.absolute("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "aifo-coder")
	}
	tmp := os.TempDir()
	if !filepath.IsAbs(tmp) {
		tmp = "/tmp" // a relative one would be another directory in each working directory
	}
	return filepath.Join(tmp, fmt.Sprintf("aifo-coder-%d", uid))
}

// Cwd returns the working directory, in canonical form. It returns a *WorkspaceError for one
// that was removed since the caller's shell entered it.
func Cwd() (string, error) {
	cwd, err := os.Getwd()
	if err == nil {
		cwd, err = filepath.EvalSymlinks(cwd)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &WorkspaceError{Reason: "the working directory is gone; cd to one that exists, or give the whole path of the workspace with --workspace"}
	case err != nil:
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	return cwd, nil
}

func (f *Facts) readWorkspace(asked string) (err error) {
	f.Cwd, err = Cwd()
	if err != nil && !filepath.IsAbs(asked) {
		return err
	}
	home, _ := filepath.EvalSymlinks(f.Home) // a home that is not there is nobody's workspace
	dir := asked
	if dir == "" {
		dir = repositoryRoot(f.Cwd, home)
	}
	f.Workspace, err = checkWorkspace(dir)
	f.HasForks = isDir(filepath.Join(f.Workspace, ForksDir)) && isDir(filepath.Join(f.Workspace, ForksDir, "forks"))
	switch {
	case err != nil:
		return err
	case f.Workspace != home:
		f.readGitLink()
		return f.checkOwn()
	case !f.namesHome(asked, home):
		return &WorkspaceError{Path: f.Home, Reason: "it is your home directory, with your keys and start-up files; name it with --workspace, by its own path and not by a link, if you mean it"}
	}
	return nil // who names the home directory gives the agent all that is in it
}

// namesHome reports whether the user has named the home directory itself, and not a link to it, which may be
// the work of an agent.
func (f *Facts) namesHome(asked, home string) bool {
	abs, err := filepath.Abs(asked)
	return asked != "" && err == nil && (abs == filepath.Clean(f.Home) || abs == home)
}

// isDir reports whether path is a directory itself, and no link to one.
func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// repositoryRoot returns the nearest directory at or above dir that holds
// .git, or dir when there is none. The home directory counts as one for itself
// only: who keeps it in git does not mean all of it when in a project below. No
// git runs: its configuration may be the work of an agent.
func repositoryRoot(dir, home string) string {
	for d := dir; d != home; d = filepath.Dir(d) {
		if _, err := os.Lstat(filepath.Join(d, ".git")); err == nil {
			return d
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	return dir
}

// checkWorkspace returns the canonical form of a directory that can be mounted.
func checkWorkspace(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", &WorkspaceError{Path: dir, Reason: err.Error()}
	}
	path, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", &WorkspaceError{Path: dir, Reason: reason(err)}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", &WorkspaceError{Path: dir, Reason: reason(err)}
	case !info.IsDir():
		return "", &WorkspaceError{Path: dir, Reason: "it is not a directory"}
	case path == filepath.Dir(path):
		return "", &WorkspaceError{Path: dir, Reason: "it is the root of the file system; name a project directory"}
	case !utf8.ValidString(path):
		return "", &WorkspaceError{Path: dir, Reason: "its path is not UTF-8, which the engine's interface cannot carry; rename it"}
	case strings.ContainsFunc(path, unicode.IsControl):
		return "", &WorkspaceError{Path: dir, Reason: "its path holds a control character, which docker does not take in a mount; rename it"}
	}
	return path, nil
}

func reason(err error) string {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// gitIdentity reads the user's own configuration, never a repository's: it
// runs outside any repository and with no environment that could point at one.
func gitIdentity(ctx context.Context, env Env) GitIdentity {
	get := func(envName, key string) string {
		if v := env.Get(envName); v != "" {
			return v
		}
		out, err := proc.Output(ctx, proc.Cmd{
			Argv: []string{"git", "config", "--global", "--includes", "--get", key},
			Dir:  string(filepath.Separator), Env: []string{"HOME=" + env.Get("HOME"), "XDG_CONFIG_HOME=" + env.Get("XDG_CONFIG_HOME"), "PATH=" + env.Get("PATH")},
			Detached: true,
		})
		if err != nil {
			return "" // no git, or no identity: the container's git will ask for one
		}
		return strings.TrimSuffix(string(out), "\n")
	}
	return GitIdentity{Name: get("GIT_AUTHOR_NAME", "user.name"), Email: get("GIT_AUTHOR_EMAIL", "user.email")}
}

// ReadEngine adds what the engine says: its properties, and which of the images
// are present. It returns a *proc.NotFoundError or a *docker.EngineError when
// there is no engine to ask, and a *RenamedEngineError when it is of another kind than its
// command line.
func (f *Facts) ReadEngine(ctx context.Context, c docker.Client, images []string) error {
	var (
		asked          sync.WaitGroup
		present        map[string]bool
		failed, unsure error
	)
	f.Program = c.Name()
	asked.Go(func() { present, failed = c.ImagesPresent(ctx, images) })
	asked.Go(func() { f.Endpoint, unsure = c.Endpoint(ctx) })
	info, err := c.Info(ctx)
	asked.Wait()
	switch {
	case err != nil:
		return err // the reason of any other, too
	case info.Engine != c.Name():
		return &RenamedEngineError{Engine: info.Engine}
	case unsure != nil:
		return unsure
	}
	f.Engine, f.Images = &info, present
	f.AppArmor = apparmor.Host{Engine: info.AppArmor(), Loaded: appArmorLoaded(loadedProfiles, apparmor.File)}
	return failed
}

// RenamedEngineError says that what answers to the name of one engine's command line is
// another: distributions have a docker command that calls podman.
type RenamedEngineError struct{ Engine string }

func (e *RenamedEngineError) Error() string {
	return "the docker command on PATH is " + e.Engine + " under another name"
}

// Hint says how to name it.
func (e *RenamedEngineError) Hint() string { return "choose it by its own: --engine " + e.Engine }
