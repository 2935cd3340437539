package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/aifo-coder/aifo-coder/internal/accept"
	"github.com/aifo-coder/aifo-coder/internal/publish"
	"github.com/aifo-coder/aifo-coder/internal/tunnel"
)

// maxPublished is how many connections a published port may have; more wait.
const maxPublished = 512

// Listener is a port of this machine that is published.
type Listener struct {
	*net.TCPListener
	Port publish.Port // with the port of this machine that the system chose
}

// ListenError says that a port of this machine cannot be had.
type ListenError struct {
	Port   publish.Port
	Holder string // whose it is: a program and its process id, or empty
	Err    error  // of the system
}

func (e *ListenError) Error() string {
	if !errors.Is(e.Err, syscall.EADDRINUSE) {
		return fmt.Sprintf("publish %s: %v", e.Port, reason(e.Err))
	}
	text := fmt.Sprintf("publish %s: port %d of this machine is in use", e.Port, e.Port.Host.Port())
	if e.Holder != "" {
		text += " by " + e.Holder
	}
	return text
}

func (e *ListenError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *ListenError) Hint() string {
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		return fmt.Sprintf("end that, or publish another port of this machine: --publish HOSTPORT:%d, where 0 lets the system choose", e.Port.Container)
	case errors.Is(e.Err, syscall.EACCES):
		return fmt.Sprintf("ports below 1024 are root's; publish a higher one: --publish %d:%d", 8000+int(e.Port.Host.Port()), e.Port.Container)
	}
	return "leave the address out for the loopback of this machine, or name one that this machine has"
}

// reason returns the system's own words for why a port cannot be had: the rest is said.
func reason(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// Listen listens on the ports of this machine, on all or on none. Its errors are *ListenError.
func Listen(ports []publish.Port) ([]*Listener, error) {
	var list []*Listener
	for _, p := range ports {
		l, err := listen(p)
		if err != nil {
			for _, l := range list {
				_ = l.Close()
			}
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

func listen(p publish.Port) (*Listener, error) {
	network := "tcp6"
	if p.Host.Addr().Unmap().Is4() {
		network = "tcp4" // 0.0.0.0 is no more than it says
	}
	l, err := net.ListenTCP(network, net.TCPAddrFromAddrPort(p.Host))
	if err != nil {
		e := &ListenError{Port: p, Err: err}
		if errors.Is(err, syscall.EADDRINUSE) {
			e.Holder = holder(p.Host)
		}
		return nil, e
	}
	p.Host = l.Addr().(*net.TCPAddr).AddrPort()
	return &Listener{TCPListener: l, Port: p}, nil
}

// Serve leads the connections to a published port into the session until the listener is closed.
// Where nobody listens, and when ctx has ended, a connection is reset.
func (b *Bridge) Serve(ctx context.Context, l *Listener) {
	free := make(chan struct{}, maxPublished)
	for {
		free <- struct{}{}
		client, err := accept.Next(l)
		if err != nil {
			return
		}
		go func() {
			defer func() { <-free }()
			b.pass(ctx, tunnel.TCP{TCPConn: client.(*net.TCPConn)}, l.Port.Container)
		}()
	}
}

func (b *Bridge) pass(ctx context.Context, client tunnel.TCP, port uint16) {
	server, err := b.Connect(ctx, port)
	if err != nil {
		client.Abort()
		return
	}
	tunnel.Join(client, server)
}
