package egress

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// copySize is the size of the buffer of one direction: a record of TLS. A container may
// have maxConns tunnels with two of them.
const copySize = 16 << 10

type bufferPool struct{ pool sync.Pool }

// buffers is also the pool of httputil.ReverseProxy.
var buffers = &bufferPool{sync.Pool{New: func() any { return new([copySize]byte) }}}

// Get implements httputil.BufferPool.
func (p *bufferPool) Get() []byte { return p.pool.Get().(*[copySize]byte)[:] }

// Put implements httputil.BufferPool.
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[copySize]byte)(b)) }

// activity ends connections on which nothing has happened for the limit: whatever
// happens on one of them puts off the deadline of all.
type activity struct {
	limit time.Duration
	conns []net.Conn
	noted atomic.Int64 // when the deadlines were set, in nanoseconds since 1970
}

func newActivity(limit time.Duration, conns ...net.Conn) *activity {
	a := &activity{limit: limit, conns: conns}
	a.note()
	return a
}

// note puts off the end. It does nothing most of the time.
func (a *activity) note() {
	now := time.Now()
	last := a.noted.Load()
	if now.UnixNano()-last < int64(a.limit/16) || !a.noted.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	for _, c := range a.conns {
		c.SetDeadline(now.Add(a.limit)) //nolint:errcheck // a closed connection needs none
	}
}

// watched is a connection that ends when nothing happens on it.
type watched struct {
	net.Conn
	activity *activity
}

func watch(c net.Conn, limit time.Duration) *watched {
	return &watched{Conn: c, activity: newActivity(limit, c)}
}

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) {
	w.activity.note()
	return w.Conn.Read(p)
}

// Write implements net.Conn.
func (w *watched) Write(p []byte) (int, error) {
	w.activity.note()
	return w.Conn.Write(p)
}

// CloseWrite ends what the other side reads.
func (w *watched) CloseWrite() error { return closeWrite(w.Conn) }

// pipe is a tunnel: two connections, of which each gets what comes from the other.
type pipe struct {
	client, upstream net.Conn
	activity         *activity
	sent, received   atomic.Int64 // from and to the client
}

// run copies until both directions have ended or one has failed, closes both
// connections, and returns the failure.
func (p *pipe) run() error {
	var up error
	done := make(chan struct{})
	go func() {
		defer close(done)
		up = p.oneWay(p.upstream, p.client, &p.sent)
	}()
	down := p.oneWay(p.client, p.upstream, &p.received)
	<-done
	p.client.Close()
	p.upstream.Close()
	return errors.Join(up, down)
}

// oneWay copies to the end of src, and passes the end on. After a failure nothing more
// can come of the other direction.
func (p *pipe) oneWay(dst, src net.Conn, count *atomic.Int64) error {
	buf := buffers.Get()
	defer buffers.Put(buf)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			p.activity.note()
			count.Add(int64(n))
			if _, werr := dst.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if errors.Is(err, io.EOF) {
			err = closeWrite(dst)
			if err == nil {
				return nil
			}
		}
		if err != nil {
			p.client.Close()
			p.upstream.Close()
			return err
		}
	}
}
