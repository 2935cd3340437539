//go:build linux

package boot

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestNoteEnvironment: the first place that can be written has all of it, and
// what was there before is neither kept nor followed.
func TestNoteEnvironment(t *testing.T) {
	dir := t.TempDir()
	place, victim := filepath.Join(dir, "note"), filepath.Join(dir, "victim")
	env := []string{"A=1", "KEY=se\ncret", "EMPTY="}
	const want = "A=1\x00KEY=se\ncret\x00EMPTY=\x00"
	for name, before := range map[string]func() error{
		"nothing": func() error { return nil },
		"file":    func() error { return os.WriteFile(place, []byte("a longer text than the one that comes"), 0o600) },
		"link":    func() error { _ = os.Remove(place); return os.Symlink(victim, place) },
	} {
		if err := before(); err != nil {
			t.Fatal(err)
		}
		if err := noteEnvironment([]string{dir + "/none/note", place, dir + "/second"}, env); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b, err := os.ReadFile(place)
		info, _ := os.Lstat(place)
		if err != nil || string(b) != want || !info.Mode().IsRegular() || info.Mode().Perm()&^0o644 != 0 {
			t.Errorf("%s: %q, %v, %v", name, b, err, info.Mode())
		}
	}
	for _, none := range []string{victim, dir + "/second"} {
		if _, err := os.Lstat(none); err == nil {
			t.Errorf("%s was made", none)
		}
	}
	if err := noteEnvironment([]string{dir + "/none/note"}, env); err == nil {
		t.Error("no error without a place")
	}
}

// TestNoteIsWhole: a part of it would be worse than none.
func TestNoteIsWhole(t *testing.T) {
	if err := writeNew("/dev/full", "x"); err == nil {
		t.Error("written over something")
	}
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/taken", fs.ModePerm); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(dir+"/taken", "x"); err == nil {
		t.Error("written over a directory")
	}
}
