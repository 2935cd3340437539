//go:build linux

package boot

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestPasswdLine(t *testing.T) {
	me := entry{"coder", 1000, 100, "/home/coder", "/bin/sh"}
	const root = "root:x:0:0:root:/root:/bin/bash\n"
	for name, tt := range map[string]struct{ passwd, name, line string }{
		"empty":        {"", "coder", "coder:x:1000:100:coder:/home/coder:/bin/sh\n"},
		"new":          {root, "coder", "coder:x:1000:100:coder:/home/coder:/bin/sh\n"},
		"known":        {root + "node:x:1000:1000::/home/node:/bin/sh\n", "node", ""},
		"first counts": {"a:x:1000:1::/:\nb:x:1000:1::/:\n", "a", ""},
		"name taken":   {root + "coder:x:5:5::/:\n", "coder1", "coder1:x:1000:100:coder:/home/coder:/bin/sh\n"},
		"taken twice":  {"coder:x:5:5::/:\ncoder1:x:6:5::/:", "coder2", "coder2:x:1000:100:coder:/home/coder:/bin/sh\n"},
		"near miss":    {"a:x:10000:1::/:\nb:1000:x\n#c\n\n:x:1000:\n", "coder", "coder:x:1000:100:coder:/home/coder:/bin/sh\n"},
	} {
		if n, l := passwdLine([]byte(tt.passwd), me); n != tt.name || l != tt.line {
			t.Errorf("%s: %q, %q", name, n, l)
		}
	}
}

func TestGroupLine(t *testing.T) {
	for group, want := range map[string]string{
		"":                             "coder:x:100:\n",
		"root:x:0:\nusers:x:100:\n":    "",
		"coder:x:7:\n":                 "coder1:x:100:\n",
		"root:x:0:\nusers:x:100:a,b\n": "",
	} {
		if got := groupLine([]byte(group), "coder", 100); got != want {
			t.Errorf("%q: %q", group, got)
		}
	}
}

func TestAppendTo(t *testing.T) {
	for old, want := range map[string]string{"": "new\n", "a\n": "a\nnew\n", "a": "a\nnew\n"} {
		path := filepath.Join(t.TempDir(), "etc", "f")
		if old != "" {
			if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(old), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		err := appendTo(path, func(b []byte) string {
			if string(b) != old {
				t.Errorf("read %q, want %q", b, old)
			}
			return "new\n"
		})
		if got, _ := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", old, got, err)
		}
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := appendTo(path, func([]byte) string { return "" }); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file was made for nothing")
	}
}

// TestGitSettings has git itself read what was written.
func TestGitSettings(t *testing.T) {
	settings := []setting{
		{"user.name", `Jörg "J" O'Hara \ #1 ; x`},
		{"user.email", " j@example.org "},
		{"safe.directory", "*"},
		{"a.multi", "one\ntwo\tthree"},
		{`url.https://x.y/"q"\z.insteadOf`, "git@x:"},
	}
	text := gitText("", settings)
	if again := gitText("[core]\n"+text, settings); again != "" {
		t.Errorf("a second boot adds %q", again)
	}
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git")
	}
	file := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		out, err := exec.Command(git, "config", "-z", "-f", file, s.Key).Output()
		if got := strings.TrimSuffix(string(out), "\x00"); err != nil || got != s.Value {
			t.Errorf("%s: git reads %q, %v, want %q", s.Key, got, err, s.Value)
		}
	}
}

func TestGitKeys(t *testing.T) {
	for _, key := range []string{"", "user", ".name", "user.", "us er.name", "user.na me", "user.na_me", "user]\n[x.y", "a.b\nc.d", "-a.b", "1a.b"} {
		if s, err := (setting{key, "v"}).section(); err == nil {
			t.Errorf("%q: %q", key, s)
		}
	}
	if s, err := (setting{"a.b", "x\x00y"}).section(); err == nil {
		t.Errorf("NUL: %q", s)
	}
}

func TestProfile(t *testing.T) {
	const dir = "/opt/it's $HOME/bin"
	file := filepath.Join(t.TempDir(), "profile.d", "zz-aifo.sh")
	if err := writeProfile(file, dir); err != nil {
		t.Fatal(err)
	}
	for old, want := range map[string]string{
		"/usr/bin:/bin":              dir + ":/usr/bin:/bin",
		"":                           dir,
		dir:                          dir,
		dir + ":/bin":                dir + ":/bin",
		"/bin:" + dir:                dir + ":/bin:" + dir,
		dir + "x:/bin":               dir + ":" + dir + "x:/bin",
		"/opt/it's /root/bin:/a":     dir + ":/opt/it's /root/bin:/a",
		"/opt/it's $HOME/bins:/sbin": dir + ":/opt/it's $HOME/bins:/sbin",
	} {
		cmd := exec.Command("/bin/sh", "-eu", "-c", `. "$1"; . "$1"; printf %s "$PATH"`, "sh", file)
		cmd.Env = []string{"PATH=" + old}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%q: %q, %v", old, out, err)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := parse([]string{
		"--user", "1000:100", "--home", "/home/x/", "--cache", "pip:/home/x/.cache/pip", "--cache", "go:/go/",
		"--git", "user.name=A=B", "--path-first", "/opt/aifo/bin", "--workdir", "/workspace", "--", "sh", "-c", "--stay",
	})
	want := &options{
		UID: 1000, GID: 100, Name: "coder", Home: "/home/x", Caches: []cache{{"pip", "/home/x/.cache/pip"}, {"go", "/go"}},
		Git: []setting{{"user.name", "A=B"}}, PathFirst: "/opt/aifo/bin", Workdir: "/workspace", Argv: []string{"sh", "-c", "--stay"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, args := range []string{
		"", "--stay", "--user 1:1", "--user 1:1 --stay -- sh", "--user 1 --stay", "--user -1:1 --stay", "--user 1:4294967295 --stay",
		"--user 1:1 --stay --cache ../x:/y", "--user 1:1 --stay --cache a/b:/y", "--user 1:1 --stay --cache a:b", "--user 1:1 --stay --name a:b",
		"--user 1:1 --stay --home x", "--user 1:1 --stay --home /a:b", "--user 1:1 --stay --git x", "--user 1:1 --stay --bogus",
	} {
		if o, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%q: %+v", args, o)
		}
	}
}

func TestLink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	for name, prepare := range map[string]func(path string) error{
		"missing":   func(string) error { return nil },
		"empty dir": func(p string) error { return os.MkdirAll(p, 0o755) },
		"again":     func(p string) error { return link(target, p) },
	} {
		path := filepath.Join(dir, name, "a", "b")
		if err := errors.Join(prepare(path), link(target, path)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.Readlink(path); got != target {
			t.Errorf("%s: leads to %q", name, got)
		}
	}
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(full+"/x", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := link(target, full); err == nil {
		t.Error("a full directory gave way")
	}
}
