package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/docker/go-units"

	"github.com/aifo-coder/aifo-coder/internal/apparmor"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// DiskFacts are the room in one place.
type DiskFacts struct {
	Name    string // what is there
	Path    string // of the place, or of the first above it that is there
	Free    uint64 // bytes
	Inodes  uint64 // that are free
	Counted bool   // the file system has a number of inodes
	Err     error
	Wanted  uint64 // bytes below which work may fail soon
}

const (
	mebi = 1 << 20
	gibi = 1 << 30
	// full is so little that the next file may not fit.
	full = 4 * mebi
	// fewInodes is the same for the number of files.
	fewInodes = 64
)

// diskResult decides about the room in a place.
func diskResult(f DiskFacts) Result {
	name := "disk: " + f.Name
	room := []string{"make room there: df -h " + f.Path}
	if f.Name == diskEngine {
		room = []string{"make room: docker system df shows what takes it", "docker image prune, docker builder prune and aifo-coder toolchain-cache-clear remove what can be had again"}
	}
	switch {
	case f.Err != nil:
		return result(name, Skip, f.Path+" cannot be measured: "+f.Err.Error())
	case f.Free < full:
		return result(name, Fail, fmt.Sprintf("%s is full: %s are free", f.Path, size(f.Free)), room...)
	case f.Counted && f.Inodes < fewInodes:
		return result(name, Fail, fmt.Sprintf("%s has no room for more files: %d inodes are free", f.Path, f.Inodes), "remove files that are not needed: df -i "+f.Path)
	case f.Free < f.Wanted:
		return result(name, Warn, fmt.Sprintf("%s has %s left", f.Path, size(f.Free)), room...)
	}
	return result(name, Pass, fmt.Sprintf("%s has %s left", f.Path, size(f.Free)))
}

// size is a number of bytes for people.
func size[T int64 | uint64](n T) string { return units.BytesSize(float64(n)) }

// memoryResult decides about the memory that containers share, and what of it is free; 0: unknown.
func memoryResult(total, available int64, limits, asked bool) Result {
	const name = "memory"
	const little, least = 2 * gibi, 512 * mebi
	switch {
	case asked && !limits:
		return result(name, Fail, "--memory is given, and this engine cannot limit memory", "leave --memory out")
	case total == 0:
		return result(name, Skip, "the engine does not say how much there is")
	case available > 0 && available < least:
		return result(name, Warn, fmt.Sprintf("%s of %s are free", size(available), size(total)), "end what takes it, or compilers may be killed")
	case total < little:
		return result(name, Warn, size(total)+" in all, which is little for compilers", "give the machine more")
	case available > 0:
		return result(name, Pass, fmt.Sprintf("%s of %s are free", size(available), size(total)))
	}
	return result(name, Pass, size(total))
}

// appArmorResult decides about the profile of containers, given what the variable asks for.
func appArmorResult(asked string, h apparmor.Host) Result {
	const name = "AppArmor"
	choice, err := apparmor.Choose(asked, h)
	switch {
	case err != nil:
		return result(name, Fail, err.Error(), apparmor.Variable+"=none does without one")
	case !h.Engine:
		return result(name, Pass, "this engine has none; containers do without")
	case choice.Agent != "":
		return result(name, Pass, "containers have the profiles "+choice.Agent+" and "+choice.Sidecar)
	case choice.Notice == "":
		return result(name, Pass, "containers have the engine's own profile, as "+apparmor.Variable+" says")
	}
	return result(name, Warn, "containers have the engine's own profile, since those of aifo-coder are not loaded", "load them: aifo-coder apparmor --help")
}

func seccompResult(i docker.Info) Result {
	if i.Seccomp() {
		return result("seccomp", Pass, "the engine filters the system calls of containers")
	}
	return result("seccomp", Warn, "the engine lets containers make every system call", "take seccomp=unconfined out of its configuration: docker info shows it")
}

// userResult decides about whose the files are that tools write.
func userResult(uid, gid int, i docker.Info) Result {
	const name = "user"
	switch {
	case i.Rootless():
		return result(name, Pass, "root in containers is you on this machine (rootless)")
	case i.UserNamespaces():
		return result(name, Fail, "the engine gives containers other ids (userns-remap), so tools cannot write to your workspace",
			"take userns-remap out of /etc/docker/daemon.json, then: sudo systemctl restart docker")
	case uid == 0:
		return result(name, Warn, "you are root, and so are the tools in containers", "work as an ordinary user, who may use the engine")
	}
	return result(name, Pass, fmt.Sprintf("tools in containers run as you, %d:%d", uid, gid))
}

// WorkspaceFacts are what was found out about the workspace.
type WorkspaceFacts struct {
	Path       string
	Err        error // why it cannot be one
	Repository bool
	Linked     bool   // a linked worktree, or a submodule
	Common     string // the git directory of a linked one that containers get; empty: none
	Warnings   []string
	Denied     bool // this user cannot write there
}

func workspaceResult(f WorkspaceFacts) Result {
	const name = "workspace"
	switch {
	case f.Err != nil:
		return result(name, Fail, f.Err.Error(), "go to a project, or name one: --workspace DIR")
	case f.Denied:
		return result(name, Fail, f.Path+" cannot be written by you", "make it yours, or work elsewhere: --workspace DIR")
	case len(f.Warnings) > 0:
		return result(name, Warn, strings.Join(f.Warnings, "; "), "work in the repository itself, or: git worktree repair")
	case f.Linked && f.Common != "":
		return result(name, Pass, f.Path+", whose git directory is "+f.Common)
	case !f.Repository:
		return result(name, Warn, f.Path+" is in no git repository: what an agent does there cannot be taken back", "make it one: git init")
	}
	return result(name, Pass, f.Path+", a git repository")
}

// gitResult decides about git on this machine. version is what it prints, err why it does not.
func gitResult(version string, newEnough bool, err error) Result {
	const name = "git"
	switch {
	case err != nil:
		return result(name, Warn, "it is not usable, so there is no fork mode: "+err.Error(), "install it (on Debian: apt-get install git)")
	case !newEnough:
		return result(name, Warn, version+" is too old for fork mode, which needs 2.38", "install a newer git: https://git-scm.com/downloads")
	}
	return result(name, Pass, version)
}

func identityResult(id hostfacts.GitIdentity) Result {
	var lacks []string
	if id.Name == "" {
		lacks = append(lacks, `git config --global user.name "YOUR NAME"`)
	}
	if id.Email == "" {
		lacks = append(lacks, "git config --global user.email YOU@EXAMPLE.ORG")
	}
	if len(lacks) > 0 {
		return result("git identity", Warn, "agents cannot commit: you have told git no name or no address", lacks...)
	}
	return result("git identity", Pass, id.Name+" <"+id.Email+">")
}

func tmuxResult(version string, err error) Result {
	if err != nil {
		return result("tmux", Warn, "it is not installed; --fork-runner plain runs the agents of fork mode without it", "install it (on Debian: apt-get install tmux)")
	}
	return result("tmux", Pass, version)
}

// caResult decides about the certificate authorities for containers; unused says which of them
// could not be read.
func caResult(b hostfacts.CABundle, err error, unused []string) Result {
	const name = "certificates"
	const named = "name a file of certificates: AIFO_CODER_CA_BUNDLE=FILE, or off"
	switch {
	case err != nil:
		return result(name, Fail, err.Error(), named)
	case len(unused) > 0:
		return result(name, Warn, strings.Join(unused, "; "), named)
	case b.All.Path == "":
		return result(name, Pass, "containers trust the authorities of their images")
	}
	return result(name, Pass, "containers trust what this machine does, by "+b.All.Path)
}

// DirFacts are what was found out about a directory of ours.
type DirFacts struct {
	Name    string
	Path    string
	Missing bool
	Private bool // nobody else may enter it
	NotDir  bool
	Foreign bool        // it belongs to another user
	Mode    fs.FileMode // its permissions
	Err     error
}

// dirResult decides about a directory of ours, and offers what mends it.
func dirResult(f DirFacts) Result {
	name := "directory: " + f.Name
	open := f.Mode.Perm()&0o022 != 0 || f.Private && f.Mode.Perm()&0o077 != 0
	switch {
	case f.Err != nil:
		return result(name, Fail, f.Path+" cannot be used: "+f.Err.Error(), "make it yours: ls -ld "+f.Path)
	case f.Missing:
		r := result(name, Pass, f.Path+" is not there yet; the first session makes it")
		r.Fix = func(context.Context) (string, error) { return "made " + f.Path, os.MkdirAll(f.Path, 0o700) }
		return r
	case f.NotDir:
		return result(name, Fail, f.Path+" is no directory", "move it away")
	case f.Foreign:
		return result(name, Fail, f.Path+" belongs to another user", "give it to you: sudo chown -R $USER "+f.Path)
	case open:
		r := result(name, Fail, fmt.Sprintf("%s is open to others (mode %04o)", f.Path, f.Mode.Perm()), "close it: chmod go-rwx "+f.Path+", or: aifo-coder doctor --fix")
		r.Fix = func(context.Context) (string, error) {
			return "closed " + f.Path + " to others", os.Chmod(f.Path, f.Mode.Perm()&0o700)
		}
		return r
	}
	return result(name, Pass, f.Path)
}

// Leftovers are what sessions that were killed have left.
type Leftovers struct {
	Containers, Networks int
	Files                []string // locks, directories of sockets, empty logs
}

// leftoverResult decides about them. remove removes them.
func leftoverResult(l Leftovers, err error, remove func(context.Context) error) Result {
	const name = "killed sessions"
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{l.Containers, "container"}, {l.Networks, "network"}, {len(l.Files), "file"}} {
		switch {
		case p.n == 1:
			parts = append(parts, "1 "+p.what)
		case p.n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", p.n, p.what))
		}
	}
	switch {
	case err != nil:
		return result(name, Warn, "what they left cannot be listed: "+oneLine(err))
	case len(parts) == 0:
		return result(name, Pass, "they have left nothing")
	}
	found := list(parts)
	r := result(name, Warn, "they have left "+found, "the next session removes it, or: aifo-coder doctor --fix")
	r.Fix = func(ctx context.Context) (string, error) { return "removed " + found, remove(ctx) }
	return r
}
