package execproto

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// What the two ends of a container's port link tell each other (docs/protocol.md, "Ports"). Each
// says how things are, and replaces what was said before.
const (
	PortsListening MuxType = 'p' // container to host: ports on which its loopback is listened to
	PortsTaken     MuxType = 't' // container to host: those of PortsForward that it has no use of
	PortsForward   MuxType = 'l' // host to container: ports to listen to, for others
	PortsWatch     MuxType = 'w' // host to container: 1 byte, whether to look for PortsListening
)

// The first byte of a connection to a port, which says whether somebody listens there.
const (
	PortOpen    byte = 0
	PortRefused byte = 1
)

const (
	// MaxPorts is how many ports of a container are known, and how many lead into it.
	MaxPorts = 256
	// MaxPortConns is how many connections each end of a port link may open.
	MaxPortConns = 512
)

// PortsSocketName is the socket to which the end of a port link connects.
const PortsSocketName = "ports.sock"

// EgressPort is the port of EgressAddr, which is no server of the user's.
const EgressPort = 19128

// EncodePorts returns the payload that says these ports, which are in order.
func EncodePorts(ports []uint16) []byte {
	b := make([]byte, 0, 2*len(ports))
	for _, p := range ports {
		b = binary.BigEndian.AppendUint16(b, p)
	}
	return b
}

// DecodePorts is the inverse of EncodePorts. Its errors wrap ErrFrame.
func DecodePorts(b []byte) ([]uint16, error) {
	if len(b)%2 != 0 || len(b)/2 > MaxPorts {
		return nil, fmt.Errorf("%w: ports in %d bytes", ErrFrame, len(b))
	}
	ports := make([]uint16, 0, len(b)/2)
	last := uint16(0)
	for ; len(b) > 0; b = b[2:] {
		p := binary.BigEndian.Uint16(b)
		if p <= last {
			return nil, fmt.Errorf("%w: ports that are not in order", ErrFrame)
		}
		last = p
		ports = append(ports, p)
	}
	return ports, nil
}

// PortName is the name of a connection to a port.
func PortName(port uint16) string { return strconv.Itoa(int(port)) }

// ParsePort returns the port of a connection's name, 0 for none.
func ParsePort(name string) uint16 {
	n, err := strconv.ParseUint(name, 10, 16)
	if err != nil || PortName(uint16(n)) != name {
		return 0
	}
	return uint16(n)
}
