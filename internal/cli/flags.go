package cli

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/imageref"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// flags are the global flags, as given.
type flags struct {
	toolchains toolchain.Flags
	define     []string
	noCache    bool
	unixSocket bool
	bootstrap  []string
	timeout    string

	engine      string
	image       string
	flavor      string
	ignoreLocal bool
	network     string
	publish     []string
	workspace   string
	profile     string

	hostPath string
	mounts   []string
	env      envFlags
	limits   limitFlags
	egress   egressFlags
	broker   brokerFlags
	fork     forkFlags

	nonInteractive bool
	quiet          bool
	verbose        bool
	dryRun         bool
	color          string
}

func (f *flags) register(root *cobra.Command) {
	fs := root.PersistentFlags()
	// Arrays, not slices: a value may hold a comma.
	fs.StringArrayVar(&f.toolchains.Toolchain, "toolchain", nil, "attach the toolchain `KIND[@VERSION][=IMAGE]`; repeatable")
	fs.StringArrayVar(&f.toolchains.Spec, "toolchain-spec", nil, "attach the toolchain `KIND[@VERSION]`; repeatable")
	fs.StringArrayVar(&f.toolchains.Image, "toolchain-image", nil, "use IMAGE for a toolchain: `KIND=IMAGE`; repeatable")
	fs.StringArrayVar(&f.define, "toolchain-define", nil, "take the toolchains that `FILE` defines as well; repeatable")
	fs.BoolVar(&f.noCache, "no-toolchain-cache", false, "do not use the cache volumes")
	fs.BoolVar(&f.unixSocket, "toolchain-unix-socket", false, "reach the toolchains by a unix socket instead of TCP (Linux)")
	fs.StringArrayVar(&f.bootstrap, "toolchain-bootstrap", nil, "complete a sidecar first: `typescript=global`")
	fs.StringVar(&f.timeout, "toolchain-timeout", "", "end a tool call that takes longer than `DURATION`, as in 90s or 1h30m; a number alone is seconds")
	fs.StringVar(&f.engine, "engine", "", "run containers with `docker|podman` (default: docker, or podman where docker is not installed)")
	fs.StringVar(&f.image, "image", "", "use `IMAGE` for the agent")
	fs.StringVar(&f.flavor, "flavor", "", "flavour of the agent's image: `full|slim`")
	fs.BoolVar(&f.ignoreLocal, "ignore-local-images", false, "choose images as if none were on this machine, and pull them")
	fs.StringVar(&f.network, "docker-network", "", "join the network `NAME` instead of one of the session's own")
	fs.StringArrayVar(&f.publish, "publish", nil, "let a port of this machine lead to one of the session's containers: `[IP:]HOSTPORT[:PORT]`, on the loopback unless IP says otherwise; repeatable")
	fs.StringVar(&f.workspace, "workspace", "", "mount `DIR` as /workspace (default: the repository around the working directory)")
	fs.StringVar(&f.hostPath, "workspace-path", "", "where containers have the workspace: `container|host`, /workspace or its path on this machine (default container)")
	fs.StringArrayVar(&f.mounts, mountFlag, nil, "mount something more in the containers, as `MOUNT` says in the words of docker run: type=bind (or volume or tmpfs), source=PATH, target=DIR and perhaps readonly, with commas between them; repeatable")
	f.env.register(fs)
	f.limits.register(fs)
	f.egress.register(fs)
	f.broker.register(fs)
	f.fork.register(fs)
	fs.StringVar(&f.profile, "profile", "", "take the settings of the profile `NAME` of your configuration; none: of no profile")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print what would be done instead of doing it")
	fs.BoolVar(&f.nonInteractive, "non-interactive", false, "never ask a question")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print no notices")
	fs.BoolVar(&f.verbose, "verbose", false, "print what is done and why")
	fs.StringVar(&f.color, "color", "", "colour messages: `auto|always|never`")
	f.registerCompletions(root)
}

func (f *flags) registerCompletions(root *cobra.Command) {
	fixed := func(values ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	for name, complete := range map[string]cobra.CompletionFunc{
		"toolchain":      f.completeKinds,
		"toolchain-spec": f.completeKinds,
		"toolchain-define": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		"toolchain-image":     f.completeKindImages,
		"toolchain-bootstrap": fixed(bootstrapTypeScript),
		"toolchain-timeout":   cobra.NoFileCompletions,
		"engine":              fixed(docker.Engines()...),
		"flavor":              fixed("full", "slim"),
		"color":               fixed(string(ui.Auto), string(ui.Always), string(ui.Never)),
		"image":               f.completeImages,
		"docker-network":      f.completeNetworks,
		"publish":             cobra.NoFileCompletions,
		mountFlag:             fixed("type=bind\tA file or directory of this machine", "type=volume\tA volume of the engine", "type=tmpfs\tMemory"),
		"env":                 cobra.NoFileCompletions,
		"env-file":            completeFiles,
		"workspace-path":      fixed("container\t"+execproto.Workspace, "host\tThe path on this machine"),
		"memory":              f.completeContainers,
		"cpus":                f.completeContainers,
		"gpus":                f.completeContainers,
		"pids-limit":          f.completeContainers,
		"network-policy":      f.completePolicies,
		"allow-host":          f.completeHosts,
		"credentials":         fixed(credentialsPass, credentialsBroker),
		"broker-git":          cobra.NoFileCompletions,
		"fork":                cobra.NoFileCompletions,
		"fork-session-name":   cobra.NoFileCompletions,
		"fork-layout":         fixed(layouts...),
		"fork-merge-strategy": fixed(strategies...),
		"fork-runner":         fixed(runners...),
		"profile":             completeProfiles,
		"workspace":           completeDirs,
	} {
		mustComplete(root, name, complete)
	}
}

const bootstrapTypeScript = "typescript=global"

// options parses the flags, together with the variables that stand for them,
// into the plan's options. Every error is the user's to mend.
func (f *flags) options(env hostfacts.Env) (plan.Options, error) {
	kinds, err := f.kinds(env)
	if err != nil {
		return plan.Options{}, err
	}
	selections, err := kinds.Select(f.toolchains)
	if err != nil {
		return plan.Options{}, err
	}
	o := plan.Options{
		Kinds:       kinds,
		Toolchains:  selections,
		NoCache:     f.noCache,
		UnixSocket:  f.unixSocket || env.Get("AIFO_TOOLEEXEC_USE_UNIX") == "1",
		IgnoreLocal: f.ignoreLocal || env.Get("AIFO_CODER_IGNORE_LOCAL_IMAGES") == "1",
		Image:       f.image,
		Network:     cmp.Or(f.network, env.Get("AIFO_SESSION_NETWORK")),
	}
	into(&err, &o.Limits)(f.limits.parse(kinds))
	into(&err, &o.HostPath)(parseWorkspacePath(f.hostPath))
	into(&err, &o.Mounts)(parseMounts(f.mounts))
	into(&err, &o.Env)(f.env.parse(env, kinds))
	into(&err, &o.Publish)(parsePublish(f.publish))
	into(&err, &o.Egress)(f.egress.parse(env, kinds))
	into(&err, &o.GlobalTypeScript)(parseBootstrap(f.bootstrap))
	into(&err, &o.Exec)(parseExec(env.Get("AIFO_TOOLCHAIN_EXEC")))
	into(&err, &o.ToolTimeout)(toolTimeout(f.timeout, env))
	into(&err, &o.ToolGrace)(parseGrace(env.Get(graceVariable)))
	into(&err, &o.Slim)(parseFlavor(cmp.Or(f.flavor, env.Get("AIFO_CODER_IMAGE_FLAVOR"))))
	return o, err
}

// into returns a function that takes what a parser returned: its value for at, its error for first when that is nil.
func into[T any](first *error, at *T) func(T, error) {
	return func(v T, err error) {
		*at = v
		if *first == nil {
			*first = err
		}
	}
}

// checkOptions checks what the options come to in the end, wherever their parts
// came from: each image becomes a word of a docker command.
func checkOptions(o plan.Options, env hostfacts.Env, goos string) error {
	if o.UnixSocket && goos != "linux" {
		return errors.New("--toolchain-unix-socket works on Linux only, where containers share the host's kernel; leave it out to use TCP")
	}
	if err := checkRegistries(env); err != nil {
		return err
	}
	if err := plan.CheckVersions(o, env); err != nil {
		return err
	}
	for _, ref := range plan.Images(o, env) {
		if err := imageref.Check(ref); err != nil {
			return err
		}
	}
	return checkNetwork(o.Network)
}

func parseBootstrap(values []string) (globalTypeScript bool, err error) {
	for _, v := range values {
		if v != bootstrapTypeScript && v != "ts=global" {
			return false, fmt.Errorf("--toolchain-bootstrap %q: the one bootstrap is %s", v, bootstrapTypeScript)
		}
		globalTypeScript = true
	}
	return globalTypeScript, nil
}

func parseExec(v string) (plan.Exec, error) {
	switch v {
	case "", "resident":
		return plan.ExecResident, nil
	case "stream":
		return plan.ExecStream, nil
	case "docker":
		return plan.ExecDocker, nil
	}
	return 0, fmt.Errorf("AIFO_TOOLCHAIN_EXEC=%q: takes resident, stream or docker", v)
}

// timeoutVariables stand for --toolchain-timeout, in seconds; the first counts.
var timeoutVariables = []string{"AIFO_TOOLEEXEC_MAX_SECS", "AIFO_TOOLEEXEC_TIMEOUT_SECS"}

// toolTimeout returns the time limit of a tool call, 0 for none.
func toolTimeout(flag string, env hostfacts.Env) (time.Duration, error) {
	if flag != "" {
		return parseTimeout("--toolchain-timeout", flag)
	}
	for _, name := range timeoutVariables {
		v := env.Get(name)
		if v == "" || v == "0" {
			continue
		}
		if strings.Trim(v, "0123456789") != "" {
			return 0, fmt.Errorf("%s=%q: takes a number of seconds", name, v)
		}
		return parseTimeout(name, v)
	}
	return 0, nil
}

// parseTimeout takes a duration or a number of seconds, of more than nothing.
func parseTimeout(name, v string) (time.Duration, error) {
	text := v
	if strings.Trim(v, "0123456789") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s %q: takes a duration such as 90s or 1h30m, or a number of seconds, above 0", name, v)
	}
	return d, nil
}

// graceVariable is the time between INT, TERM and KILL in milliseconds.
const graceVariable = "AIFO_PROXY_SIGNAL_GRACE_MS"

// parseGrace returns 0 for none. The end of a session waits for that of its
// calls, so the time is bounded.
func parseGrace(v string) (time.Duration, error) {
	if v == "" {
		return 0, nil
	}
	const most = 10_000
	ms, err := strconv.Atoi(v)
	if err != nil || ms < 1 || ms > most {
		return 0, fmt.Errorf("%s=%q: takes a number of milliseconds from 1 to %d", graceVariable, v, most)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func parseFlavor(v string) (slim bool, err error) {
	switch v {
	case "", "full":
		return false, nil
	case "slim":
		return true, nil
	}
	return false, fmt.Errorf("%q is not a flavour; flavours are full, slim", v)
}

var networkRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// checkNetwork refuses names that would take the isolation away: "host" and
// "container:NAME" are somebody else's network namespace.
func checkNetwork(name string) error {
	switch {
	case name == "":
		return nil
	case name == "host", name == "none", !networkRE.MatchString(name):
		return fmt.Errorf("network %q: name a network that Docker keeps apart from the host's, as docker network create makes it", name)
	}
	return nil
}

// checkEmpty refuses flags that were given an empty value: --workspace "$UNSET"
// must not mean the default.
func checkEmpty(fs *pflag.FlagSet) error {
	var err error
	fs.Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" {
			err = fmt.Errorf("--%s has an empty value", f.Name)
		}
	})
	return err
}
