package hostfacts

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// envCABundle names the file of certificate authorities for containers;
// noCABundle in it leaves containers to those of their images.
const (
	envCABundle = "AIFO_CODER_CA_BUNDLE"
	noCABundle  = "off"
)

// CAPlaces says where a host keeps certificate authorities.
type CAPlaces struct {
	Bundles []string // files with all that the host trusts; the first that is there counts
	Public  []string // directories with what the distribution itself brings
	Anchors []string // directories with what an administrator added
}

// SystemCAPlaces are those of the usual distributions: Debian and Ubuntu, Alpine
// and Arch, Fedora and its kin, SUSE. The keychain of macOS is no file.
var SystemCAPlaces = CAPlaces{
	Bundles: []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
	},
	Public: []string{
		"/usr/share/ca-certificates/mozilla", "/usr/share/ca-certificates/trust-source",
		"/usr/share/pki/ca-trust-source", "/usr/share/pki/trust",
	},
	Anchors: []string{
		"/usr/local/share/ca-certificates", "/etc/ca-certificates/trust-source/anchors",
		"/etc/pki/ca-trust/source/anchors", "/etc/pki/trust/anchors",
	},
}

// The variables by which programs of the host are told about authorities. A file
// of the first kind takes the place of the system's, one of the second is added.
var (
	caReplacing = []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE"}
	caAdding    = []string{"NODE_EXTRA_CA_CERTS"}
)

// CABundle are the certificate authorities for containers.
type CABundle struct {
	All CAFile // without a path containers use those of their images
	// Private is for programs that have the public ones themselves and read the
	// file each time they start, as Node.js does, which takes it 30 ms for all.
	Private CAFile
}

// CAFile is a file of certificate authorities.
type CAFile struct {
	Path string
	Data []byte // what Path must hold and does not yet; nil: the file is there
}

// Install writes the files that have to be written. Any number of processes may
// do so at once: their names are those of their contents.
func (b CABundle) Install() error {
	if err := b.All.install(); err != nil {
		return err
	}
	return b.Private.install()
}

func (b CAFile) install() error {
	if b.Data == nil {
		return nil
	}
	dir := filepath.Dir(b.Path)
	if err := PrivateDir(dir); err != nil {
		return fmt.Errorf("install the certificate authorities: %w", err)
	}
	if have, err := os.ReadFile(b.Path); err == nil && bytes.Equal(have, b.Data) {
		return nil
	}
	temp, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return fmt.Errorf("install the certificate authorities: %w", err)
	}
	_, err = temp.Write(b.Data)
	// Containers read it as other users, too.
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = b.place(temp.Name())
	}
	if err != nil {
		return fmt.Errorf("install the certificate authorities: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}

// place gives the file temp its name, unless another session that started at the same time has just done so: its
// containers are to have the file that it looked at.
func (b CAFile) place(temp string) error {
	err := os.Link(temp, b.Path)
	have, readErr := os.ReadFile(b.Path)
	if err == nil || readErr == nil && bytes.Equal(have, b.Data) {
		return os.Remove(temp)
	}
	return os.Rename(temp, b.Path) // over other contents, or where there are no hard links
}

// readCABundle decides which authorities containers trust, and adds to the
// warnings what could not be used.
func (f *Facts) readCABundle(places CAPlaces) error {
	switch name := f.Env.Get(envCABundle); name {
	case noCABundle:
		return nil
	case "":
		var warnings []string
		f.CABundle, warnings = places.Detect(f.Env, filepath.Join(f.CacheDir, "ca"))
		f.Warnings = append(f.Warnings, warnings...)
		return nil
	default:
		path, err := regularFile(name)
		var file caFile
		if err == nil {
			file, err = readNamedCAFile(path)
		}
		if err != nil {
			return &EnvError{Name: envCABundle, Err: err}
		}
		only := file.only(filepath.Join(f.CacheDir, "ca"))
		f.CABundle = CABundle{All: only, Private: only}
		return nil
	}
}

// regularFile returns the canonical path of a file.
func regularFile(name string) (string, error) {
	path, err := filepath.Abs(name)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	var info os.FileInfo
	if err == nil {
		info, err = os.Stat(path)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	return path, err
}

// maxCAFile is more than any list of authorities has.
const maxCAFile = 16 << 20

// caFile is one file of certificates, each in base 64.
type caFile struct {
	path  string
	data  []byte
	certs []string
}

// readCAFile reads a file of certificates in PEM, or of one in DER.
func readCAFile(path string) (caFile, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return caFile{}, err
	case !info.Mode().IsRegular(): // another may have no end
		return caFile{}, fmt.Errorf("%s is not a file", path)
	case info.Size() > maxCAFile:
		return caFile{}, fmt.Errorf("%s is too large for a list of certificates", path)
	}
	f := caFile{path: path}
	if f.data, err = os.ReadFile(path); err != nil {
		return caFile{}, err
	}
	if f.certs = certificates(f.data); len(f.certs) == 0 {
		return caFile{}, fmt.Errorf("%s holds no certificate", path)
	}
	return f, nil
}

// readNamedCAFile reads a file that the user names, and so must have at least one
// certificate that can be used.
func readNamedCAFile(path string) (caFile, error) {
	f, err := readCAFile(path)
	if err == nil && !slices.ContainsFunc(f.certs, valid) {
		err = fmt.Errorf("%s holds no certificate that can be read", path)
	}
	return f, err
}

// only returns the file itself when it holds certificates in PEM and nothing else,
// and else one in cacheDir with them: a key beside them is not for containers.
func (f caFile) only(cacheDir string) CAFile {
	clean := newCAFile(nil, unknown(nil, []caFile{f}), cacheDir)
	real, err := filepath.EvalSymlinks(f.path) // the session mounts a file, whatever becomes of a link to it
	if err == nil && packed(clean.Data) == packed(f.data) {
		return CAFile{Path: real}
	}
	return clean
}

// certificates returns the certificates of a file. They are not decoded: a host
// has hundreds of them, and every session begins with this.
func certificates(data []byte) []string {
	var certs []string
	for {
		_, rest, begins := bytes.Cut(data, beginCert)
		text, rest, ends := bytes.Cut(rest, endCert)
		if !begins || !ends {
			break
		}
		certs = append(certs, packed(text))
		data = rest
	}
	if len(certs) > 0 {
		return certs
	}
	if _, err := x509.ParseCertificate(data); err == nil {
		return []string{base64.StdEncoding.EncodeToString(data)}
	}
	return nil
}

var beginCert, endCert = []byte("-----BEGIN CERTIFICATE-----"), []byte("-----END CERTIFICATE-----")

// packed returns text without its white space.
func packed(text []byte) string {
	var b strings.Builder
	b.Grow(len(text))
	for line := range bytes.FieldsSeq(text) {
		b.Write(line)
	}
	return b.String()
}

// parse returns a certificate of certificates.
func parse(cert string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(cert)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func valid(cert string) bool {
	_, err := parse(cert)
	return err == nil
}

// set is a set of certificates, each in base 64.
type set map[string]bool

// Detect returns the authorities for containers: none when the host trusts no
// authority that its distribution does not bring, its bundle when that has all
// it trusts, and else the bundle with the rest of them added, in cacheDir. What
// cannot be read is left out and becomes a warning: it may not keep a session
// from starting.
func (p CAPlaces) Detect(env Env, cacheDir string) (CABundle, []string) {
	var (
		known   set
		reading sync.WaitGroup
	)
	reading.Go(func() { known = readAll(p.Public) }) // many small files
	system := p.system()
	named, base, warnings := variableFiles(env, system.path)
	reading.Wait()
	if len(known) == 0 {
		known = setOf(system.certs) // nobody says which of them are public
	}
	if system.path != "" {
		base = system
	}
	private := unknown(known, append([]caFile{system}, append(anchors(p.Anchors), named...)...))
	switch {
	case len(private) == 0:
		return CABundle{}, warnings
	case base.path == "":
		return CABundle{}, append(warnings, "this host has certificate authorities of its own, but no bundle of the public ones to add them to; containers get none of them: "+
			"name a complete bundle with "+envCABundle)
	}
	b := CABundle{All: CAFile{Path: canonical(base.path)}, Private: newCAFile(nil, private, cacheDir)}
	if system.path == "" { // the distribution's own has no keys
		b.All = base.only(cacheDir)
		if b.All.Data != nil {
			base.data = b.All.Data
		}
	}
	if missing := unknown(setOf(base.certs), []caFile{{certs: private}}); len(missing) > 0 {
		b.All = newCAFile(base.data, missing, cacheDir)
	}
	return b, warnings
}

// canonical returns the path without links, which a mount would follow too late.
func canonical(path string) string {
	if real, err := regularFile(path); err == nil {
		return real
	}
	return path
}

func setOf(certs []string) set {
	s := set{}
	for _, c := range certs {
		s[c] = true
	}
	return s
}

func (p CAPlaces) system() caFile {
	for _, name := range p.Bundles {
		if f, err := readCAFile(name); err == nil {
			return f
		}
	}
	return caFile{}
}

// readAll returns all certificates below the directories.
func readAll(dirs []string) set {
	all := set{}
	for _, f := range anchors(dirs) {
		for _, c := range f.certs {
			all[c] = true
		}
	}
	return all
}

// anchors returns the files of certificates below the directories. Other files
// there are nobody's mistake.
func anchors(dirs []string) []caFile {
	var files []caFile
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil //nolint:nilerr // what cannot be read adds nothing
			}
			if f, err := readCAFile(path); err == nil {
				files = append(files, f)
			}
			return nil
		})
	}
	return files
}

// variableFiles returns the files that variables name, each once and without the
// system's own, and the first of them that is complete by the meaning of its
// variable.
func variableFiles(env Env, system string) (files []caFile, complete caFile, warnings []string) {
	seen := []string{canonical(system)}
	for _, name := range slices.Concat(caReplacing, caAdding) {
		if env.Get(name) == "" {
			continue
		}
		path := canonical(env.Get(name))
		if slices.Contains(seen, path) {
			continue
		}
		seen = append(seen, path)
		f, err := readNamedCAFile(path)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("%s: %v; containers get no certificate authorities from it", name, err))
			continue
		}
		files = append(files, f)
		if complete.path == "" && slices.Contains(caReplacing, name) {
			complete = f
		}
	}
	return files, complete, warnings
}

// unknown returns the certificates of the files that are not in known, each once.
// One that is none would spoil the whole file for some programs.
func unknown(known set, files []caFile) []string {
	var list []string
	seen := set{}
	for _, f := range files {
		for _, c := range f.certs {
			if known[c] || seen[c] {
				continue
			}
			seen[c] = true
			if valid(c) {
				list = append(list, c)
			}
		}
	}
	return list
}

// newCAFile returns a file with what base has, if anything, and the certificates.
func newCAFile(base []byte, certs []string, cacheDir string) CAFile {
	var b bytes.Buffer
	if len(base) > 0 {
		b.Write(bytes.TrimRight(base, "\n"))
		b.WriteByte('\n')
	}
	for _, c := range certs {
		if cert, err := parse(c); err == nil {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // a buffer takes every write
		}
	}
	sum := sha256.Sum256(b.Bytes())
	return CAFile{Path: filepath.Join(cacheDir, hex.EncodeToString(sum[:8])+".crt"), Data: b.Bytes()}
}
