//go:build linux

package ready

import (
	"path/filepath"
	"testing"
)

func TestMark(t *testing.T) {
	places := []string{filepath.Join(t.TempDir(), "none", "m"), filepath.Join(t.TempDir(), "m")}
	if check(places, []byte("7")) {
		t.Error("ready before the mark")
	}
	if err := mark(places, []byte("7")); err != nil {
		t.Fatal(err)
	}
	if !check(places, []byte("7")) {
		t.Error("not ready after the mark")
	}
	if check(places, []byte("8")) {
		t.Error("the mark of an earlier start counts")
	}
	if err := mark(places[:1], nil); err == nil {
		t.Error("marked nowhere")
	}
}

func TestStartTime(t *testing.T) {
	stat := "1 (a) b (c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9"
	if got := string(startTime([]byte(stat))); got != "4711" {
		t.Errorf("%q", got)
	}
	if got := startTime([]byte("1 (a) S")); got != nil {
		t.Errorf("%q", got)
	}
}
