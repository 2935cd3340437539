package cli_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// The fake docker is an engine in a directory, $FAKE_DOCKER_DIR: containers,
// networks and volumes are files there, so that a test sees what is left. It
// appends each argument vector to "log" as a line of JSON. What it was not
// taught goes to "unexpected", which fails the test.
//
//	FAKE_DOCKER_IMAGES  images that are present, separated by spaces
//	FAKE_DOCKER_FAIL    a line "WORD...: MESSAGE" makes each command fail whose
//	                    first word is the first WORD and that holds the others
//	FAKE_DOCKER_IS_PODMAN  docker is podman under another name; called podman, it is in any case
//	FAKE_DOCKER_EXIT    exit code of the agent, or of the command of an exec
//	FAKE_DOCKER_SIDECARS how many sidecars an agent waits for before it ends by itself
//	FAKE_DOCKER_MACHINE  what all images are for
//	FAKE_DOCKER_LACKS   programs that no image has, and commands that fail, separated by commas
//	FAKE_DOCKER_FIREWALL  when set, containers do not reach the host
//	FAKE_DOCKER_LOGS    what containers wrote to standard error
//	FAKE_DOCKER_BLOCK   "WORD..." as above: the command says Ready by opening
//	                    the fifo "ready" and then waits for a signal, or for its
//	                    container to be removed
type fakeDocker struct {
	dir  string
	argv []string
}

// exitUnexpected is the exit code for a command that the fake does not know.
const exitUnexpected = 99

func fakeDockerMain() {
	f := fakeDocker{dir: os.Getenv("FAKE_DOCKER_DIR"), argv: os.Args[1:]}
	if f.dir == "" {
		fmt.Fprintln(os.Stderr, "fake docker: FAKE_DOCKER_DIR is not set")
		os.Exit(exitUnexpected)
	}
	f.record()
	os.Exit(f.run())
}

func (f fakeDocker) record() {
	line, err := json.Marshal(f.argv)
	f.check(err)
	log, err := os.OpenFile(filepath.Join(f.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	f.check(err)
	_, err = log.Write(append(line, '\n')) // one write: lines of several processes do not mix
	f.check(err)
	f.check(log.Close())
}

func (f fakeDocker) check(err error) {
	if err != nil {
		f.unexpected(err.Error())
	}
}

// unexpected fails the test.
func (f fakeDocker) unexpected(why string) {
	text := fmt.Sprintf("fake docker: %s: %q\n", why, f.argv)
	fmt.Fprint(os.Stderr, text)
	file, err := os.OpenFile(filepath.Join(f.dir, "unexpected"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, _ = file.WriteString(text) // standard error has it too
	}
	os.Exit(exitUnexpected)
}

func (f fakeDocker) run() int {
	if msg, fails := f.scripted("FAKE_DOCKER_FAIL"); fails {
		fmt.Fprintln(os.Stderr, msg)
		if f.argv[0] == "run" {
			return 125
		}
		return 1
	}
	switch f.verb() {
	case "info":
		f.parse(1, "--format=")
		if f.isPodman() {
			fmt.Println(`{"host":{"arch":"amd64","os":"linux","cgroupControllers":["memory","pids"],"security":{"seccompEnabled":true}},"version":{"Version":"4.3.1"}}`)
			return 0
		}
		fmt.Printf(`{"ServerVersion":"99","OperatingSystem":%q,"OSType":"linux","Architecture":"x86_64","SecurityOptions":[%s]}`+"\n",
			cmp.Or(os.Getenv("FAKE_DOCKER_OS"), "Fake"), cmp.Or(os.Getenv("FAKE_DOCKER_SECURITY"), `"name=seccomp,profile=builtin"`))
		return 0
	case "version":
		f.parse(1, "--format=")
		fmt.Println(`{"Client":{"Version":"98","Context":"default"}}`)
		return 0
	case "context inspect":
		f.parse(2, "--format=")
		fmt.Println(`["far","tcp://192.0.2.1:2375"]`)
		return 0
	case "run":
		return f.runContainer()
	case "exec":
		return f.exec()
	case "rm":
		return f.remove(f.parse(1, "--force", "--volumes").args)
	case "pull":
		f.add("images", f.parse(1).one(f), nil)
		fmt.Println("0123456789ab: Pull complete")
		return 0
	case "image inspect":
		return f.inspectImages(f.parse(2, "--format="))
	case "network create":
		p := f.parse(2, "--driver=", "--label=")
		f.add("networks", p.one(f), labels(p.opts["--label"]))
		return 0
	case "network rm":
		return f.delete("networks", f.parse(2).one(f))
	case "network inspect":
		return f.inspectNetwork(f.parse(2, "--format="))
	case "image ls":
		f.parse(2, "--format=")
		fmt.Println(strings.ReplaceAll(os.Getenv("FAKE_DOCKER_IMAGES"), " ", "\n"))
		return 0
	case "network ls":
		if slices.Contains(f.argv, "{{.Name}}") {
			fmt.Println(strings.Join(append([]string{"bridge", "host", "none"}, f.names("networks")...), "\n"))
			return 0
		}
		return f.list("networks", f.parse(2, "--no-trunc", "--filter=", "--format="))
	case "container ls":
		return f.list("containers", f.parse(2, "--all", "--no-trunc", "--filter=", "--format="))
	case "container inspect":
		return f.inspectContainer(f.parse(2, "--format="))
	case "container logs":
		if !f.has("containers", f.parse(2, "--tail=", "--follow").one(f)) {
			return 1
		}
		fmt.Fprint(os.Stderr, os.Getenv("FAKE_DOCKER_LOGS"))
		return 0
	case "stats":
		for _, name := range f.parse(1, "--no-stream", "--no-trunc", "--format=").args {
			fmt.Println(jsonOf([]string{name, "1.5MiB / 2GiB"}))
		}
		return 0
	case "system df":
		return f.volumeSizes(f.parse(2, "--verbose", "--format="))
	case "volume ls":
		f.parse(2, "--format=")
		for _, name := range f.names("volumes") {
			fmt.Println(name)
		}
		return 0
	case "volume rm":
		return f.delete("volumes", f.parse(2).one(f))
	}
	f.unexpected("unknown command")
	return exitUnexpected
}

// isPodman reports whether the fake was called by that name, or is to be podman under docker's.
func (f fakeDocker) isPodman() bool {
	return filepath.Base(os.Args[0]) == "podman" || os.Getenv("FAKE_DOCKER_IS_PODMAN") != ""
}

func (f fakeDocker) verb() string {
	if len(f.argv) > 1 && slices.Contains([]string{"context", "image", "network", "container", "volume", "system"}, f.argv[0]) {
		return f.argv[0] + " " + f.argv[1]
	}
	if len(f.argv) == 0 {
		return ""
	}
	return f.argv[0]
}

// scripted looks for the line of the variable that matches the command.
func (f fakeDocker) scripted(variable string) (message string, found bool) {
	for line := range strings.Lines(os.Getenv(variable)) {
		pattern, message, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		words := strings.Fields(pattern)
		if len(words) == 0 || f.argv[0] != words[0] {
			continue
		}
		all := strings.Join(f.argv[1:], " ")
		if !slices.ContainsFunc(words[1:], func(w string) bool { return !strings.Contains(all, w) }) {
			return message, true
		}
	}
	return "", false
}

// parsed is a command line: option name -> values, and what follows.
type parsed struct {
	opts map[string][]string
	args []string
}

func (p parsed) one(f fakeDocker) string {
	if len(p.args) != 1 {
		f.unexpected("wants one argument")
	}
	return p.args[0]
}

func (p parsed) opt(name string) string {
	if v := p.opts[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// parse splits the words after the first skip as docker does. An option with
// "=" at its end takes the next word. Options that are not in known are
// unexpected.
func (f fakeDocker) parse(skip int, known ...string) parsed {
	p := parsed{opts: map[string][]string{}}
	words := f.argv[skip:]
	for len(words) > 0 {
		w := words[0]
		switch {
		case w == "--":
			p.args = words[1:]
			return p
		case !strings.HasPrefix(w, "-"):
			p.args = words
			return p
		case slices.Contains(known, w):
			p.opts[w] = append(p.opts[w], "")
			words = words[1:]
		case slices.Contains(known, w+"=") && len(words) > 1:
			p.opts[w] = append(p.opts[w], words[1])
			words = words[2:]
		default:
			f.unexpected("unknown option " + w)
		}
	}
	return p
}

// object is a container or a network.
type object struct {
	Labels map[string]string
	PID    int // of the docker that runs in the foreground; 0: none
	Mounts []mount

	// What tests say of containers that no docker run made.
	Image, State, Log string
}

// mount is a volume of a container, as docker inspect shows it.
type mount struct{ Type, Name string }

func volumes(options []string) []mount {
	var mounts []mount
	for _, o := range options {
		if name, ok := strings.CutPrefix(o, "type=volume,source="); ok {
			name, _, _ = strings.Cut(name, ",")
			mounts = append(mounts, mount{"volume", name})
		}
	}
	return mounts
}

// volumeSizes says that a volume is as large as its file.
func (f fakeDocker) volumeSizes(p parsed) int {
	if p.opt("--format") != "{{json .Volumes}}" {
		f.unexpected("unknown format")
	}
	list := []map[string]string{}
	for _, name := range f.names("volumes") {
		info, err := os.Stat(f.path("volumes", name))
		f.check(err)
		list = append(list, map[string]string{"Name": name, "Size": fmt.Sprintf("%dB", info.Size())})
	}
	fmt.Println(jsonOf(list))
	return 0
}

func labels(words []string) map[string]string {
	l := map[string]string{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		l[k] = v
	}
	return l
}

func (f fakeDocker) path(kind, name string) string {
	return filepath.Join(f.dir, kind, strings.ReplaceAll(name, "/", "%"))
}

func (f fakeDocker) add(kind, name string, l map[string]string) {
	f.check(os.MkdirAll(filepath.Join(f.dir, kind), 0o700))
	if kind != "images" && f.has(kind, name) {
		f.unexpected("exists already")
	}
	f.put(kind, name, object{Labels: l})
}

func (f fakeDocker) put(kind, name string, o object) {
	data, err := json.Marshal(o)
	f.check(err)
	temp := filepath.Join(f.dir, "."+filepath.Base(f.path(kind, name)))
	f.check(os.WriteFile(temp, data, 0o600))
	f.check(os.Rename(temp, f.path(kind, name)))
}

func (f fakeDocker) get(kind, name string) (object, bool) {
	data, err := os.ReadFile(f.path(kind, name))
	if errors.Is(err, fs.ErrNotExist) {
		return object{}, false
	}
	f.check(err)
	var o object
	f.check(json.Unmarshal(data, &o))
	return o, true
}

func (f fakeDocker) has(kind, name string) bool {
	_, ok := f.get(kind, name)
	return ok
}

func (f fakeDocker) names(kind string) []string {
	entries, err := os.ReadDir(filepath.Join(f.dir, kind))
	if !errors.Is(err, fs.ErrNotExist) {
		f.check(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (f fakeDocker) answer(found bool, text string) int {
	if !found {
		fmt.Fprintln(os.Stderr, "Error: no such object")
		if f.isPodman() {
			return 125
		}
		return 1
	}
	fmt.Println(text)
	return 0
}

func (f fakeDocker) delete(kind, name string) int {
	found := f.has(kind, name)
	if found {
		f.unlink(kind, name)
	}
	return f.answer(found, name)
}

// unlink removes what another command may remove at the same time.
func (f fakeDocker) unlink(kind, name string) {
	if err := os.Remove(f.path(kind, name)); !errors.Is(err, fs.ErrNotExist) {
		f.check(err)
	}
}

// remove ends and removes containers. As docker does, it removes those that are
// there and fails when one was not.
func (f fakeDocker) remove(names []string) int {
	code := 0
	for _, name := range names {
		if o, _ := f.get("containers", name); o.PID != 0 {
			tell(o.PID, containerGone)
		}
		code = max(code, f.delete("containers", name))
	}
	return code
}

// inspectImages prints the names of those that are present, as docker does.
func (f fakeDocker) inspectImages(p parsed) int {
	switch p.opt("--format") {
	case "{{json .RepoTags}}":
	case "{{.Id}}":
		return f.answer(f.imagePresent(p.one(f)), "id")
	case "{{.Os}} {{.Architecture}}":
		for range p.args {
			fmt.Println(cmp.Or(os.Getenv("FAKE_DOCKER_MACHINE"), "linux amd64"))
		}
		return 0
	default:
		f.unexpected("unknown format")
	}
	code := 0
	for _, ref := range p.args {
		tag := ref
		if !strings.ContainsAny(path.Base(ref), ":@") {
			tag += ":latest"
		}
		if f.isPodman() {
			tag = "localhost/" + tag
		}
		code = max(code, f.answer(f.imagePresent(ref), jsonOf([]string{tag})))
	}
	return code
}

func (f fakeDocker) imagePresent(ref string) bool {
	return slices.Contains(strings.Fields(os.Getenv("FAKE_DOCKER_IMAGES")), ref) || f.has("images", ref)
}

func (f fakeDocker) inspectNetwork(p parsed) int {
	switch p.opt("--format") {
	case "{{.Id}}":
		name := p.one(f)
		return f.answer(f.has("networks", name), "id-of-"+name)
	case "{{json .IPAM.Config}}":
		return f.answer(p.one(f) == "bridge", `[{"Subnet":"127.0.0.0/8","Gateway":"127.0.0.1"}]`)
	case "{{json .Subnets}}":
		return f.answer(f.has("networks", p.one(f)), `[{"subnet":"127.0.0.0/8","gateway":"127.0.0.1"}]`)
	case "{{.Id}} {{json .Labels}}":
		return f.printLabels("networks", p.args)
	}
	f.unexpected("unknown format")
	return exitUnexpected
}

func (f fakeDocker) inspectContainer(p parsed) int {
	switch p.opt("--format") {
	case "{{.State.Running}}":
		return f.answer(f.has("containers", p.one(f)), "true")
	case "{{.Id}} {{json .Config.Labels}}":
		return f.printLabels("containers", p.args)
	case detailsFormat:
		return f.printDetails(p.args)
	case "{{json .Config.Env}}":
		return f.answer(f.has("containers", p.one(f)), `["A=b","PATH=/image/bin"]`)
	case `["{{.Id}}",{{json .Config.Labels}},{{json .Mounts}}]`:
		code := 0
		for _, name := range p.args {
			o, found := f.get("containers", name)
			code = max(code, f.answer(found, jsonOf([]any{name, o.Labels, o.Mounts})))
		}
		return code
	}
	f.unexpected("unknown format")
	return exitUnexpected
}

const detailsFormat = `["{{.Id}}",` + "{{json .Config.Labels}},{{json .Name}},{{json .Config.Image}},{{json .State.Status}}," +
	"{{json .State.Pid}},{{json .Created}},{{json .HostConfig.LogConfig.Type}},{{json .Config.Cmd}},{{json .Mounts}}]"

// printDetails prints what the engine says of containers: all run since 2026, and have a process
// of a number that no other has.
func (f fakeDocker) printDetails(names []string) int {
	code := 0
	for _, name := range names {
		o, found := f.get("containers", name)
		driver := cmp.Or(o.Log, "local")
		if o.Labels["dev.aifo-coder.kind"] == "agent" {
			driver = "none"
		}
		code = max(code, f.answer(found, jsonOf([]any{
			name, o.Labels, "/" + name, cmp.Or(o.Image, "image:latest"), cmp.Or(o.State, "running"), 1 << 23, "2026-01-01T00:00:00Z",
			driver, []string{"boot", "--user", "1234:567"}, o.Mounts,
		})))
	}
	return code
}

// printLabels prints the labels of objects; here an id is a name.
func (f fakeDocker) printLabels(kind string, names []string) int {
	code := 0
	for _, name := range names {
		o, found := f.get(kind, name)
		code = max(code, f.answer(found, name+" "+jsonOf(o.Labels)))
	}
	return code
}

func jsonOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return string(data)
}

func (f fakeDocker) list(kind string, p parsed) int {
	if p.opt("--format") != "{{.ID}}" {
		f.unexpected("unknown format")
	}
	if len(p.args) > 0 || len(p.opts["--filter"]) == 0 {
		f.unexpected("wants a filter")
	}
	for _, name := range f.names(kind) {
		o, _ := f.get(kind, name)
		if f.passes(o, p.opts["--filter"]) {
			fmt.Println(name)
		}
	}
	return 0
}

// passes reports whether the object has all the labels and any of the volumes.
func (f fakeDocker) passes(o object, filters []string) bool {
	var labels, volumes []string
	for _, filter := range filters {
		if name, ok := strings.CutPrefix(filter, "volume="); ok {
			volumes = append(volumes, name)
		} else {
			labels = append(labels, filter)
		}
	}
	uses := func(m mount) bool { return slices.Contains(volumes, m.Name) }
	return (len(volumes) == 0 || slices.ContainsFunc(o.Mounts, uses)) &&
		!slices.ContainsFunc(labels, func(filter string) bool { return !f.matches(o, filter) })
}

// matches reports whether the object has the label of a filter.
func (f fakeDocker) matches(o object, filter string) bool {
	want, ok := strings.CutPrefix(filter, "label=")
	if !ok {
		f.unexpected("unknown filter")
	}
	key, value, hasValue := strings.Cut(want, "=")
	v, ok := o.Labels[key]
	return ok && (!hasValue || v == value)
}

var runOptions = []string{
	"--detach", "--rm", "--interactive", "--tty", "--init", "--pull=never", "--name=", "--hostname=", "--network=", "--add-host=", "--label=",
	"--user=", "--cap-drop=", "--cap-add=", "--security-opt=", "--pids-limit=", "--memory=", "--cpus=", "--gpus=", "--log-driver=", "--http-proxy=false", "--mount=", "--tmpfs=", "--env=", "--workdir=", "--entrypoint=",
}

func (f fakeDocker) runContainer() int {
	p := f.parse(1, runOptions...)
	name := p.opt("--name")
	if len(p.args) == 0 || name == "" {
		f.unexpected("wants an image and a name")
	}
	if !f.imagePresent(p.args[0]) {
		fmt.Fprintln(os.Stderr, "docker: no such image: "+p.args[0])
		return 125
	}
	if net := p.opt("--network"); net != "none" && !f.has("networks", net) {
		fmt.Fprintln(os.Stderr, "docker: network "+net+" not found")
		return 125
	}
	if dir := socketDir(p); dir != "" {
		_, err := os.Stat(dir)
		f.check(err)
	}
	f.add("containers", name, labels(p.opts["--label"]))
	f.put("containers", name, object{Labels: labels(p.opts["--label"]), Mounts: volumes(p.opts["--mount"])})
	if _, detached := p.opts["--detach"]; detached {
		f.writeEnv("env-"+f.kind(name), p.opts["--env"])
		f.block(name)
		fmt.Println("id-of-" + name)
		return 0
	}
	f.writeEnv("env", p.opts["--env"])
	f.awaitSidecars(name)
	f.diagnose(p)
	code := f.block(name)
	if code == 0 {
		code = scriptedExit(f)
	}
	if _, remove := p.opts["--rm"]; remove && f.has("containers", name) {
		f.unlink("containers", name)
	}
	return code
}

// diagnose does what containers of doctor and support are asked to.
func (f fakeDocker) diagnose(p parsed) {
	lacks := strings.Split(os.Getenv("FAKE_DOCKER_LACKS"), ",")
	if i := slices.Index(p.args, "which"); i >= 0 {
		for _, word := range p.args[i+1:] {
			if !slices.Contains(lacks, word) {
				fmt.Println(word)
			}
		}
	}
	if slices.Contains(p.args, "outside") {
		fmt.Print("asked\nresolved\nreached\n")
	}
	if slices.Contains(p.args, "aifo-tools") && os.Getenv("FAKE_DOCKER_FIREWALL") == "" {
		f.connect(p)
	}
	if slices.Contains(p.args, "--version") && !slices.Contains(p.args, "support") {
		fmt.Println("version 1.2.3")
	}
	if i := slices.Index(p.args, "support"); i >= 0 {
		for _, command := range p.args[i+1:] {
			code := 0
			if slices.Contains(lacks, command) {
				code = 127
			}
			fmt.Printf("%d\t%s 4.5.6\n", code, command)
		}
	}
}

// socketDir is the directory that the container has for sockets, or empty.
func socketDir(p parsed) string {
	for _, m := range p.opts["--mount"] {
		if source, ok := strings.CutSuffix(m, ",target=/run/aifo,readonly"); ok {
			return strings.TrimPrefix(source, "type=bind,source=")
		}
	}
	return ""
}

// connect connects to the proxy as a shim would, by TCP or by the mounted socket, and waits until it is served.
func (f fakeDocker) connect(p parsed) {
	network, address := "tcp", strings.NewReplacer("http://host.docker.internal", "127.0.0.1", "/exec", "").Replace(os.Getenv("AIFO_TOOLEEXEC_URL"))
	if address == "" {
		network, address = "unix", filepath.Join(socketDir(p), "toolexec.sock")
	}
	c, err := net.Dial(network, address)
	f.check(err)
	_, err = io.Copy(io.Discard, c)
	f.check(err)
	f.check(c.Close())
}

// kind is the toolchain of a sidecar.
func (f fakeDocker) kind(container string) string {
	o, _ := f.get("containers", container)
	return o.Labels["dev.aifo-coder.kind"]
}

// writeEnv writes what a container gets for the variables that the vector has
// by name only.
func (f fakeDocker) writeEnv(file string, env []string) {
	var b strings.Builder
	for _, e := range env {
		if strings.Contains(e, "=") {
			continue
		}
		v, ok := os.LookupEnv(e)
		if !ok {
			f.unexpected("variable " + e + " is not set")
		}
		b.WriteString(e + "=" + v + "\n")
	}
	f.check(os.WriteFile(filepath.Join(f.dir, file), []byte(b.String()), 0o600))
}

func scriptedExit(f fakeDocker) int {
	v := os.Getenv("FAKE_DOCKER_EXIT")
	if v == "" {
		return 0
	}
	var code int
	_, err := fmt.Sscan(v, &code)
	f.check(err)
	return code
}

// block waits where FAKE_DOCKER_BLOCK says so, and returns the exit code of a
// program that the signal ended; 0: it does not block.
func (f fakeDocker) block(container string) int {
	if _, blocks := f.scripted("FAKE_DOCKER_BLOCK"); !blocks {
		return 0
	}
	ch := make(chan os.Signal, 8)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, containerGone)
	o, _ := f.get("containers", container)
	o.PID = os.Getpid()
	f.put("containers", container, o)
	f.sayBlocked()
	for s := range ch {
		if s == containerGone {
			return 137 // the container was removed
		}
		if os.Getenv("FAKE_DOCKER_STUBBORN") == "" {
			return 128 + int(s.(syscall.Signal))
		}
		f.sayBlocked()
	}
	return 0
}

// sayBlocked tells the test that this command blocks, or goes on blocking after
// a signal.
func (f fakeDocker) sayBlocked() {
	fifo, err := os.OpenFile(filepath.Join(f.dir, "ready"), os.O_WRONLY, 0)
	f.check(err)
	_, err = fifo.WriteString("Ready\n")
	f.check(err)
	f.check(fifo.Close())
}

func (f fakeDocker) exec() int {
	p := f.parse(1, "--interactive", "--tty", "--user=", "--env=")
	if len(p.args) < 3 || p.args[1] != execproto.ShimBinary {
		f.unexpected("not a command of the shim")
	}
	container, args := p.args[0], p.args[2:]
	if !f.has("containers", container) {
		fmt.Fprintln(os.Stderr, "Error response from daemon: No such container: "+container)
		return 1
	}
	switch args[0] {
	case "ready":
		return f.block(container)
	case "serve":
		return f.serve(container)
	case "ports":
		return f.ports()
	case "run":
		if code := f.block(container); code != 0 {
			return code
		}
		return scriptedExit(f)
	case "signal", "end":
		name := "INT"
		if i := slices.Index(args, "--signal"); i >= 0 {
			name = args[i+1]
		}
		sig := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT}[name]
		if o, _ := f.get("containers", container); o.PID != 0 && sig != 0 {
			tell(o.PID, sig)
		}
		return 0
	}
	f.unexpected("unknown command of the shim")
	return exitUnexpected
}

// serve is an exec server that takes no calls. It cannot connect to a socket.
func (f fakeDocker) serve(container string) int {
	if slices.Contains(f.argv, "--connect") {
		fmt.Fprintln(os.Stderr, "cannot connect")
		return 1
	}
	if code := f.block(container); code != 0 {
		return code
	}
	f.check(execproto.NewMuxWriter(os.Stdout).Write(execproto.MuxHello, 0, nil))
	_, err := io.Copy(io.Discard, os.Stdin)
	f.check(err)
	return 0
}

// ports is the end of a port link on which nothing happens. It cannot connect to a socket.
func (f fakeDocker) ports() int {
	if slices.Contains(f.argv, "--connect") {
		fmt.Fprintln(os.Stderr, "cannot connect")
		return 1
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	f.check(err)
	return 0
}

// awaitSidecars lets the agent end only when so many sidecars have been asked
// for, or when it is removed: they need not come in the life of a short agent.
func (f fakeDocker) awaitSidecars(agent string) {
	n, _ := strconv.Atoi(os.Getenv("FAKE_DOCKER_SIDECARS"))
	for {
		log, err := os.ReadFile(filepath.Join(f.dir, "log"))
		f.check(err)
		if bytes.Count(log, []byte(`["run","--detach"`)) >= n || !f.has("containers", agent) {
			return
		}
		time.Sleep(time.Millisecond) // a file tells nobody that it has changed
	}
}

// dockerlogMain prints the log as commands for a person: with "changes" only
// those that change something, as a dry run shows them; with "sorted" in the
// order of the alphabet, for commands that run side by side; with "verbs" only
// the first words.
func dockerlogMain() {
	data, err := os.ReadFile(filepath.Join(os.Getenv("FAKE_DOCKER_DIR"), "log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		var argv []string
		if err := json.Unmarshal([]byte(line), &argv); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if slices.Contains(os.Args, "changes") && !changes(argv) {
			continue
		}
		text := "docker " + dockerargs.Quote(argv)
		if slices.Contains(os.Args, "verbs") {
			text = strings.Join(argv[:min(2, len(argv))], " ")
		}
		lines = append(lines, text)
	}
	if slices.Contains(os.Args, "sorted") {
		slices.Sort(lines)
	}
	for _, line := range lines {
		fmt.Println(line)
	}
}

func changes(argv []string) bool {
	helper := func(w string) bool {
		return slices.Contains([]string{"ready", "serve", "ports", "which", "signal", "end"}, w)
	}
	switch argv[0] {
	case "run", "rm", "pull":
		return true
	case "network", "volume":
		return argv[1] == "create" || argv[1] == "rm"
	case "exec":
		i := slices.Index(argv, "/opt/aifo/bin/aifo-shim")
		return i < 0 || !helper(argv[i+1])
	}
	return false
}
