package broker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/provider"
)

// model is a provider's way out.
type model struct {
	grant       provider.Grant
	upstream    *url.URL
	placeholder string
	digest      [sha256.Size]byte // of the placeholder
	secrets     secrets
}

func newModel(g provider.Grant) (*model, error) {
	u, err := url.Parse(g.Upstream)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the address of its upstream cannot be used")
	}
	if g.Key != "" {
		if err := provider.CheckKey(g.Key); err != nil {
			return nil, err
		}
	}
	p := newPlaceholder(g.Prefix)
	return &model{grant: g, upstream: u, placeholder: p, digest: digest(p), secrets: newSecrets(g.Key)}, nil
}

func (b *Broker) serveModel(w *writer, r *http.Request, entry *Entry) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), execproto.BrokerPath), "/")
	m := b.models[name]
	if m == nil {
		fail(w, http.StatusNotFound, "this session has no key of the provider %q", name)
		return
	}
	entry.Service = name
	if u := r.Header.Get("Upgrade"); u != "" && !strings.EqualFold(u, "websocket") {
		fail(w, http.StatusBadRequest, "the connection can be upgraded to a WebSocket only")
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // what upstream makes of it is not known
		fail(w, http.StatusBadRequest, "the query cannot be read")
		return
	}
	place, ok := b.authorize(m, r.Header, query)
	if !ok {
		fail(w, http.StatusUnauthorized, "the request does not carry the placeholder that this session has for %s", name)
		return
	}
	target, err := m.target(rest)
	if err != nil {
		fail(w, http.StatusBadRequest, "the path cannot be used")
		return
	}
	if m.mints(target.Path) {
		fail(w, http.StatusForbidden, "this path hands out credentials, which an agent does not get")
		return
	}
	entry.Host = provider.HostPort(m.upstream)
	b.forward(w, r, route{
		secrets: m.secrets,
		rewrite: func(out *http.Request) {
			target.RawQuery = b.query(r.URL.RawQuery, query)
			out.URL = target
			b.clean(out.Header)
			setKey(out, place, m.grant.Key)
		},
	})
}

// authorize returns the place in which the request carries the provider's placeholder,
// the one that its upstream likes best. Whoever shows that of another provider is refused: a key
// must not be used where the agent does not mean it.
func (b *Broker) authorize(m *model, h http.Header, query url.Values) (provider.Place, bool) {
	places := slices.Clone(m.grant.Places)
	for _, p := range provider.Places() {
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	found := -1
	for i, p := range places {
		for _, word := range words(p, h, query) {
			switch owner := b.owner(word); {
			case owner == m && i < len(m.grant.Places) && found < 0:
				found = i
			case owner != nil && owner != m:
				return provider.Place{}, false
			}
		}
	}
	if found < 0 {
		return provider.Place{}, false
	}
	return places[found], true
}

// owner returns whose placeholder a word is, or nil. All are compared, in constant time.
func (b *Broker) owner(word string) *model {
	var owner *model
	got := digest(word)
	for _, m := range b.models {
		if subtle.ConstantTimeCompare(got[:], m.digest[:]) == 1 {
			owner = m
		}
	}
	return owner
}

// words returns what stands in a place.
func words(p provider.Place, h http.Header, query url.Values) []string {
	if p.Header == "" {
		return query[p.Query]
	}
	if p.Scheme == "" {
		return h.Values(p.Header)
	}
	var list []string
	for _, v := range h.Values(p.Header) {
		if scheme, word, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, p.Scheme) {
			list = append(list, strings.TrimSpace(word))
		}
	}
	return list
}

var versionRE = regexp.MustCompile(`^v[0-9]`)

// target returns the address of an escaped path below the upstream.
func (m *model) target(rest string) (*url.URL, error) {
	parts := strings.SplitN(rest, "/", 3)
	versioned := slices.ContainsFunc(parts[:min(2, len(parts))], versionRE.MatchString) // uploads have it second
	if m.grant.Version != "" && !versioned {
		rest = m.grant.Version + "/" + rest
	}
	escaped := m.upstream.EscapedPath() + "/" + rest
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: m.upstream.Scheme, Host: m.upstream.Host, Path: path, RawPath: escaped}, nil
}

// mints reports whether a path leads to what hands out credentials. Where in the path that
// stands is not asked: an upstream may have any base. Spaces and dots at the end of a part,
// which some servers pass over, make no difference.
func (m *model) mints(path string) bool {
	parts := strings.Split(strings.ToLower(path), "/")
	for i, part := range parts {
		parts[i] = strings.TrimRight(part, " .")
	}
	path = strings.Join(parts, "/") + "/"
	return slices.ContainsFunc(m.grant.Minting, func(p string) bool { return strings.Contains(path, "/"+p+"/") })
}

// query returns the query without keys, as it was if it has none.
func (b *Broker) query(raw string, parsed url.Values) string {
	dropped := false
	for name, values := range parsed {
		if name == provider.QueryKey.Query || b.holdsPlaceholder(name) || slices.ContainsFunc(values, b.holdsPlaceholder) {
			parsed.Del(name)
			dropped = true
		}
	}
	if !dropped {
		return raw
	}
	return parsed.Encode()
}

// clean removes what names a credential, a placeholder or another address.
func (b *Broker) clean(h http.Header) {
	cleanHeader(h)
	for name, values := range h {
		if slices.ContainsFunc(values, b.holdsPlaceholder) {
			delete(h, name)
		}
	}
}

func (b *Broker) holdsPlaceholder(s string) bool {
	for _, m := range b.models {
		if strings.Contains(s, m.placeholder) {
			return true
		}
	}
	return false
}

// cleanHeader removes the headers that must not be the agent's.
func cleanHeader(h http.Header) {
	for _, p := range provider.Places() {
		if p.Header != "" {
			h.Del(p.Header)
		}
	}
	for name := range h {
		for _, prefix := range []string{"Proxy-", "X-Forwarded-", "X-Original-", "X-Rewrite-"} {
			if strings.HasPrefix(name, prefix) {
				delete(h, name)
			}
		}
	}
	// In parts, or compressed, a credential would not be seen in a response.
	h.Del("Range")
	h.Del("If-Range")
	h.Del("Sec-WebSocket-Extensions")
	h.Set("Accept-Encoding", "identity")
}

// setKey puts the key where the placeholder was.
func setKey(out *http.Request, p provider.Place, key string) {
	switch {
	case key == "":
	case p.Header == "":
		query := out.URL.Query()
		query.Set(p.Query, key)
		out.URL.RawQuery = query.Encode()
	case p.Scheme != "":
		out.Header.Set(p.Header, p.Scheme+" "+key)
	default:
		out.Header.Set(p.Header, key)
	}
}

// route is how one request leaves.
type route struct {
	secrets secrets
	rewrite func(out *http.Request) // sets the address and the credential
}

// forward sends a request to where the route leads, and answers with what comes back.
// Redirects come back too: following one could carry the credential elsewhere.
func (b *Broker) forward(w *writer, r *http.Request, to route) {
	w.secrets = to.secrets
	proxy := &httputil.ReverseProxy{
		Transport:     b.transport,
		FlushInterval: -1, // the words of a model pass as they come
		ErrorLog:      discard,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.Host = "" // that of the address
			p.Out.Trailer = nil
			to.rewrite(p.Out)
		},
		ModifyResponse: func(response *http.Response) error {
			w.status = response.StatusCode // of an upgrade, too, for which the connection is taken over
			return scrub(response, to.secrets)
		},
		ErrorHandler: func(_ http.ResponseWriter, out *http.Request, err error) {
			if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return // nobody is there to be told
			}
			fail(w, http.StatusBadGateway, "%s %s", out.URL.Host, reason(err))
		},
	}
	proxy.ServeHTTP(w, r)
}
