//go:build !unix

package execproxy

import "net"

const maxSocketPath = 107

func checkPrivate(string) error { return errUnsupported }

func listenUnix(string) (net.Listener, error) { return nil, errUnsupported }
