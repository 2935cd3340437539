package broker

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/provider"
)

// GitGrant lets an agent use repositories over HTTPS.
type GitGrant struct {
	Prefix string // "HOST[:PORT]", alone or with the path of a repository or of what is above it
	Push   bool
	// Username and Password are what the server asks for; both empty: nothing.
	Username, Password string
}

// String does not show the password.
func (g GitGrant) String() string {
	if g.Push {
		return g.Prefix + pushSuffix
	}
	return g.Prefix
}

// GoString is String, for %#v.
func (g GitGrant) GoString() string { return g.String() }

// Host returns the host of the repositories, with a port if it has one.
func (g GitGrant) Host() string {
	host, _, _ := strings.Cut(g.Prefix, "/")
	return host
}

// Path returns the path below which the repositories are, without a slash at its ends.
func (g GitGrant) Path() string {
	_, path, _ := strings.Cut(g.Prefix, "/")
	return path
}

const (
	pushSuffix = "=push"
	dotGit     = ".git"
)

var (
	hostRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)
	partRE = regexp.MustCompile(`^[A-Za-z0-9._~+-]+$`)
)

// ParseGit parses "HOST[:PORT][/PATH][=push]". The result has no login yet.
func ParseGit(s string) (GitGrant, error) {
	prefix, push := strings.CutSuffix(s, pushSuffix)
	host, path, _ := strings.Cut(strings.TrimSuffix(prefix, "/"), "/")
	g := GitGrant{Prefix: strings.ToLower(host), Push: push}
	if path != "" {
		g.Prefix += "/" + strings.TrimSuffix(path, dotGit)
	}
	if err := g.check(); err != nil {
		return GitGrant{}, fmt.Errorf("%q: %w; give HOST[/PATH], as in github.com/owner/repository, and =push behind it to let the agent push", s, err)
	}
	return g, nil
}

func (g GitGrant) check() error {
	if !hostRE.MatchString(g.Host()) {
		return errors.New("this does not begin with a host; a scheme is left out")
	}
	if g.Path() == "" {
		return nil
	}
	for part := range strings.SplitSeq(g.Path(), "/") {
		if !partRE.MatchString(part) || part == "." || part == ".." {
			return errors.New("its path cannot be that of a repository")
		}
	}
	return nil
}

// GitConfig returns the settings, NAME=VALUE, by which git asks the broker at base, as in
// "http://127.0.0.1:19128", for what the grants are for, also where a remote is one of SSH.
// Git compares the beginnings of addresses: those of repositories whose names begin like
// that of a grant are asked of the broker too, which refuses them.
func GitConfig(base string, grants []GitGrant) []string {
	var settings []string
	for _, g := range grants {
		path := g.Path()
		if !strings.Contains(path, "/") && path != "" {
			path += "/" // an owner, not those whose names begin alike
		}
		to := strings.TrimSuffix(base, "/") + execproto.GitPath + g.Host() + "/" + path
		for _, from := range remotes(g.Host()) {
			settings = append(settings, "url."+to+".insteadOf="+from+path)
		}
	}
	slices.Sort(settings)
	return slices.Compact(settings)
}

// remotes returns what the addresses of a host's repositories begin with.
func remotes(host string) []string {
	if strings.Contains(host, ":") { // the port is that of HTTPS
		return []string{"https://" + host + "/"}
	}
	return []string{"https://" + host + "/", "git@" + host + ":", "ssh://git@" + host + "/"}
}

// gitRoute is a grant, taken apart.
type gitRoute struct {
	grant   GitGrant
	parts   []string // of the path
	secrets secrets
}

func newGitRoute(g GitGrant) (gitRoute, error) {
	if err := g.check(); err != nil {
		return gitRoute{}, err
	}
	r := gitRoute{grant: g}
	if g.Path() != "" {
		r.parts = strings.Split(g.Path(), "/")
	}
	if g.Password != "" {
		r.secrets = newSecrets(g.Password, base64.StdEncoding.EncodeToString([]byte(g.Username+":"+g.Password)))
	}
	return r, nil
}

// holds reports whether a repository is below the grant's path. Names count as they are
// written, though some hosts take them without regard to case.
func (r gitRoute) holds(host string, repository []string) bool {
	if host != r.grant.Host() || len(repository) < len(r.parts) {
		return false
	}
	return slices.Equal(repository[:len(r.parts)], r.parts)
}

// The services of git's smart HTTP protocol.
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
)

// gitRequest is what a request asks of a git server. Git LFS is not served: its server
// sends clients to other hosts.
type gitRequest struct {
	host       string
	repository []string // parts of its path, the last without ".git"
	service    string
}

// parseGitRequest returns what a request asks for; ok is false for anything but git's
// smart HTTP protocol.
func parseGitRequest(method string, u *url.URL) (q gitRequest, ok bool) {
	parts := strings.Split(strings.TrimPrefix(u.EscapedPath(), execproto.GitPath), "/")
	q.host = parts[0]
	n := len(parts)
	last := parts[n-1]
	switch {
	case n > 3 && method == http.MethodGet && parts[n-2] == "info" && last == "refs":
		q.service, q.repository = strings.TrimPrefix(u.RawQuery, "service="), parts[1:n-2]
		ok = u.RawQuery == "service="+q.service
	case n > 2 && method == http.MethodPost && u.RawQuery == "":
		q.service, q.repository, ok = last, parts[1:n-1], true
	}
	plain := !slices.ContainsFunc(q.repository, func(part string) bool { return !partRE.MatchString(part) })
	if !ok || !plain || q.service != uploadPack && q.service != receivePack {
		return gitRequest{}, false
	}
	end := len(q.repository) - 1
	q.repository = append(slices.Clone(q.repository[:end]), strings.TrimSuffix(q.repository[end], dotGit))
	return q, true
}

func (b *Broker) serveGit(w *writer, r *http.Request, entry *Entry) {
	w.plain = true
	entry.Service = "git"
	q, ok := parseGitRequest(r.Method, r.URL)
	if !ok {
		fail(w, http.StatusForbidden, "only the smart HTTP protocol of git is served")
		return
	}
	to, why := b.gitRoute(q)
	if why != "" {
		fail(w, http.StatusForbidden, "%s", why)
		return
	}
	entry.Host = provider.HostPort(&url.URL{Scheme: "https", Host: q.host})
	b.forward(w, r, route{
		secrets: to.secrets,
		rewrite: func(out *http.Request) {
			out.URL.Scheme, out.URL.Host = "https", q.host
			out.URL.Path = strings.TrimPrefix(out.URL.Path, execproto.GitPath+q.host)
			out.URL.RawPath = "" // the path is one that needs no encoding
			b.clean(out.Header)
			out.Header.Del("Cookie")
			if to.grant.Password != "" {
				out.SetBasicAuth(to.grant.Username, to.grant.Password)
			}
		},
	})
}

// gitRoute returns the grant for a request, the nearest to its repository, or why there
// is none.
func (b *Broker) gitRoute(q gitRequest) (best gitRoute, why string) {
	repository := q.host + "/" + strings.Join(q.repository, "/")
	why = "this session may not use " + repository
	for _, r := range b.git {
		switch {
		case !r.holds(q.host, q.repository):
		case q.service == receivePack && !r.grant.Push:
			if best.grant.Prefix == "" {
				why = "this session may not push to " + repository + "; the user can allow it: --broker-git " + repository + "=push"
			}
		case best.grant.Prefix == "" || len(r.parts) > len(best.parts):
			best, why = r, ""
		}
	}
	return best, why
}
