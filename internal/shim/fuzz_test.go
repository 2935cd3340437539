//go:build linux

package shim

import (
	"bufio"
	"bytes"
	"testing"
)

// FuzzReply: no answer does harm, and none without an exit code has one.
func FuzzReply(f *testing.F) {
	for _, head := range []string{
		"", "HTTP/1.1 101 Switching Protocols\r\nX-Aifo-Files: 3\r\n\r\n", "HTTP/1.0 200\nX-Exit-Code: 256\n\n",
		"HTTP/1.1 102 Processing\r\nX-Aifo-Notice: wait\r\n\r\n", "HTTP/1.1 401 x\r\nContent-Length: 99999999999999999999\r\nx-exit-code:-1\r\n\r\n",
	} {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		a, err := readReply(bufio.NewReaderSize(bytes.NewReader(head), headBuffer))
		if err != nil {
			return
		}
		if a.exit < -1 || a.exit > 255 || a.length < -1 {
			t.Errorf("%+v", a)
		}
		if a.exit >= 0 && !bytes.Contains(bytes.ToLower(head), []byte("x-exit-code")) {
			t.Errorf("exit code %d of nothing", a.exit)
		}
	})
}
