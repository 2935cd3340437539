package doctor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/docker"
)

// ProxyFacts are what trying to reach the toolexec proxy from a container came to.
type ProxyFacts struct {
	Address string // at which it was to be reached
	Listen  error  // why there is no such address on this host
	Start   error  // why the container did not run
	Reached bool
	TimedOut,
	Unix bool
}

// proxyResult decides about one of the ways in which tool calls leave the agent's container.
func proxyResult(f ProxyFacts) Result {
	name, flag := "proxy by TCP", "use --toolchain-unix-socket, which needs no network"
	if f.Unix {
		name, flag = "proxy by unix socket", "leave --toolchain-unix-socket out"
	}
	switch {
	case f.Listen != nil:
		return result(name, Fail, "there is no address at which containers reach this machine: "+oneLine(f.Listen), flag)
	case isSlow(f.Start):
		return result(name, Warn, "it could not be tried: "+f.Start.Error(), tryAgain)
	case f.Start != nil:
		return result(name, Fail, "the container did not start: "+oneLine(f.Start), "mend what keeps containers from starting first")
	case f.Reached:
		return result(name, Pass, "a container reaches this machine at "+f.Address)
	case f.Unix:
		return result(name, Fail, "a container does not reach the mounted socket "+f.Address, flag)
	case f.TimedOut:
		return result(name, Fail, fmt.Sprintf("a firewall drops what containers send to %s on this machine", f.Address),
			"let it pass, with ufw for instance: sudo ufw allow in from 172.16.0.0/12 to "+hostPart(f.Address), "or "+flag)
	}
	return result(name, Fail, fmt.Sprintf("a container is refused at %s on this machine: a firewall rejects it, or the container has no route", f.Address),
		"see the rules: sudo iptables -L INPUT -n -v, sudo nft list ruleset", "or "+flag)
}

// networkResult says that sessions cannot have a network of their own.
func networkResult(err error) Result {
	text := oneLine(err)
	next := []string{"see what the engine says: journalctl --unit docker --lines 50", "or do without: --network-policy none, --network-policy allowlist"}
	if strings.Contains(text, "address pool") { // engines 20.10 to 28: it has as many as it has addresses for
		next = []string{"remove networks that nobody uses: docker network prune"}
	}
	if isSlow(err) {
		next = []string{tryAgain}
	}
	return result(nameNetwork, Fail, "no network can be made for a session: "+text, next...)
}

// Reach is how far somebody got towards one address outside.
type Reach struct {
	Target   string
	Resolved bool
	Reached  bool
	Reason   string // why not
	Err      error  // why it could not be tried
}

// outsideResult decides about the network outside, of which a machine may well have none.
func outsideResult(host, container Reach) Result {
	const name = "network outside"
	switch {
	case container.Err != nil:
		return result(name, Warn, "it could not be tried from a container: "+oneLine(container.Err), tryAgain)
	case container.Reached && host.Reached:
		return result(name, Pass, "this machine and its containers reach "+container.Target)
	case container.Reached:
		return result(name, Pass, "containers reach "+container.Target+", and this machine does not: "+host.Reason)
	case host.Reached && host.Resolved && !container.Resolved:
		return result(name, Warn, "this machine reaches "+host.Target+", and containers cannot look up its name: "+container.Reason,
			`give containers a name server in /etc/docker/daemon.json: {"dns": ["ADDRESS"]}, then: sudo systemctl restart docker`)
	case host.Reached:
		return result(name, Warn, "this machine reaches "+host.Target+", and containers do not: "+container.Reason,
			"let the kernel forward: sudo sysctl net.ipv4.ip_forward=1; see the rules: sudo iptables -L FORWARD -n",
			"if a firewall was reloaded, have the engine make its rules again: sudo systemctl restart docker")
	}
	return result(name, Warn, "neither this machine nor its containers reach "+host.Target+": "+host.Reason,
		"without a network agents reach no model and tools no registry; behind a company's proxy set HTTPS_PROXY")
}

// oneLine returns an error's text on one line, without what docker run adds for people.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(docker.WithoutAdvice(err.Error())), " ")
	text = strings.TrimPrefix(text, "docker: ")
	return strings.TrimPrefix(text, "Error response from daemon: ")
}

// StartFacts are what starting a container as sessions do came to.
type StartFacts struct {
	Image string
	Err   error
}

// starts are words with which an engine refuses a container, and what they mean. They are those
// of engines 20.10 to 28 and of runc.
var starts = []struct{ words, finding, next string }{
	{"no space left on device", "the engine's disk is full", "make room: docker system df shows what takes it, docker image prune removes images without a name"},
	{"apparmor", "the AppArmor profile cannot be used", "load it: aifo-coder apparmor --help; or AIFO_CODER_APPARMOR_PROFILE=none"},
	{"bind source path does not exist", "the engine does not see the files of this machine", "use an engine on this machine, or a virtual machine that shares your home directory"},
	{"mounts denied", "the engine may not see the files of this machine", "share the directory in the settings of Docker Desktop: Resources, File sharing"},
	{"exec format error", "the image is for another kind of processor", "build it here: make build-shell"},
	{"unable to apply cgroup configuration", "the engine cannot make control groups", "mount them, or restart the machine"},
	{"cannot set memory", "the engine cannot limit memory", "leave --memory out"},
	{"operation not permitted", "the engine may not make containers here, as in a container without privileges", "run it on a machine of its own, or in a privileged container"},
}

// startResult decides about starting containers.
func startResult(f StartFacts) Result {
	const name = "containers"
	if f.Err == nil {
		return result(name, Pass, "one of "+f.Image+" starts, with the workspace and without privileges")
	}
	text := oneLine(f.Err)
	var hinted interface {
		error
		Hint() string
	}
	if errors.As(f.Err, &hinted) {
		return result(name, Fail, text, hinted.Hint())
	}
	for _, s := range starts {
		if strings.Contains(strings.ToLower(text), s.words) {
			return result(name, Fail, s.finding+": "+text, s.next)
		}
	}
	return result(name, Fail, "one of "+f.Image+" does not start: "+text, "see what the engine says: journalctl --unit docker --lines 50")
}
