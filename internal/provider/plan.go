package provider

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Request is what Plan decides from.
type Request struct {
	Credentials []string            // the variables that the agent takes
	Get         func(string) string // a variable of the host, "" when it is unset
	Stored      map[string]string   // keys that the host keeps elsewhere, by provider
	Base        string              // where the agent finds the broker, as in "http://127.0.0.1:19128"
}

// Result is what the agent gets in place of keys, and what the broker needs for that.
type Result struct {
	// Env are the variables with addresses and other values that are no secret.
	Env map[string]string
	// Placeholders maps a variable to the provider whose placeholder it gets.
	Placeholders map[string]string
	Grants       []Grant
	Warnings     []string // what the user should know, a line each
}

// Grant lets an agent use one provider.
type Grant struct {
	Provider string
	Upstream string   // base URL, below which all requests go
	Key      string   // empty: the upstream wants none
	Source   string   // the variable that the key comes from, SourceStored, or "" without a key
	Places   []Place  // where a request carries the placeholder, and the key in its place
	Version  string   // first part of a path, added where it is missing; empty: never
	Minting  []string // paths that are refused, for they hand out credentials
	Prefix   string   // of the placeholder
}

// SourceStored is the source of a key that is in no variable.
const SourceStored = "stored"

// String does not show the key, so that none is printed by mistake.
func (g Grant) String() string { return g.Provider + " at " + g.Upstream }

// GoString is String, for %#v.
func (g Grant) GoString() string { return g.String() }

// VariableError says that a variable, or a stored key, cannot be used. It never holds
// the value.
type VariableError struct {
	Name string // of the variable, or of the provider whose stored key it is
	Err  error
}

func (e *VariableError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *VariableError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *VariableError) Hint() string {
	return "correct or unset it; an address is http:// or https:// with a host and perhaps a path, a key one word"
}

// CheckKey returns an error unless key could be one: printable characters of ASCII
// without spaces. Others cannot stand in a header.
func CheckKey(key string) error {
	if key == "" {
		return errors.New("the key is empty")
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the key has a space, a line end or another character that no key has")
	}
	return nil
}

// Plan decides what an agent gets. It returns a *VariableError when the host has an
// address or a key that cannot be used.
func Plan(r Request) (Result, error) {
	p := planner{Request: r, result: Result{Env: map[string]string{}, Placeholders: map[string]string{}}}
	for _, v := range table {
		if err := p.add(v); err != nil {
			return Result{}, err
		}
	}
	p.addGeneric()
	p.addPlain()
	p.warnLeftOut()
	return p.result, nil
}

// Upstreams returns the hosts that the broker talks to for the grants, as "host:port".
func Upstreams(grants []Grant) []string {
	var hosts []string
	for _, g := range grants {
		u, err := url.Parse(g.Upstream)
		if err != nil {
			continue // Plan returns none like that
		}
		hosts = append(hosts, HostPort(u))
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// HostPort returns the host and the port of an http or https address.
func HostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return u.Host + map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
}

type planner struct {
	Request
	result Result
}

// takes reports whether the agent takes a variable.
func (p *planner) takes(name string) bool { return slices.Contains(p.Credentials, name) }

// first returns the first of the variables that is set on the host, or that another
// stands for, with its value.
func (p *planner) first(names []string) (name, value string) {
	for _, n := range names {
		if v := p.Get(n); v != "" && p.takes(n) {
			return n, v
		}
	}
	for _, n := range names {
		g := generic[n]
		if g == "" || !p.takes(n) {
			continue
		}
		if v := p.Get(g); v != "" {
			return g, v
		}
	}
	return "", ""
}

// add grants a provider, when the agent takes its key and the host has one, or has an
// address at which none may be needed.
func (p *planner) add(v Provider) error {
	if !slices.ContainsFunc(slices.Concat(v.Keys, v.Tokens), p.takes) {
		return nil
	}
	source, key := p.first(slices.Concat(v.Keys, v.Tokens))
	if key == "" && p.Stored[v.Name] != "" {
		source, key = SourceStored, p.Stored[v.Name]
	}
	base, address, err := p.address(v)
	if err != nil {
		return err
	}
	if key == "" && address == "" {
		return nil
	}
	if key != "" {
		if err := CheckKey(key); err != nil {
			return &VariableError{Name: cmp.Or(variable(source), v.Name), Err: err}
		}
	}
	v = p.model(v, address)
	if address = cmp.Or(address, v.Upstream); address == "" {
		if source != genericKey {
			p.warn("the key of %s is left out: its address is not known, set %s", v.Name, v.Bases[0])
		}
		return nil
	}
	upstream, suffix, err := split(address)
	if err != nil {
		return &VariableError{Name: base, Err: err}
	}
	p.result.Grants = append(p.result.Grants, Grant{
		Provider: v.Name, Upstream: upstream, Key: key, Source: source,
		Places: v.Places, Version: v.Version, Minting: v.Minting, Prefix: v.Prefix,
	})
	p.lead(v, suffix, source)
	return nil
}

// variable returns the variable of a source, or "".
func variable(source string) string {
	if source == SourceStored {
		return ""
	}
	return source
}

// address returns the address that the host has for a provider, and the variable.
func (p *planner) address(v Provider) (name, address string, err error) {
	name, address = p.first(v.Bases)
	if address != "" || v.Name != "azure" || !p.takes(azureResource) {
		return name, address, nil
	}
	resource := p.Get(azureResource)
	switch {
	case resource == "":
		return "", "", nil
	case !resourceRE.MatchString(resource):
		return "", "", &VariableError{Name: azureResource, Err: errors.New("this is not the name of a resource")}
	}
	return azureResource, "https://" + resource + ".openai.azure.com", nil
}

var resourceRE = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// azureResource names the first part of an address at Azure. The agent does not get it:
// it would go there directly.
const azureResource = "AZURE_RESOURCE_NAME"

// model completes the provider whose address follows from the model.
func (p *planner) model(v Provider, address string) Provider {
	if v.Name != LLM {
		return v
	}
	of, _, ok := strings.Cut(p.Get("LLM_MODEL"), "/")
	if !ok {
		of = "openai" // litellm's names without a provider are mostly OpenAI's
	}
	known, ok := Lookup(of)
	if !ok {
		return v
	}
	v.Version, v.Minting = known.Version, known.Minting
	if address == "" {
		v.Upstream = known.Upstream
	}
	return v
}

// lead sets the variables that lead the agent to the broker.
func (p *planner) lead(v Provider, suffix, source string) {
	if v.Version != "" {
		suffix = "" // the broker adds it; some libraries would have it twice
	}
	for _, name := range slices.Concat(v.Bases, v.Written) {
		p.result.Env[name] = p.broker(v.Name) + suffix
	}
	keys := v.Keys
	if slices.Contains(v.Tokens, source) {
		keys = []string{source} // libraries refuse both at once
	}
	for _, name := range keys {
		if p.takes(name) {
			p.result.Placeholders[name] = v.Name
		}
	}
}

func (p *planner) broker(name string) string {
	return strings.TrimSuffix(p.Base, "/") + execproto.BrokerPath + name
}

// addGeneric sets the variables that stand for others as those are set, for
// configurations that name them.
func (p *planner) addGeneric() {
	for _, g := range p.result.Grants {
		if g.Source != genericKey || !p.takes(genericKey) || p.result.Placeholders[genericKey] != "" {
			continue
		}
		v, _ := Lookup(g.Provider)
		p.result.Placeholders[genericKey] = g.Provider
		p.result.Env[genericBase] = p.result.Env[v.Bases[0]]
	}
}

// addPlain passes what is no secret.
func (p *planner) addPlain() {
	for _, name := range slices.Concat(p.plain(), []string{genericVersion}) {
		if !p.takes(name) {
			continue
		}
		if v := cmp.Or(p.Get(name), p.Get(generic[name])); v != "" {
			p.result.Env[name] = v
		}
	}
}

func (p *planner) plain() []string {
	var names []string
	for _, v := range table {
		names = append(names, v.Plain...)
	}
	return names
}

// warnLeftOut tells of the variables that are set and that the agent gets nothing for.
func (p *planner) warnLeftOut() {
	for _, name := range slices.Sorted(slices.Values(p.Credentials)) {
		if p.Get(name) == "" || p.result.Env[name] != "" || p.result.Placeholders[name] != "" || name == azureResource {
			continue
		}
		p.warn("%s is left out: the credential broker cannot stand for it", name)
	}
	for _, g := range p.result.Grants {
		p.warnOther(g)
	}
}

// warnOther tells of a second key of one provider, which is not used.
func (p *planner) warnOther(g Grant) {
	v, _ := Lookup(g.Provider)
	for _, name := range v.Keys {
		if other := p.Get(name); other != "" && other != g.Key && p.takes(name) {
			p.warn("%s is not used: the key of %s is that of %s", name, g.Provider, g.Source)
		}
	}
}

func (p *planner) warn(format string, args ...any) {
	p.result.Warnings = append(p.result.Warnings, fmt.Sprintf(format, args...))
}

// split takes an address apart: the base of all paths, and the "/v1" that libraries
// want at the end of their address, if it is there.
func split(address string) (upstream, suffix string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", "", errors.New("this is not a URL") // the error of Parse holds the value
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "", errors.New("its scheme is neither http nor https")
	case u.Hostname() == "" || u.Opaque != "":
		return "", "", errors.New("it names no host")
	case u.User != nil:
		return "", "", errors.New("it holds a name or a password; set the key's variable instead")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", "", errors.New("it has a query or a fragment")
	case u.RawPath != "" || strings.Contains(u.Path+"/", "/../") || strings.Contains(u.Path+"/", "/./"):
		return "", "", errors.New("its path has dots or encoded characters")
	}
	path, cut := strings.CutSuffix(strings.TrimRight(u.Path, "/"), "/v1")
	if cut {
		suffix = "/v1"
	}
	return (&url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: path}).String(), suffix, nil
}

// Secrets returns the keys of the grants, each once.
func Secrets(grants []Grant) []string {
	set := map[string]bool{}
	for _, g := range grants {
		if g.Key != "" {
			set[g.Key] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}
