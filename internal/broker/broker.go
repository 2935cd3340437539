// Package broker stands between agents and the services that want a credential. An agent
// has a placeholder; the broker is an http.Handler that takes requests with it, sets the
// credential in its place, and sends them to the one host that the credential is for.
// The agent does not get the credential: no response and no error holds it.
package broker

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/provider"
)

// MaxRequests is how many requests a Broker serves at once; more get 429.
const MaxRequests = 256

const (
	connectTimeout = 15 * time.Second
	idleTimeout    = 90 * time.Second
	maxHeader      = 1 << 20 // bytes of a response's header
)

// Config is what a Broker needs.
type Config struct {
	Grants []provider.Grant
	Git    []GitGrant
	// Proxy returns the proxy for an address, or nil for none; nil: there is none.
	Proxy func(*url.URL) (*url.URL, error)
	// RootCAs are the authorities that certificates are checked with; nil: the host's.
	RootCAs *x509.CertPool
	// Record, when set, is told of each request when it has ended; it may be called by
	// several goroutines at once.
	Record func(Entry)
}

// Entry is one request, for a record of what an agent did.
type Entry struct {
	Service string // the provider, "git", or "" when it was for nobody
	Method  string
	Host    string // HOST:PORT that it was sent to; empty: it was refused
	Path    string // that was asked for, without the query
	Status  int    // 0: the client was gone before there was one
}

// Broker serves the paths below execproto.BrokerPath and execproto.GitPath.
type Broker struct {
	models    map[string]*model // by provider
	git       []gitRoute
	transport *http.Transport
	record    func(Entry)
	slots     chan struct{} // one for each request that is served
}

// New returns a Broker with placeholders of its own. It returns an error for grants that
// provider.Plan or ParseGit would not have made.
func New(c Config) (*Broker, error) {
	b := &Broker{
		models: map[string]*model{}, transport: transport(c), record: c.Record,
		slots: make(chan struct{}, MaxRequests),
	}
	for _, g := range c.Grants {
		m, err := newModel(g)
		if err != nil {
			return nil, fmt.Errorf("broker for %s: %w", g.Provider, err)
		}
		b.models[g.Provider] = m
	}
	for _, g := range c.Git {
		r, err := newGitRoute(g)
		if err != nil {
			return nil, fmt.Errorf("broker for git: %w", err)
		}
		b.git = append(b.git, r)
	}
	return b, nil
}

func transport(c Config) *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout: connectTimeout,
		IdleConnTimeout:     idleTimeout,
		ForceAttemptHTTP2:   true,
		// Compressed, a key could not be seen in a response.
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		// No time limit for the response: models think for many minutes, and an agent that
		// does not want to wait ends the request.
	}
	if c.Proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) { return c.Proxy(r.URL) }
	}
	t.TLSClientConfig = tlsConfig(c.RootCAs)
	return t
}

// Placeholders returns the placeholder of each provider.
func (b *Broker) Placeholders() map[string]string {
	list := map[string]string{}
	for name, m := range b.models {
		list[name] = m.placeholder
	}
	return list
}

// Close ends the connections that are idle.
func (b *Broker) Close() { b.transport.CloseIdleConnections() }

// newPlaceholder returns a word like a key: 160 random bits behind the prefix.
func newPlaceholder(prefix string) string {
	var bits [20]byte
	_, _ = rand.Read(bits[:]) // never fails
	return prefix + "aifo-broker-" + hex.EncodeToString(bits[:])
}

func digest(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }

// ServeHTTP implements http.Handler.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &writer{ResponseWriter: w}
	entry := Entry{Method: r.Method, Path: r.URL.Path}
	if b.record != nil {
		defer func() { // also when the body could not be copied, which ends in a panic
			entry.Status = out.status
			b.record(entry)
		}()
	}
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	default:
		fail(out, http.StatusTooManyRequests, "more than %d requests at once", MaxRequests)
		return
	}
	b.serve(out, r, &entry)
}

// serve decides where a request goes, and sends it there.
func (b *Broker) serve(w *writer, r *http.Request, entry *Entry) {
	path := r.URL.EscapedPath()
	switch {
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace: // TRACE shows the key
		fail(w, http.StatusMethodNotAllowed, "the method %s is not served", r.Method)
	case r.URL.IsAbs() || r.URL.Host != "":
		fail(w, http.StatusBadRequest, "the request is one for a proxy")
	case !plainPath(path):
		fail(w, http.StatusBadRequest, "the path has dots, empty parts, parameters or encoded separators")
	case strings.HasPrefix(path, execproto.BrokerPath):
		b.serveModel(w, r, entry)
	case strings.HasPrefix(path, execproto.GitPath):
		b.serveGit(w, r, entry)
	default:
		fail(w, http.StatusNotFound, "nothing is served at this path")
	}
}

// plainPath reports whether an escaped path means the same to all who read it: no part is
// empty, but for the last, or dots, none has parameters (";"), which some servers take off,
// and nothing is encoded that takes a path apart.
func plainPath(escaped string) bool {
	parts := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	for i, part := range parts {
		if part == "." || part == ".." || part == "" && i != len(parts)-1 {
			return false
		}
	}
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' {
			decoded, err := hex.DecodeString(escaped[min(i+1, len(escaped)):min(i+3, len(escaped))])
			if err != nil || len(decoded) != 1 || strings.IndexByte(`/\.%?#`, decoded[0]) >= 0 {
				return false
			}
			c = decoded[0]
		}
		if c < ' ' || c == 0x7f || c == '\\' || c == ';' {
			return false
		}
	}
	return true
}

// discard is for the reverse proxy, whose messages may hold what was sent.
var discard = log.New(io.Discard, "", 0)
