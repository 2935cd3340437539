package unixsock

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lookPause is the time between two looks for a socket that is not there yet.
const lookPause = 10 * time.Millisecond

// Dial connects to the socket path. It waits for a socket that is not there yet in a
// directory that is, for patience at most: one that leads out of a container by a tunnel comes
// when the container runs. One that refuses is there no more, and is not waited for.
func Dial(path string, patience time.Duration) (net.Conn, error) {
	for end := time.Now().Add(patience); ; time.Sleep(lookPause) {
		c, err := net.Dial("unix", path)
		if !errors.Is(err, fs.ErrNotExist) || !time.Now().Before(end) {
			return c, err
		}
		if _, statErr := os.Stat(filepath.Dir(path)); statErr != nil {
			return c, err
		}
	}
}
