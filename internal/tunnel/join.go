package tunnel

import (
	"io"
	"net"
	"sync"
)

// Duplex is a connection each direction of which ends by itself, or breaks off with the other.
type Duplex interface {
	io.ReadWriteCloser
	CloseWrite() error
	Abort()
}

// TCP is a TCP connection as a Duplex.
type TCP struct{ *net.TCPConn }

// Abort resets the connection.
func (c TCP) Abort() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// Join carries what comes from each of the two to the other, until both directions have ended
// or one has broken off, in which case both are. It closes them.
func Join(a, b Duplex) {
	var both sync.WaitGroup
	both.Go(func() { flow(a, b) })
	both.Go(func() { flow(b, a) })
	both.Wait()
	_ = a.Close()
	_ = b.Close()
}

func flow(to, from Duplex) {
	if _, err := io.Copy(to, from); err != nil {
		to.Abort()
		from.Abort()
		return
	}
	_ = to.CloseWrite() // or it is gone, which the other direction sees
}
