//go:build unix

package hostfacts_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// authority returns a certificate authority of that name in PEM.
func authority(t *testing.T, name string) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// names returns the authorities in PEM data, and fails for anything else that
// begins like one.
func names(t *testing.T, data []byte) []string {
	t.Helper()
	var list []string
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		list = append(list, cert.Subject.CommonName)
	}
	require.Len(t, list, bytes.Count(data, []byte("-----BEGIN")))
	return list
}

// caHost is a host of a distribution with the public authorities one and two.
type caHost struct {
	t              *testing.T
	dir            string
	places         hostfacts.CAPlaces
	one, two, corp []byte
	private        string // the authority that is not public
}

func newCAHost(t *testing.T) *caHost {
	t.Helper()
	dir := t.TempDir()
	h := &caHost{t: t, dir: dir, private: "corp", one: authority(t, "one"), two: authority(t, "two"), corp: authority(t, "corp")}
	h.places = hostfacts.CAPlaces{
		Bundles: []string{filepath.Join(dir, "absent.crt"), filepath.Join(dir, "bundle.crt")},
		Public:  []string{filepath.Join(dir, "public"), filepath.Join(dir, "absent")},
		Anchors: []string{filepath.Join(dir, "anchors"), filepath.Join(dir, "absent")},
	}
	h.write("public/one.crt", h.one)
	h.write("public/deep/two.crt", []byte("# Two\n"), bytes.ReplaceAll(h.two, []byte("\n"), []byte("\r\n")))
	h.write("bundle.crt", h.one, h.two)
	return h
}

// write writes a file of the host and returns its path.
func (h *caHost) write(name string, parts ...[]byte) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	require.NoError(h.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(h.t, os.WriteFile(path, bytes.Join(parts, nil), 0o644))
	return path
}

func (h *caHost) detect(env hostfacts.Env) (hostfacts.CABundle, []string) {
	return h.places.Detect(env, filepath.Join(h.dir, "cache"))
}

// bundle detects without a warning and without a trace, and returns what
// containers get.
func (h *caHost) bundle(env hostfacts.Env) (path string, authorities []string) {
	h.t.Helper()
	b, warnings := h.detect(env)
	require.Empty(h.t, warnings)
	require.NoDirExists(h.t, filepath.Join(h.dir, "cache"), "detecting writes nothing")
	if b.All.Path == "" {
		require.Empty(h.t, b)
		return "", nil
	}
	require.Equal(h.t, []string{h.private}, names(h.t, b.Private.Data))
	data := b.All.Data
	if data == nil {
		var err error
		data, err = os.ReadFile(b.All.Path)
		require.NoError(h.t, err)
	}
	return b.All.Path, names(h.t, data)
}

func TestCAHostWithoutPrivateAuthorities(t *testing.T) {
	h := newCAHost(t)
	for _, env := range []hostfacts.Env{nil, {"SSL_CERT_FILE": filepath.Join(h.dir, "bundle.crt")}, {"SSL_CERT_FILE": h.write("few.pem", h.two)}} {
		path, _ := h.bundle(env)
		require.Empty(t, path)
	}
}

// TestCABundleOfTheHost: a private authority in the bundle is found whether or
// not an anchor or a variable tells of it, and the bundle is used as it is.
func TestCABundleOfTheHost(t *testing.T) {
	h := newCAHost(t)
	bundle := h.write("bundle.crt", h.one, h.corp, h.two)
	h.write("anchors/corp.crt", h.corp)
	link := filepath.Join(h.dir, "link.crt")
	require.NoError(t, os.Symlink(bundle, link))
	for _, env := range []hostfacts.Env{nil, {"NODE_EXTRA_CA_CERTS": bundle}, {"PIP_CERT": link}, {"SSL_CERT_FILE": h.write("corp.pem", h.corp)}} {
		path, authorities := h.bundle(env)
		require.Equal(t, bundle, path)
		require.Equal(t, []string{"one", "corp", "two"}, authorities)
	}
	require.NoError(t, os.RemoveAll(filepath.Join(h.dir, "anchors")))
	path, _ := h.bundle(nil)
	require.Equal(t, bundle, path)
}

// TestCAMerge: what the bundle lacks is added to all that it has.
func TestCAMerge(t *testing.T) {
	h := newCAHost(t)
	der, _ := pem.Decode(h.corp)
	for name, env := range map[string]hostfacts.Env{
		"adding variable":    {"NODE_EXTRA_CA_CERTS": h.write("extra.pem", h.corp)},
		"replacing variable": {"SSL_CERT_FILE": h.write("all.pem", h.two, h.corp)},
		"twice":              {"PIP_CERT": h.write("a.pem", h.corp), "AWS_CA_BUNDLE": h.write("b.pem", h.corp)},
		"DER":                {"CURL_CA_BUNDLE": h.write("corp.der", der.Bytes)},
	} {
		t.Run(name, func(t *testing.T) {
			path, authorities := h.bundle(env)
			require.Equal(t, filepath.Join(h.dir, "cache"), filepath.Dir(path))
			require.Equal(t, []string{"one", "two", "corp"}, authorities)
			again, _ := h.bundle(env)
			require.Equal(t, path, again)
		})
	}
	h.write("anchors/deep/corp.crt", h.corp)
	_, authorities := h.bundle(nil)
	require.Equal(t, []string{"one", "two", "corp"}, authorities)
}

// TestCAUnknownDistribution: nobody says which authorities of the bundle are
// public, so only what is beside it is private.
func TestCAUnknownDistribution(t *testing.T) {
	h := newCAHost(t)
	require.NoError(t, os.RemoveAll(filepath.Join(h.dir, "public")))
	path, _ := h.bundle(hostfacts.Env{"SSL_CERT_FILE": filepath.Join(h.dir, "bundle.crt")})
	require.Empty(t, path)
	_, authorities := h.bundle(hostfacts.Env{"NODE_EXTRA_CA_CERTS": h.write("extra.pem", h.corp)})
	require.Equal(t, []string{"one", "two", "corp"}, authorities)
}

// TestCAWithoutABundle: a file that a variable puts in the bundle's place is one;
// one that is to be added to a bundle is not.
func TestCAWithoutABundle(t *testing.T) {
	h := newCAHost(t)
	require.NoError(t, os.RemoveAll(filepath.Join(h.dir, "public")))
	require.NoError(t, os.Remove(filepath.Join(h.dir, "bundle.crt")))
	all := h.write("all.pem", h.one, h.corp)
	b, warnings := h.detect(hostfacts.Env{"CURL_CA_BUNDLE": all, "NODE_EXTRA_CA_CERTS": h.write("extra.pem", h.two)})
	require.Empty(t, warnings)
	require.Equal(t, []string{"one", "corp", "two"}, names(t, b.All.Data))
	b, _ = h.detect(hostfacts.Env{"CURL_CA_BUNDLE": all})
	require.Equal(t, hostfacts.CAFile{Path: all}, b.All)

	b, _ = h.detect(hostfacts.Env{"CURL_CA_BUNDLE": h.write("key.pem", key, h.one, h.corp)})
	require.Equal(t, []string{"one", "corp"}, names(t, b.All.Data), "a key is not for containers")
	b, _ = h.detect(hostfacts.Env{"CURL_CA_BUNDLE": h.write("key.pem", key, h.one, h.corp), "NODE_EXTRA_CA_CERTS": h.write("extra.pem", h.two)})
	require.Equal(t, []string{"one", "corp", "two"}, names(t, b.All.Data))

	b, warnings = h.detect(hostfacts.Env{"NODE_EXTRA_CA_CERTS": h.write("extra.pem", h.two)})
	require.Empty(t, b)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "AIFO_CODER_CA_BUNDLE")
}

// TestCAOddFiles: they are told once each, and keep nothing from working.
func TestCAOddFiles(t *testing.T) {
	h := newCAHost(t)
	pipe := filepath.Join(h.dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	garbage := h.write("garbage.pem", broken, h.corp)
	gone := filepath.Join(h.dir, "gone")
	h.write("anchors/README", []byte("no certificate"))
	b, warnings := h.detect(hostfacts.Env{
		"SSL_CERT_FILE": pipe, "CURL_CA_BUNDLE": h.dir, "PIP_CERT": gone, "AWS_CA_BUNDLE": gone, "NODE_EXTRA_CA_CERTS": h.write("broken.pem", broken),
		"GIT_SSL_CAINFO": h.write("empty", nil), "REQUESTS_CA_BUNDLE": garbage, "CARGO_HTTP_CAINFO": h.write("half.pem", h.two[:len(h.two)/2]),
	})
	require.Len(t, warnings, 6)
	for i, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "CARGO_HTTP_CAINFO", "NODE_EXTRA_CA_CERTS"} {
		require.Contains(t, warnings[i], name+": ")
	}
	require.Contains(t, warnings[3], gone)
	require.Equal(t, []string{"one", "two", "corp"}, names(t, b.All.Data))
}

func TestInstallCABundle(t *testing.T) {
	h := newCAHost(t)
	b, _ := h.detect(hostfacts.Env{"SSL_CERT_FILE": h.write("all.pem", h.corp)})
	var installed sync.WaitGroup
	for range 4 {
		installed.Go(func() {
			if err := b.Install(); err != nil {
				t.Error(err)
			}
		})
	}
	installed.Wait()
	dir := filepath.Dir(b.All.Path)
	requireInstalled := func() {
		t.Helper()
		for _, f := range []hostfacts.CAFile{b.All, b.Private} {
			data, err := os.ReadFile(f.Path)
			require.NoError(t, err)
			require.Equal(t, f.Data, data)
			info, err := os.Stat(f.Path)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o644), info.Mode().Perm(), "containers read it as other users")
		}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 2)
	}
	requireInstalled()
	require.NoError(t, os.WriteFile(b.All.Path, []byte("damaged"), 0o644))
	require.NoError(t, b.Install())
	requireInstalled()

	require.NoError(t, os.Chmod(dir, 0o777))
	require.ErrorContains(t, b.Install(), "not private", "others could have changed it")
	require.NoError(t, hostfacts.CABundle{All: hostfacts.CAFile{Path: "/absent/bundle.crt"}}.Install(), "a file of the host")
}

// key is a private key in PEM.
var key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")})

// TestCABundleVariable: a file with certificates alone is used as it is.
func TestCABundleVariable(t *testing.T) {
	_, dir := host(t)
	t.Chdir(dir)
	bundle := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(bundle, slices.Concat(authority(t, "one"), []byte("\r\n"), authority(t, "corp")), 0o600))
	for _, spelled := range []string{bundle, "ca.pem"} {
		t.Setenv("AIFO_CODER_CA_BUNDLE", spelled)
		file := hostfacts.CAFile{Path: bundle}
		require.Equal(t, hostfacts.CABundle{All: file, Private: file}, read(t, "").CABundle)
	}
	t.Setenv("AIFO_CODER_CA_BUNDLE", "off")
	require.Empty(t, read(t, "").CABundle)
	t.Setenv("AIFO_CODER_CA_BUNDLE", bundle+"x")
	_, err := hostfacts.Host(t.Context(), "")
	require.ErrorContains(t, err, "AIFO_CODER_CA_BUNDLE")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestCABundleVariableCleaned: of a file with other things, containers get a copy
// with the certificates alone.
func TestCABundleVariableCleaned(t *testing.T) {
	_, dir := host(t)
	corp := authority(t, "corp")
	der, _ := pem.Decode(corp)
	file := filepath.Join(dir, "ca.pem")
	t.Setenv("AIFO_CODER_CA_BUNDLE", file)
	for name, data := range map[string][]byte{
		"key before":         slices.Concat(key, corp),
		"key after":          slices.Concat(corp, key),
		"text":               slices.Concat([]byte("# corp\n"), corp),
		"broken certificate": slices.Concat(broken, corp),
		"DER":                der.Bytes,
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(file, data, 0o600))
			f := read(t, "")
			require.Equal(t, f.CABundle.All, f.CABundle.Private)
			require.Equal(t, corp, f.CABundle.All.Data)
			require.Equal(t, filepath.Join(f.CacheDir, "ca"), filepath.Dir(f.CABundle.All.Path))
			require.NoDirExists(t, f.CacheDir, "reading writes nothing")
		})
	}
}

// broken looks like a certificate and is none.
var broken = []byte("-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n")

func TestCABundleVariableRefused(t *testing.T) {
	_, dir := host(t)
	corp := authority(t, "corp")
	file := filepath.Join(dir, "ca.pem")
	t.Setenv("AIFO_CODER_CA_BUNDLE", file)
	for name, data := range map[string][]byte{
		"empty": nil, "random": {0, 1, 0xff, 0xfe}, "half": corp[:len(corp)/2], "broken": broken, "key": key,
	} {
		require.NoError(t, os.WriteFile(file, data, 0o600))
		requireRefused(t, name, file+" holds no certificate")
	}
	require.NoError(t, os.WriteFile(file, corp, 0o600))
	require.NoError(t, os.Truncate(file, 200<<20))
	requireRefused(t, "large", file+" is too large")
}

func requireRefused(t *testing.T, name, want string) {
	t.Helper()
	_, err := hostfacts.Host(t.Context(), "")
	var bad *hostfacts.EnvError
	require.ErrorAs(t, err, &bad, name)
	require.ErrorContains(t, err, "AIFO_CODER_CA_BUNDLE: "+want, name)
}
