package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/broker"
	"github.com/aifo-coder/aifo-coder/internal/provider"
)

const (
	realKey  = "sk-real-0123456789abcdef"
	otherKey = "sk-other-0123456789abcdef"
)

// upstream is a provider's server, which keeps what it was asked.
type upstream struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

// serve starts an upstream with TLS. Without a handler it answers with the path.
func serve(t *testing.T, handler http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.requests = append(u.requests, r)
		u.mu.Unlock()
		if handler != nil {
			handler(w, r)
			return
		}
		_, _ = io.WriteString(w, r.URL.String())
	}))
	u.EnableHTTP2 = true
	u.StartTLS()
	t.Cleanup(u.Close)
	return u
}

// got returns the requests so far.
func (u *upstream) got() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests
}

// session is a broker that serves on a socket, and what its agent knows.
type session struct {
	t      *testing.T
	broker *broker.Broker
	url    string
	keys   map[string]string // placeholders

	entries chan broker.Entry
	seen    []broker.Entry
}

// start has a broker serve the grants, that trusts the servers.
func start(t *testing.T, c broker.Config, servers ...*upstream) *session {
	t.Helper()
	s := &session{t: t, entries: make(chan broker.Entry, 2*broker.MaxRequests)}
	c.RootCAs = x509.NewCertPool()
	for _, u := range servers {
		c.RootCAs.AddCert(u.Certificate())
	}
	c.Record = func(e broker.Entry) { s.entries <- e }
	b, err := broker.New(c)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	s.broker, s.url, s.keys = b, server.URL, b.Placeholders()
	return s
}

// recorded waits for the record of n requests, which are told of after their responses.
func (s *session) recorded(n int) []broker.Entry {
	s.t.Helper()
	for range n {
		s.seen = append(s.seen, <-s.entries)
	}
	return s.seen
}

// openai is the grant of the usual provider at an upstream.
func openai(u *upstream) provider.Grant {
	p, _ := provider.Lookup("openai")
	return provider.Grant{Provider: "openai", Upstream: u.URL, Key: realKey, Source: "OPENAI_API_KEY", Places: p.Places, Prefix: p.Prefix, Minting: p.Minting}
}

// grantOf is the grant of any provider.
func grantOf(name string, u *upstream, path, key string) provider.Grant {
	p, _ := provider.Lookup(name)
	return provider.Grant{Provider: name, Upstream: u.URL + path, Key: key, Places: p.Places, Prefix: p.Prefix, Version: p.Version, Minting: p.Minting}
}

// reply is a response with its body.
type reply struct {
	*http.Response
	body string
}

// do sends a request and returns the response. Redirects are not followed.
func (s *session) do(method, path string, header map[string]string, body io.Reader) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	require.NoError(s.t, err)
	for name, v := range header {
		r.Header.Set(name, v)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	for name, values := range response.Header {
		require.NotContains(s.t, strings.Join(values, " "), realKey, name)
	}
	require.NotContains(s.t, string(data), realKey)
	return reply{response, string(data)}
}

// get is do with the usual provider's placeholder.
func (s *session) get(path string) reply {
	s.t.Helper()
	return s.do(http.MethodGet, path, map[string]string{"Authorization": "Bearer " + s.keys["openai"]}, nil)
}

// message returns what the error in a response says, as OpenAI's libraries read it.
func (r reply) message(t *testing.T) string {
	t.Helper()
	var body struct {
		Type  string
		Error struct{ Message, Type string }
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &body), r.body)
	require.Equal(t, "error", body.Type)
	require.NotEmpty(t, body.Error.Type)
	require.True(t, strings.HasPrefix(body.Error.Message, "aifo-coder broker: "), body.Error.Message)
	return body.Error.Message
}

func TestKeyReplacesPlaceholder(t *testing.T) {
	u := serve(t, nil)
	s := start(t, broker.Config{Grants: []provider.Grant{
		openai(u), grantOf("anthropic", u, "/ant", realKey), grantOf("gemini", u, "", realKey), grantOf("azure", u, "", realKey),
	}}, u)
	for _, test := range []struct {
		provider, path, header, scheme string
		wantPath                       string
	}{
		{"openai", "/v1/models?limit=2", "Authorization", "Bearer ", "/v1/models?limit=2"},
		{"openai", "/v1/models", "Authorization", "bearer ", "/v1/models"},
		{"openai", "/openai/deployments/x/chat/completions?api-version=1", "Api-Key", "", "/openai/deployments/x/chat/completions?api-version=1"},
		{"anthropic", "/v1/messages", "X-Api-Key", "", "/ant/v1/messages"},
		{"anthropic", "/messages", "X-Api-Key", "", "/ant/v1/messages"},
		{"anthropic", "/v1/messages", "Authorization", "Bearer ", "/ant/v1/messages"},
		{"gemini", "/v1beta/models/g:streamGenerateContent?alt=sse", "X-Goog-Api-Key", "", "/v1beta/models/g:streamGenerateContent?alt=sse"},
		{"gemini", "/models/g:generateContent", "X-Goog-Api-Key", "", "/v1beta/models/g:generateContent"},
		{"gemini", "/upload/v1beta/files", "X-Goog-Api-Key", "", "/upload/v1beta/files"},
		{"azure", "/openai/v1/responses", "Api-Key", "", "/openai/v1/responses"},
	} {
		r := s.do(http.MethodPost, "/broker/"+test.provider+test.path, map[string]string{test.header: test.scheme + s.keys[test.provider]}, strings.NewReader("{}"))
		require.Equal(t, http.StatusOK, r.StatusCode, r.body)
		got := u.got()[len(u.got())-1]
		require.Equal(t, test.wantPath, got.URL.String())
		require.Equal(t, strings.TrimPrefix(u.URL, "https://"), got.Host)
		if test.scheme == "" {
			require.Equal(t, []string{realKey}, got.Header.Values(test.header))
		} else {
			require.Equal(t, []string{"Bearer " + realKey}, got.Header.Values(test.header))
		}
	}
	require.Equal(t, broker.Entry{Service: "openai", Method: "POST", Host: strings.TrimPrefix(u.URL, "https://"), Path: "/broker/openai/v1/models", Status: 200}, s.recorded(1)[0])
}

func TestQueryKey(t *testing.T) {
	u := serve(t, nil)
	s := start(t, broker.Config{Grants: []provider.Grant{grantOf("gemini", u, "", realKey)}}, u)
	r := s.do(http.MethodGet, "/broker/gemini/v1beta/models?key="+s.keys["gemini"]+"&pageSize=3", nil, nil)
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, url.Values{"key": {realKey}, "pageSize": {"3"}}, u.got()[0].URL.Query())
	require.Contains(t, r.body, strings.Repeat("*", len(realKey)), "the upstream repeats the query")
}

// TestOtherCredentialsAreRemoved: what the agent puts elsewhere does not get out.
func TestOtherCredentialsAreRemoved(t *testing.T) {
	u := serve(t, nil)
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u), grantOf("gemini", u, "", otherKey)}}, u)
	mine := s.keys["openai"]
	r := s.do(http.MethodGet, "/broker/openai/v1/models?key=mine&a=1&token="+mine, map[string]string{
		"Authorization": "Bearer " + mine, "X-Api-Key": "mine", "Api-Key": mine, "X-Goog-Api-Key": "mine",
		"X-Echo": "see " + mine, "Proxy-Authorization": "Basic x", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example",
		"X-Forwarded-For": "1.2.3.4", "X-Original-Url": "/admin", "Range": "bytes=0-3", "Accept-Encoding": "gzip", "X-Kept": "yes",
	}, nil)
	require.Equal(t, http.StatusOK, r.StatusCode, r.body)
	got := u.got()[0]
	require.Equal(t, "a=1", got.URL.RawQuery)
	require.Equal(t, []string{"Bearer " + realKey}, got.Header.Values("Authorization"))
	require.Equal(t, "identity", got.Header.Get("Accept-Encoding"))
	require.Equal(t, "yes", got.Header.Get("X-Kept"))
	for _, name := range []string{"X-Api-Key", "Api-Key", "X-Goog-Api-Key", "X-Echo", "Proxy-Authorization", "X-Forwarded-Host", "Forwarded", "X-Forwarded-For", "X-Original-Url", "Range"} {
		require.Empty(t, got.Header.Values(name), name)
	}
}

func TestRefusesWithoutPlaceholder(t *testing.T) {
	u := serve(t, nil)
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u), grantOf("gemini", u, "", otherKey)}}, u)
	mine, other := s.keys["openai"], s.keys["gemini"]
	for name, header := range map[string]map[string]string{
		"nothing":               nil,
		"the key itself":        {"Authorization": "Bearer " + realKey},
		"another provider's":    {"Authorization": "Bearer " + other},
		"both":                  {"Authorization": "Bearer " + mine, "X-Goog-Api-Key": other},
		"a part":                {"Authorization": "Bearer " + mine[:len(mine)-1]},
		"a place of another":    {"X-Goog-Api-Key": mine},
		"another scheme":        {"Authorization": "Basic " + mine},
		"no scheme":             {"Authorization": mine},
		"empty":                 {"Authorization": "Bearer "},
		"prefix of placeholder": {"Authorization": "Bearer sk-aifo-broker-"},
	} {
		r := s.do(http.MethodGet, "/broker/openai/v1/models", header, nil)
		require.Equal(t, http.StatusUnauthorized, r.StatusCode, name)
		require.Contains(t, r.message(t), "openai")
	}
	require.Empty(t, u.got())
	for _, e := range s.recorded(10) {
		require.Empty(t, e.Host)
		require.Equal(t, http.StatusUnauthorized, e.Status)
	}
}

// TestMinting: an API's ways to further credentials are closed.
func TestMinting(t *testing.T) {
	u := serve(t, nil)
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u), grantOf("gemini", u, "", otherKey)}}, u)
	for _, path := range []string{
		"/v1/realtime/client_secrets", "/v1/realtime/Sessions/", "/v1/%72ealtime/client_secrets", "/v1/organization/admin_api_keys", "/realtime/sessions?x=y",
	} {
		require.Equal(t, http.StatusForbidden, s.get("/broker/openai"+path).StatusCode, path)
	}
	for _, path := range []string{ // which some servers take for the same
		"/v1/realtime/sessions%20", "/v1/realtime%20/sessions.", "/v1/realtime/sessions;x", "/v1/realtime/sessions%3bx", "/v1/realtime/sessions%3Fx", "/v1/realtime/sessions%23x",
	} {
		require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest}, s.get("/broker/openai"+path).StatusCode, path)
	}
	for _, path := range []string{"/v1alpha/auth_tokens", "/auth_tokens"} {
		r := s.do(http.MethodPost, "/broker/gemini"+path, map[string]string{"X-Goog-Api-Key": s.keys["gemini"]}, nil)
		require.Equal(t, http.StatusForbidden, r.StatusCode, path)
	}
	require.Empty(t, u.got())
	require.Equal(t, http.StatusOK, s.get("/broker/openai/v1/realtime").StatusCode)
}

// TestUnknown: only what was granted is served.
func TestUnknown(t *testing.T) {
	u := serve(t, nil)
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, u)
	for path, status := range map[string]int{
		"/broker/anthropic/v1/messages": http.StatusNotFound,
		"/broker/":                      http.StatusNotFound,
		"/broker":                       http.StatusNotFound,
		"/":                             http.StatusNotFound,
		"/v1/models":                    http.StatusNotFound,
	} {
		r := s.get(path)
		require.Equal(t, status, r.StatusCode, path)
		r.message(t)
	}
	require.Empty(t, u.got())
}

// raw sends bytes as they are, and returns the status.
func (s *session) raw(request string) int {
	s.t.Helper()
	u, err := url.Parse(s.url)
	require.NoError(s.t, err)
	var d net.Dialer
	conn, err := d.DialContext(s.t.Context(), "tcp", u.Host)
	require.NoError(s.t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	require.NoError(s.t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(s.t, err)
	defer response.Body.Close()
	return response.StatusCode
}

// TestHostAndPathAreFixed tries to get the key elsewhere.
func TestHostAndPathAreFixed(t *testing.T) {
	u := serve(t, nil)
	evil := serve(t, nil)
	g := openai(u)
	g.Upstream += "/base"
	s := start(t, broker.Config{Grants: []provider.Grant{g}}, u, evil)
	evilHost := strings.TrimPrefix(evil.URL, "https://")
	header := "Authorization: Bearer " + s.keys["openai"] + "\r\nConnection: close\r\n\r\n"
	for _, line := range []string{
		"GET /broker/openai/../../x HTTP/1.1", "GET /broker/openai/.. HTTP/1.1", "GET /broker/openai/./x HTTP/1.1",
		"GET /broker/openai//" + evilHost + "/x HTTP/1.1", "GET //" + evilHost + "/broker/openai/x HTTP/1.1",
		"GET /broker/openai/%2e%2e/x HTTP/1.1", "GET /broker/openai/..%2fx HTTP/1.1", "GET /broker/openai/a%2Fb HTTP/1.1",
		"GET /broker/openai/%5c..%5cx HTTP/1.1", "GET /broker/openai/..\\x HTTP/1.1", "GET /broker/openai/%252e%252e/x HTTP/1.1",
		"GET /broker/openai/a%00b HTTP/1.1", "GET /broker/openai/a%0d%0ab HTTP/1.1", "GET /%2e%2e/broker/openai/x HTTP/1.1",
		"GET http://" + evilHost + "/broker/openai/x HTTP/1.1", "GET https://" + evilHost + "/broker/openai/x HTTP/1.1",
		"CONNECT " + evilHost + " HTTP/1.1", "TRACE /broker/openai/v1/x HTTP/1.1", "GET /broker/openai/x?a=%zz HTTP/1.1", "GET /broker/openai/x?a;b HTTP/1.1",
	} {
		status := s.raw(line + "\r\nHost: 127.0.0.1\r\n" + header)
		require.GreaterOrEqual(t, status, 400, line)
		require.Less(t, status, 500, line)
	}
	require.Empty(t, u.got())
	for _, request := range []string{
		"GET /broker/openai/x HTTP/1.1\r\nHost: " + evilHost + "\r\n",
		"GET /broker/openai/x HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Host: " + evilHost + "\r\n",
		"GET /broker/openai/@" + evilHost + " HTTP/1.1\r\nHost: 127.0.0.1\r\n",
		"GET /broker/openai/x%3a%40" + " HTTP/1.1\r\nHost: 127.0.0.1\r\n",
		"GET /broker/openai/ HTTP/1.1\r\nHost: 127.0.0.1\r\n",
		"GET /broker/openai HTTP/1.1\r\nHost: 127.0.0.1\r\n",
	} {
		require.Equal(t, http.StatusOK, s.raw(request+header), request)
	}
	for _, r := range u.got() {
		require.Equal(t, strings.TrimPrefix(u.URL, "https://"), r.Host)
		require.True(t, strings.HasPrefix(r.URL.Path, "/base/"), r.URL.Path)
	}
	require.Empty(t, evil.got())
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	evil := serve(t, nil)
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, evil.URL+"/x", http.StatusTemporaryRedirect)
	})
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, u, evil)
	r := s.get("/broker/openai/v1/x")
	require.Equal(t, http.StatusTemporaryRedirect, r.StatusCode)
	require.Equal(t, evil.URL+"/x", r.Header.Get("Location"))
	require.Empty(t, evil.got())
}

// TestKeyIsNotInResponses: an upstream that repeats what it got, in every part of a
// response, in one piece and in many.
func TestKeyIsNotInResponses(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		w.Header().Set("Link", auth)
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("X-Echo", auth)
		w.Header().Set("X-Kept", "yes")
		w.Header().Set("Trailer", "X-Trailer")
		flush := func() { require.NoError(t, http.NewResponseController(w).Flush()) }
		for _, text := range []string{auth, "\n", realKey + realKey, "\n"} {
			for i := range len(text) {
				_, _ = io.WriteString(w, text[i:i+1])
				flush()
			}
		}
		_, _ = io.WriteString(w, realKey[:7]+"\n"+auth+realKey[:len(realKey)-1])
		w.Header().Set("X-Trailer", auth)
	})
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, u)
	trace := make(chan textproto.MIMEHeader, 1)
	r, err := http.NewRequestWithContext(withHints(t.Context(), trace), http.MethodGet, s.url+"/broker/openai/v1/x", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.keys["openai"])
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	stars := strings.Repeat("*", len(realKey))
	require.Equal(t, "Bearer "+stars+"\n"+stars+stars+"\n"+realKey[:7]+"\nBearer "+stars+realKey[:len(realKey)-1], string(body))
	require.Equal(t, "yes", response.Header.Get("X-Kept"))
	require.Empty(t, (<-trace).Get("Link"))
	require.NotContains(t, fmt.Sprint(response.Header, response.Trailer), realKey)
}

func TestCompressedResponseIsRefused(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Encoding"] = strings.Split(r.URL.RawQuery, "+")
		_, _ = io.WriteString(w, "x")
	})
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, u)
	for _, encoding := range []string{"gzip", "identity,gzip", "identity+gzip", "+br"} { // in one line, and in two
		r := s.get("/broker/openai/v1/x?" + encoding)
		require.Equal(t, http.StatusBadGateway, r.StatusCode, encoding)
		r.message(t)
	}
	require.Equal(t, http.StatusOK, s.get("/broker/openai/v1/x?Identity").StatusCode)
}

// TestWithoutKey: a server that wants none gets neither key nor placeholder.
func TestWithoutKey(t *testing.T) {
	u := serve(t, nil)
	g := openai(u)
	g.Key = ""
	s := start(t, broker.Config{Grants: []provider.Grant{g}}, u)
	require.Equal(t, http.StatusOK, s.get("/broker/openai/v1/x").StatusCode)
	require.Empty(t, u.got()[0].Header.Values("Authorization"))
	require.Equal(t, http.StatusUnauthorized, s.do(http.MethodGet, "/broker/openai/v1/x", nil, nil).StatusCode)
}

// TestStreams: an event of a response passes when it is written, also before one that may
// be the beginning of a key, and a request's body while it is.
func TestStreams(t *testing.T) {
	arrived, next := make(chan string), make(chan string)
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for in := bufio.NewReader(r.Body); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			arrived <- line
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range next {
			_, _ = io.WriteString(w, "data: "+event+"\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, u)
	body, feed := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/broker/openai/v1/x", body)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.keys["openai"])
	go func() {
		for _, word := range []string{"one\n", "two\n"} {
			_, _ = io.WriteString(feed, word)
			if got := <-arrived; got != word {
				t.Errorf("got %q", got)
			}
		}
		_ = feed.Close()
		next <- "s" // with it the header comes
	}()
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	out := bufio.NewReader(response.Body)
	for _, event := range []string{"s", "sk-", "sk-real"} {
		if event != "s" {
			next <- event
		}
		line, err := out.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "data: "+event+"\n", line)
	}
	close(next)
	_, err = out.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

func TestBigBodies(t *testing.T) {
	big := make([]byte, 8<<20)
	_, _ = rand.Read(big)
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", r.Header.Get("X-Length"))
		data, _ := io.ReadAll(r.Body)
		_, _ = w.Write(data)
	})
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, u)
	r := s.do(http.MethodPost, "/broker/openai/v1/files", map[string]string{
		"Authorization": "Bearer " + s.keys["openai"], "X-Length": fmt.Sprint(len(big)),
	}, bytes.NewReader(big))
	require.True(t, r.body == string(big))
	require.Equal(t, int64(len(big)), r.ContentLength)
}

// TestClientGone: the upstream is not kept working for nobody.
func TestClientGone(t *testing.T) {
	ended, began := make(chan struct{}), make(chan struct{})
	u := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, u)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/broker/openai/v1/x", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.keys["openai"])
	go func() {
		<-began
		cancel()
	}()
	_, err = http.DefaultClient.Do(r)
	require.ErrorIs(t, err, context.Canceled)
	<-ended
}

func TestUpstreamFails(t *testing.T) {
	gone := serve(t, nil)
	gone.Close()
	untrusted := serve(t, nil)
	silent := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for name, u := range map[string]*upstream{"gone": gone, "untrusted": untrusted, "silent": silent} {
		s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, silent)
		if name == "untrusted" {
			s = start(t, broker.Config{Grants: []provider.Grant{openai(u)}})
		}
		r := s.get("/broker/openai/v1/x")
		require.Equal(t, http.StatusBadGateway, r.StatusCode, name)
		require.Contains(t, r.message(t), strings.TrimPrefix(u.URL, "https://"), name)
	}
	s := start(t, broker.Config{Grants: []provider.Grant{{Provider: "openai", Upstream: "https://nowhere.invalid", Key: realKey, Places: []provider.Place{provider.Bearer}}}})
	require.Contains(t, s.get("/broker/openai/x").message(t), "nowhere.invalid")
}

// TestTooMany: what is above the limit is refused, and the limit is free again afterwards.
func TestTooMany(t *testing.T) {
	let := make(chan struct{})
	u := serve(t, func(http.ResponseWriter, *http.Request) { <-let })
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, u)
	var group sync.WaitGroup
	var mu sync.Mutex
	count := map[int]int{}
	refused := make(chan struct{})
	for range broker.MaxRequests + 20 {
		group.Go(func() {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/broker/openai/x", nil)
			r.Header.Set("Authorization", "Bearer "+s.keys["openai"])
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			count[response.StatusCode]++
			if response.StatusCode == http.StatusTooManyRequests && count[response.StatusCode] == 20 {
				close(refused)
			}
		})
	}
	<-refused
	close(let)
	group.Wait()
	require.Equal(t, map[int]int{200: broker.MaxRequests, 429: 20}, count)
	require.Equal(t, http.StatusOK, s.get("/broker/openai/x").StatusCode)
}

// TestProxy: the broker leaves through the host's own proxy.
func TestProxy(t *testing.T) {
	u := serve(t, nil)
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		var d net.Dialer
		conn, err := d.DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(conn, client) }()
		_, _ = io.Copy(client, conn)
	}))
	t.Cleanup(proxy.Close)
	to, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}, Proxy: func(*url.URL) (*url.URL, error) { return to, nil }}, u)
	require.Equal(t, http.StatusOK, s.get("/broker/openai/x").StatusCode)
	require.Equal(t, "CONNECT "+strings.TrimPrefix(u.URL, "https://"), <-asked)
}

// TestWebSocket upgrades a connection; what comes back is looked through as any response.
func TestWebSocket(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Error("frames could be compressed")
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Echo: "+r.Header.Get("Authorization")+"\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		_, _ = io.WriteString(conn, line+realKey+"\n")
	})
	s := start(t, broker.Config{Grants: []provider.Grant{openai(u)}}, u)
	at, err := url.Parse(s.url)
	require.NoError(t, err)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", at.Host)
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /broker/openai/v1/realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: Bearer %s\r\n\r\n", s.keys["openai"])
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	require.Empty(t, response.Header.Get("X-Echo"))
	_, err = io.WriteString(conn, "hello\n")
	require.NoError(t, err)
	rest, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "hello\n"+strings.Repeat("*", len(realKey))+"\n", string(rest))
	require.Equal(t, http.StatusBadRequest, s.do(http.MethodGet, "/broker/openai/x", map[string]string{
		"Authorization": "Bearer " + s.keys["openai"], "Connection": "Upgrade", "Upgrade": "h2c",
	}, nil).StatusCode)
}

func TestPlaceholders(t *testing.T) {
	g := []provider.Grant{{Provider: "anthropic", Upstream: "https://a.example", Prefix: "sk-ant-"}}
	one, err := broker.New(broker.Config{Grants: g})
	require.NoError(t, err)
	two, err := broker.New(broker.Config{Grants: g})
	require.NoError(t, err)
	require.NotEqual(t, one.Placeholders(), two.Placeholders())
	require.Regexp(t, `^sk-ant-aifo-broker-[0-9a-f]{40}$`, one.Placeholders()["anthropic"])
}

func TestNewRefuses(t *testing.T) {
	for _, g := range []provider.Grant{
		{Upstream: "https://u:p@a.example"}, {Upstream: "ftp://a.example"}, {Upstream: "a.example"}, {Upstream: "https://a.example", Key: "two\nlines"},
	} {
		_, err := broker.New(broker.Config{Grants: []provider.Grant{g}})
		require.Error(t, err, g.Upstream)
		require.NotContains(t, err.Error(), "lines")
	}
	_, err := broker.New(broker.Config{Git: []broker.GitGrant{{Prefix: "a.example/.."}}})
	require.Error(t, err)
}

// host is the host of a server with TLS.
func (u *upstream) host() string { return strings.TrimPrefix(u.URL, "https://") }
