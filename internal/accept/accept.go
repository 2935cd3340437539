// Package accept takes connections from a listener that outlives what goes wrong with one of them.
package accept

import (
	"errors"
	"net"
	"time"
)

// pause is how long to wait when a connection cannot be taken, which is so when the process has no
// file left for it.
const pause = 50 * time.Millisecond

// Next returns the next connection. It returns an error, net.ErrClosed, only when the listener is closed:
// otherwise it tries again after a pause.
func Next(l net.Listener) (net.Conn, error) {
	for {
		conn, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		time.Sleep(pause)
	}
}
