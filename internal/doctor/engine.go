package doctor

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// The oldest engine that sessions work with: host-gateway came with it, by which containers
// reach the proxy.
const (
	oldestMajor = 20
	oldestMinor = 10
	// The oldest podman that was tried.
	podmanMajor = 4
	podmanMinor = 3
)

// EngineFacts are what was found out about the engine.
type EngineFacts struct {
	Engine   string // its command line: docker or podman
	Context  string // name of the docker command's context
	Endpoint string // address of the engine; empty: unknown
	Chosen   string // the variable that chose it, or empty

	Socket *SocketFacts // nil: the endpoint is no unix socket, or of another host

	Hangs bool  // it did not answer in time
	Err   error // why it does not answer
	Info  docker.Info
	Doubt string // why it may be on another machine; empty: it is not
	UID   int
}

// SocketFacts are what connecting to the engine's socket came to.
type SocketFacts struct {
	Path    string
	Missing bool // there is no file
	Denied  bool // this user may not connect
	Refused bool // nobody listens

	Everyone bool   // may connect
	Group    string // that owns it
	Member   bool   // this process is in the group
	Listed   bool   // the user is, says the group's entry
}

// engineResults decides about the engine and who may use it.
func engineResults(f EngineFacts) []Result {
	if f.Err != nil {
		return []Result{engineFailure(f)}
	}
	list := []Result{engineFound(f), engineVersion(f.Info.ServerVersion, f.Info.Podman())}
	if s := f.Socket; s != nil {
		list = append(list, socketAccess(*s, f.UID, f.Info.Rootless()))
	}
	return list
}

func engineFound(f EngineFacts) Result {
	parts := []string{fmt.Sprintf("%s on %s (%s/%s)", f.Info.ServerVersion, f.Info.OperatingSystem, f.Info.OSType, f.Info.Architecture), f.where()}
	if f.Info.Rootless() {
		parts = append(parts, "rootless")
	}
	if f.Doubt != "" {
		parts = append(parts, "perhaps on another machine ("+f.Doubt+")")
	}
	r := result("engine", Pass, list(parts))
	if f.Info.OSType != "" && f.Info.OSType != "linux" {
		r.Status = Fail
		r.Next = []string{"switch the engine to Linux containers"}
	}
	return r
}

// where says which engine was asked.
func (f EngineFacts) where() string {
	at := f.Endpoint
	if f.Engine == docker.Podman {
		at = strings.TrimSpace("podman " + at)
	}
	if f.Context != "" {
		at = strings.TrimSpace("context " + f.Context + " " + f.Endpoint)
	}
	if f.Chosen != "" {
		at += ", which " + f.Chosen + " names"
	}
	return at
}

// remote reports whether the engine is on another machine.
func (f EngineFacts) remote() bool {
	u, err := url.Parse(f.Endpoint)
	if err != nil || u.Scheme == "unix" || u.Scheme == "npipe" || f.Endpoint == "" {
		return false
	}
	host := u.Hostname()
	return host != "localhost" && !strings.HasPrefix(host, "127.") && host != "::1"
}

func engineVersion(version string, podman bool) Result {
	major, minor, ok := parseVersion(version)
	switch {
	case podman && ok && (major < podmanMajor || major == podmanMajor && minor < podmanMinor):
		return result("engine version", Warn, fmt.Sprintf("podman %s has not been tried; %d.%d and later have", version, podmanMajor, podmanMinor))
	case podman:
		return result("engine version", Pass, "podman "+version)
	case !ok:
		return result("engine version", Warn, fmt.Sprintf("the version %q cannot be read; %d.%d or newer is needed", version, oldestMajor, oldestMinor))
	case major < oldestMajor || major == oldestMajor && minor < oldestMinor:
		return result("engine version", Fail, fmt.Sprintf("%s is too old: %d.%d or newer is needed", version, oldestMajor, oldestMinor),
			"upgrade Docker: https://docs.docker.com/engine/install/")
	}
	return result("engine version", Pass, fmt.Sprintf("%s; %d.%d or newer is needed", version, oldestMajor, oldestMinor))
}

// parseVersion reads the first two numbers of "20.10.24+dfsg1".
func parseVersion(v string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(v, "v"), ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(strings.TrimRight(second, "abcdefghijklmnopqrstuvwxyz-+"))
	return major, minor, err == nil || second == ""
}

func socketAccess(s SocketFacts, uid int, rootless bool) Result {
	switch {
	case s.Everyone:
		return result("permissions", Warn, "every user of this machine may use "+s.Path+", which is as good as being root",
			"let a group have it: sudo chmod 660 "+s.Path)
	case rootless:
		return result("permissions", Pass, "the engine runs as you")
	case uid == 0:
		return result("permissions", Pass, "you are root")
	case s.Member:
		return result("permissions", Pass, "you are in the group "+s.Group+", which may use "+s.Path)
	}
	return result("permissions", Pass, "you may use "+s.Path)
}

// commandMissing says how to get the engine's command line.
func commandMissing(program string) Result {
	next := "install Docker (on Debian: apt-get install docker.io), or in a checkout of aifo-coder run: scripts/engine ensure"
	if program == docker.Podman {
		next = "install podman (on Debian: apt-get install podman catatonit), or choose docker: --engine docker"
	}
	return result("", Fail, program+" is not installed, or not on PATH", next)
}

// cause is why an engine does not answer.
type cause int

const (
	causeUnknown cause = iota
	causePermission
	causeNotRunning
	causeContext
	causeHangs
	causeUnreachable
)

// said are words of the docker command where nothing else tells what is wrong. They are those
// of docker 20.10 to 28.
var said = []struct {
	words string
	cause cause
}{
	{"context not found", causeContext},
	{"does not exist", causeContext}, // docker 20.10: context "x" does not exist
	{"unable to parse docker host", causeContext},
	{"invalid bind address", causeContext},
	{"permission denied", causePermission},
	{"no such host", causeUnreachable},
	{"Could not resolve hostname", causeUnreachable},
	{"i/o timeout", causeUnreachable},
	{"No route to host", causeUnreachable},
	{"no route to host", causeUnreachable},
	{"Permission denied (", causeUnreachable}, // ssh
	{"Cannot connect to the Docker daemon", causeNotRunning},
	{"connection refused", causeNotRunning},
}

func (f EngineFacts) cause() cause {
	switch s := f.Socket; {
	case s != nil && s.Denied:
		return causePermission
	case s != nil && (s.Missing || s.Refused):
		return causeNotRunning
	case f.Hangs:
		return causeHangs
	}
	for _, s := range said {
		if strings.Contains(f.Err.Error(), s.words) {
			if s.cause == causeNotRunning && f.remote() {
				return causeUnreachable
			}
			return s.cause
		}
	}
	return causeUnknown
}

// engineFailure says why the engine does not answer, and what to do.
func engineFailure(f EngineFacts) Result {
	at := f.where()
	var renamed *hostfacts.RenamedEngineError
	switch {
	case errors.As(f.Err, &renamed):
		return result("engine", Fail, renamed.Error(), renamed.Hint())
	case f.Engine == docker.Podman:
		return result("engine", Fail, "podman does not answer: "+f.text(), "see what it says itself: podman info")
	}
	switch f.cause() {
	case causePermission:
		return permissionDenied(f)
	case causeNotRunning:
		return result("engine", Fail, "it does not run: nobody listens at "+at, append([]string{"start it: sudo systemctl start docker"}, f.another()...)...)
	case causeContext:
		return result("engine", Fail, f.text(), append([]string{"see which there are: docker context ls"}, f.another()...)...)
	case causeHangs:
		return result("engine", Fail, "it does not answer, although it takes connections: "+at,
			"see what it says: journalctl --unit docker --lines 50", "restart it: sudo systemctl restart docker")
	case causeUnreachable:
		return result("engine", Fail, "the other machine cannot be reached at "+at+": "+f.text(), append([]string{"try: docker info"}, f.another()...)...)
	case causeUnknown:
	}
	return result("engine", Fail, "it does not answer at "+at+": "+f.text(), append([]string{"see what it says: docker info"}, f.another()...)...)
}

// text returns what docker said, on one line.
func (f EngineFacts) text() string {
	err := f.Err
	var engine *docker.EngineError
	if errors.As(err, &engine) {
		err = engine.Err
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// another says how to have the usual engine in place of one that was chosen.
func (f EngineFacts) another() []string {
	switch {
	case f.Chosen != "":
		return []string{"or use the usual engine: unset " + f.Chosen}
	case f.Context != "" && f.Context != "default":
		return []string{"or use the usual engine: docker context use default"}
	}
	return nil
}

func permissionDenied(f EngineFacts) Result {
	r := result("engine", Fail, "you may not use it ("+f.where()+")")
	s := f.Socket
	switch {
	case s != nil && s.Group != "" && s.Listed && !s.Member:
		r.Finding = fmt.Sprintf("you may not use %s yet: you were put into the group %s after you logged in", s.Path, s.Group)
		r.Next = []string{"log out and in again, or in this shell: newgrp " + s.Group}
	case s != nil && s.Group != "" && s.Group != "root":
		r.Finding = fmt.Sprintf("you may not use %s: you are not in the group %s", s.Path, s.Group)
		r.Next = []string{fmt.Sprintf("sudo usermod -aG %s $USER, then log out and in again; who is in it is as good as root", s.Group)}
	default:
		r.Next = []string{"run: sudo usermod -aG docker $USER, then log out and in again", "or use an engine of your own: https://docs.docker.com/engine/security/rootless/"}
	}
	return r
}
