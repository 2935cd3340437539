//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	engine "github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// needs ends the test where the registry cannot be reached from here: it then
// cannot be reached from a container either.
func needs(t *testing.T, url string) {
	t.Helper()
	needEngine(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		lacking(t, "the registry cannot be reached: %v", err)
	}
	require.NoError(t, reply.Body.Close())
}

// npmRegistry returns where npm in the sidecar gets its packages.
func npmRegistry(t *testing.T) string {
	t.Helper()
	needEngine(t)
	return docker(t, "run", "--rm", "--network", "none", "aifo-coder-toolchain-node:latest", "npm", "config", "get", "registry")
}

// goProxy returns where go gets its modules.
func goProxy(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOPROXY").Output()
	require.NoError(t, err)
	proxy, _, _ := strings.Cut(strings.TrimSpace(string(out)), ",")
	return proxy
}

// project writes files of the workspace, which are the caller's.
func (c *caller) project(files map[string]string) {
	c.t.Helper()
	for name, text := range files {
		c.write(name, text)
	}
	c.own(c.workspace)
}

var npmProject = map[string]string{
	"package.json": `{"name": "e2e", "version": "1.0.0", "private": true, "dependencies": {"is-odd": "3.0.1"}}`,
	"package-lock.json": `{
  "name": "e2e", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
  "packages": {
    "": {"name": "e2e", "version": "1.0.0", "dependencies": {"is-odd": "3.0.1"}},
    "node_modules/is-number": {
      "version": "6.0.0",
      "integrity": "sha512-Wu1VHeILBK8KAWJUAiSZQX94GmOE45Rg6/538fKwiloUu21KncEkYGPqob2oSZ5mUT73vLGrHQjKw3KMPwfDzg=="
    },
    "node_modules/is-odd": {
      "version": "3.0.1",
      "integrity": "sha512-CQpnWPrDwmP1+SMHXZhtLtJv90yiyVfluGsX5iNCVkrhQtU3TQHsUWPG9wkdk9Lgd5yNpAg9jQEo90CBaXgWMA==",
      "dependencies": {"is-number": "^6.0.0"}
    }
  }
}`,
	"app.js": `console.log("odd:", require("is-odd")(3))`,
}

// TestNpmCI installs a project's dependencies from the registry, without a cache,
// directly in a sidecar and from an agent.
func TestNpmCI(t *testing.T) {
	needs(t, npmRegistry(t))
	callers(t, func(t *testing.T, c *caller) {
		c.project(npmProject)
		r := c.run("", "toolchain", "node", "--no-toolchain-cache", "--", "npm", "ci")
		require.Equal(t, 0, r.code)
		require.FileExists(t, filepath.Join(c.workspace, "node_modules/is-number/index.js"), "in the workspace, for the agent and the host as well")
		c.requireOwned(c.workspace)
		r = c.script("rm -r node_modules && npm ci --no-audit >&2 && node app.js", "--toolchain", "node", "--no-toolchain-cache")
		require.Equal(t, "odd: true\n", r.stdout)
		c.requireOwned(c.workspace)
	})
}

var goProject = map[string]string{
	"go.mod": "module example.org/e2e\n\ngo 1.22\n\nrequire github.com/google/go-cmp v0.7.0\n",
	"go.sum": "github.com/google/go-cmp v0.7.0 h1:wk8382ETsv4JYUZwIsn6YpYiWiBsYLSJiTsyBybVuN8=\n" +
		"github.com/google/go-cmp v0.7.0/go.mod h1:pXiqmnSA92OHEEa9HXL2W4E7lf9JzCmGVUdgjX3N/iU=\n",
	"main.go": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"github.com/google/go-cmp/cmp\"\n)\n\nfunc main() { fmt.Println(\"equal:\", cmp.Equal(1, 1)) }\n",
}

// TestGoModDownload is TestNpmCI for Go modules.
func TestGoModDownload(t *testing.T) {
	needs(t, goProxy(t))
	callers(t, func(t *testing.T, c *caller) {
		c.project(goProject)
		r := c.run("", "toolchain", "go", "--no-toolchain-cache", "--", "go", "mod", "download", "-x")
		require.Equal(t, 0, r.code)
		r = c.script("go mod download && go run .", "--toolchain", "go", "--no-toolchain-cache")
		require.Equal(t, "equal: true\n", r.stdout)
		c.requireOwned(c.workspace)
	})
}

// TestTypeScriptBootstrap: it is there when the first call is served, for anybody.
func TestTypeScriptBootstrap(t *testing.T) {
	needs(t, npmRegistry(t))
	callers(t, func(t *testing.T, c *caller) {
		r := c.script("tsc --version && tsc --version", "--toolchain", "node", "--toolchain-bootstrap", "typescript=global")
		require.Equal(t, 0, r.code)
		require.Equal(t, 2, strings.Count(r.stdout, "Version "))
		require.Equal(t, 1, strings.Count(r.stderr, "completing the node sidecar: npm install --global"))
	})
}

// gateway returns the address at which containers reach this host.
func gateway(t *testing.T) string {
	t.Helper()
	needEngine(t)
	bridge, err := engine.Client{}.Bridge(t.Context(), "bridge")
	require.NoError(t, err)
	own, err := hostfacts.Addresses()
	require.NoError(t, err)
	addr, ok := bridge.HostAddress(own)
	require.True(t, ok)
	return addr.String()
}

// corpServer is an HTTPS server of the host whose certificate a private authority signed.
func corpServer(t *testing.T) (server *httptest.Server, authority []byte) {
	t.Helper()
	return privateServer(t, "host.docker.internal", gateway(t), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "corp") }))
}

// privateServer is an HTTPS server at an address with a certificate for name, which a
// private authority signed.
func privateServer(t *testing.T, name, address string, handler http.Handler) (server *httptest.Server, authority []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "e2e authority"}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	require.NoError(t, err)
	server = httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are what is tested
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }

// fetchScript fetches $1 with what the agent's and the sidecars' programs use.
const fetchScript = `
curl -sS "$1" | sed 's/^/curl /'; echo
node -e 'fetch(process.argv[1]).then(r => r.text()).then(t => console.log("node", t), e => console.log("node", e.cause.code))' "$1"
python -c 'import sys,urllib.request as u; print("python", u.urlopen(sys.argv[1]).read().decode())' "$1" 2>/dev/null || echo python fails
go run get.go "$1"
`

const getGo = `package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	r, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Println("go fails")
		return
	}
	text, _ := io.ReadAll(r.Body)
	fmt.Printf("go %s\n", text)
}
`

// TestPrivateAuthority: a server that only this host trusts, by a file that one
// variable names, is trusted by every program in every container.
func TestPrivateAuthority(t *testing.T) {
	server, authority := corpServer(t)
	callers(t, func(t *testing.T, c *caller) {
		file := filepath.Join(c.home, "corp.pem")
		require.NoError(t, os.WriteFile(file, authority, 0o644))
		c.project(map[string]string{"get.go": getGo})
		url := "https://host.docker.internal:" + port(server.Listener.Addr().String())
		fetch := func(env ...string) string {
			with := *c
			with.env = append(append([]string{}, c.env...), env...)
			return with.run("", append(toolchains("node", "python", "go"), "shell", "--", "bash", "-c", fetchScript, "fetch", url)...).stdout
		}
		require.Equal(t, "curl corp\nnode corp\npython corp\ngo corp\n", fetch("NODE_EXTRA_CA_CERTS="+file))
		require.NotContains(t, fetch("NODE_EXTRA_CA_CERTS="+file, "AIFO_CODER_CA_BUNDLE=off"), "corp")
	})
}

// TestAuthoritiesInABareImage: the image need have neither the directory nor
// anything that reads it, and the caller can read the file.
func TestAuthoritiesInABareImage(t *testing.T) {
	_, authority := corpServer(t)
	callers(t, func(t *testing.T, c *caller) {
		file := filepath.Join(c.home, "corp.pem")
		require.NoError(t, os.WriteFile(file, authority, 0o644))
		c.env = append(c.env, "SSL_CERT_FILE="+file)
		r := c.run("", "toolchain", "python=debian:bookworm-slim", "--", "sh", "-c",
			`for f in "$SSL_CERT_FILE" "$NODE_EXTRA_CA_CERTS" "$PIP_CERT"; do cat "$f"; done`)
		require.Equal(t, 0, r.code)
		require.Equal(t, 3, strings.Count(r.stdout, string(bytes.TrimSpace(authority))))
		require.Greater(t, strings.Count(r.stdout, "BEGIN CERTIFICATE"), 3, "the public ones as well")
	})
}

// proxy answers every request itself, for who has the password.
type proxy struct {
	*httptest.Server
	mu    sync.Mutex
	hosts []string
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{}
	listener, err := net.Listen("tcp", net.JoinHostPort(gateway(t), "0"))
	require.NoError(t, err)
	p.Server = httptest.NewUnstartedServer(p)
	p.Listener = listener
	p.Start()
	t.Cleanup(p.Close)
	return p
}

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.hosts = append(p.hosts, r.Host)
	p.mu.Unlock()
	if _, password, ok := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth(); !ok || password != "e2e-canary" {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	_, _ = io.WriteString(w, "by proxy")
}

func (p *proxy) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.hosts...)
}

// proxyScript reaches a host that is not there, a server in a sidecar, and the
// proxy of tool calls. The server's name is known because the session's id is.
const proxyScript = `
curl -sS http://nowhere.example/ | sed 's/^/curl /'; echo
python -c 'import urllib.request as u; print("python", u.urlopen("http://nowhere.example/").read().decode())'
python -m http.server --directory served 8000 >/dev/null 2>&1 &
until curl -sf http://aifo-tc-python-$1:8000/hello; do sleep 0.1; done
node -e 'fetch("http://aifo-tc-python-'$1':8000/hello").then(r => r.text()).then(t => process.stdout.write(t))'
kill $!
`

// TestProxies: agent and sidecars reach the world by the host's proxy, and each
// other without it, as does the shim; the password stands in no argument.
func TestProxies(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		p := newProxy(t)
		id := fmt.Sprintf("proxy%d", os.Getpid())
		c.env = append(c.env, "HTTP_PROXY=http://ann:e2e-canary@"+p.Listener.Addr().String(), "AIFO_CODER_FORK_SESSION="+id)
		c.project(map[string]string{"served/hello": "hello\n"})
		r := c.run("", append(append(flags, toolchains("node", "python")...), "--verbose", "shell", "--", "bash", "-c", proxyScript, "proxies", id)...)
		require.Equal(t, "curl by proxy\npython by proxy\nhello\nhello\n", r.stdout)
		require.NotContains(t, r.stderr, "e2e-canary")
		for _, host := range p.asked() {
			require.Equal(t, "nowhere.example", host)
		}
	})
}
