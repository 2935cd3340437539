//go:build !unix

package unixsock

import "net"

const maxPath = 107

func checkPrivate(string) error { return errUnsupported }

func listen(string) (net.Listener, error) { return nil, errUnsupported }
