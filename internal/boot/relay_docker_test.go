//go:build linux

package boot_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestWayOut: in a container without a network the program has a way out as soon as it
// starts, which goes to a socket of the host and belongs to the user; it is no child of the
// program, and nothing is left of it when the user ends it.
func TestWayOut(t *testing.T) {
	engine(t)
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "egress.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(filepath.Join(dir, "egress.sock"), 0o777); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	for _, dirs := range []string{filepath.Dir(dir), dir} { // another user passes through
		if err := os.Chmod(dirs, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, code := bootRun(t, []string{"-v", dir + ":/run/aifo:ro"}, "--user", "4711:4711", "--relay", "--", "bash", "-c", `
exec 3<>/dev/tcp/127.0.0.1/19128; echo there and back >&3; read -r line <&3; echo "$line"
for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline | grep -q '^aifo-shim relay' && pid=${p#/proc/}; done
grep -E '^(Uid|PPid|CapEff|NoNewPrivs|Threads)' /proc/$pid/status | tr '\t' ' '
kill $pid; while kill -0 $pid 2>/dev/null; do :; done; echo gone
(exec 3<>/dev/tcp/127.0.0.1/19128) 2>/dev/null || echo no way out
grep -v lo: /proc/net/dev | wc -l`)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	want(t, out, "there and back", "Uid: 4711 4711 4711 4711", "PPid: 1", "CapEff: 0000000000000000", "NoNewPrivs: 1", "gone", "no way out", "2")
}
