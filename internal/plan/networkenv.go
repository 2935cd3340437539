package plan

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// Where the host's certificate authorities are seen in a container: all, and
// those that are to be added to the public ones.
const (
	caBundle = "/etc/ssl/certs/aifo-ca-bundle.crt"
	caExtra  = "/etc/ssl/certs/aifo-ca-extra.crt"
)

// caVariables make the usual tools trust the authorities.
var caVariables = []dockerargs.Env{
	{Name: "CARGO_HTTP_CAINFO", Value: caBundle},
	{Name: "CURL_CA_BUNDLE", Value: caBundle},
	{Name: "GIT_SSL_CAINFO", Value: caBundle},
	{Name: "NODE_EXTRA_CA_CERTS", Value: caExtra},
	{Name: "PIP_CERT", Value: caBundle},
	{Name: "REQUESTS_CA_BUNDLE", Value: caBundle},
	{Name: "SSL_CERT_FILE", Value: caBundle},
}

func (b planner) caMount() []dockerargs.Mount {
	if b.f.CABundle.All.Path == "" {
		return nil
	}
	return []dockerargs.Mount{
		dockerargs.BindRO(b.f.CABundle.All.Path, caBundle),
		dockerargs.BindRO(b.f.CABundle.Private.Path, caExtra),
	}
}

func (b planner) caEnv() []dockerargs.Env {
	if b.f.CABundle.All.Path == "" {
		return nil
	}
	return caVariables
}

// proxyVariables name a proxy; noProxy says what is reached without one.
var proxyVariables = []string{"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"}

const noProxy = "NO_PROXY"

// IsProxyVariable reports whether a variable names a proxy, or says what is reached without one.
func IsProxyVariable(name string) bool {
	name = strings.ToUpper(name)
	return name == noProxy || slices.Contains(proxyVariables, name)
}

// registryVariables are the settings of the host that say where packages come
// from. Tokens are not among them. A "*" stands for any characters.
var registryVariables = []string{
	"CARGO_NET_GIT_FETCH_WITH_CLI", "CARGO_REGISTRIES_*_INDEX", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "RUSTUP_DIST_SERVER", "RUSTUP_UPDATE_ROOT",
	"COREPACK_NPM_REGISTRY", "NPM_CONFIG_REGISTRY", "npm_config_registry", "YARN_NPM_REGISTRY_SERVER", "YARN_REGISTRY",
	"GOINSECURE", "GONOPROXY", "GONOSUMDB", "GOPRIVATE", "GOPROXY", "GOSUMDB",
	"PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_INDEX_URL",
}

// networkEnv are the variables that tell a container how to reach the network.
// Their values may hold passwords.
type networkEnv struct {
	proxies, registries map[string]string
	warnings            []string
}

// networkEnv returns what every container of the session gets: the proxies and
// the registries of the host.
func (b planner) networkEnv() networkEnv {
	n := networkEnv{proxies: map[string]string{}, registries: map[string]string{}}
	var unreachable []string
	pass := func(values map[string]string, name, value string) {
		value, ok := b.fromContainer(value)
		switch {
		case value == "":
		case ok:
			values[name] = value
		default:
			unreachable = append(unreachable, name)
		}
	}
	if b.needsNetwork() { // else the host's proxies are used on the host, where they can be reached
		for _, name := range proxyVariables {
			upper, lower := eitherCase(b.f.Env, name)
			pass(n.proxies, name, upper)
			pass(n.proxies, strings.ToLower(name), lower)
		}
	}
	if len(n.proxies) > 0 {
		upper, lower := eitherCase(b.f.Env, noProxy)
		n.proxies[noProxy], n.proxies[strings.ToLower(noProxy)] = b.except(upper), b.except(lower)
	}
	for _, name := range registrySettings(b.f.Env) {
		pass(n.registries, name, b.f.Env[name])
	}
	if len(unreachable) > 0 {
		n.warnings = []string{loopbackWarning(unreachable)}
	}
	return n
}

func loopbackWarning(names []string) string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return name != strings.ToUpper(name) && slices.Contains(names, strings.ToUpper(name))
	})
	return fmt.Sprintf("%s: on the loopback of this machine, which containers do not reach; they go without. "+
		"Have it listen on an address of this machine that they reach, such as the gateway of Docker's bridge, and name that", strings.Join(names, ", "))
}

// eitherCase returns a variable in upper and in lower case; the one that is
// unset is as the other.
func eitherCase(env hostfacts.Env, name string) (upper, lower string) {
	upper, lower = env.Get(name), env.Get(strings.ToLower(name))
	if upper == "" {
		upper = lower
	}
	if lower == "" {
		lower = upper
	}
	return upper, lower
}

// registrySettings returns the names of the registry variables that are set.
func registrySettings(env hostfacts.Env) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if slices.ContainsFunc(registryVariables, func(pattern string) bool { return matches(pattern, name) }) {
			names = append(names, name)
		}
	}
	return names
}

// matches reports whether the name is that of the pattern, which may hold one "*".
func matches(pattern, name string) bool {
	prefix, suffix, many := strings.Cut(pattern, "*")
	if !many {
		return name == pattern
	}
	return len(name) > len(prefix)+len(suffix) && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix)
}

// except returns a list of hosts that are reached without a proxy, with what
// belongs to the session: the host itself and the session's containers.
func (b planner) except(list string) string {
	hosts := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	for _, own := range slices.Concat([]string{"localhost", "127.0.0.1", "::1", b.hostAlias()}, b.containerNames()) {
		if !slices.Contains(hosts, own) {
			hosts = append(hosts, own)
		}
	}
	return strings.Join(hosts, ",")
}

func (b planner) containerNames() []string {
	var names []string
	if b.o.Agent != nil {
		names = append(names, b.agentName())
	}
	for _, s := range b.o.Toolchains {
		names = append(names, b.sidecarName(s.Kind.Name))
	}
	return names
}

var (
	// wordRE finds the parts of a value that may be a list.
	wordRE = regexp.MustCompile(`[^,| ]+`)
	// loopbackRE finds the host in an address, with what stands before and after it.
	loopbackRE = regexp.MustCompile(`(?i)^((?:[a-z][a-z0-9+.-]*://)?(?:[^@/]*@)?)(?:localhost\.?|127(?:\.\d+){1,3}|0\.0\.0\.0|\[::1?\])((?:[:/].*)?)$`)
)

// fromContainer returns a setting as a container can use it. An engine in a
// virtual machine passes what goes to its name for the host on to the host's
// loopback; another host's is out of reach, which is told by false.
func (b planner) fromContainer(value string) (string, bool) {
	there := wordRE.ReplaceAllStringFunc(value, func(word string) string {
		return loopbackRE.ReplaceAllString(word, "${1}"+b.hostAlias()+"${2}")
	})
	return there, there == value || !b.nativeLinux()
}

// secretEnv returns variables that the vector has by name only, in a fixed order.
func secretEnv(values map[string]string) []dockerargs.Env {
	var env []dockerargs.Env
	for _, name := range slices.Sorted(maps.Keys(values)) {
		env = append(env, dockerargs.Env{Name: name, Secret: true})
	}
	return env
}
