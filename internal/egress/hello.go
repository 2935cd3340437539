package egress

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
)

// maxHello bounds what is read before TLS has begun: a ClientHello of the size that
// crypto/tls takes, in records of one byte each.
const maxHello = 6 * (64 << 10)

var (
	errHelloRead = errors.New("the ClientHello has been read")
	errHelloLong = errors.New("the ClientHello is too long")
)

// readHello reads a TLS ClientHello from r, however it is cut into records, and returns
// the server name in it and everything that it has read. It answers nothing.
func readHello(r io.Reader) (serverName string, read []byte, err error) {
	tap := &helloConn{r: r}
	seen := false
	err = tls.Server(tap, &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			serverName, seen = hello.ServerName, true
			return nil, errHelloRead
		},
	}).Handshake()
	if seen {
		err = nil
	}
	return serverName, tap.read.Bytes(), err
}

// helloConn is a connection for a handshake that ends after its first message.
type helloConn struct {
	net.Conn // nil: nothing else is called
	r        io.Reader
	read     bytes.Buffer
}

// Read implements net.Conn.
func (c *helloConn) Read(p []byte) (int, error) {
	room := maxHello - c.read.Len()
	if room <= 0 {
		return 0, errHelloLong
	}
	n, err := c.r.Read(p[:min(len(p), room)])
	c.read.Write(p[:n])
	return n, err
}

// Write implements net.Conn: the alert that ends the handshake goes nowhere.
func (c *helloConn) Write(p []byte) (int, error) { return len(p), nil }

// unrecognizedName is a fatal TLS alert (RFC 6066), in a record.
var unrecognizedName = []byte{21, 3, 1, 0, 2, 2, 112}
