//go:build linux

package loopback

import (
	"bufio"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// tables are where the kernel lists the TCP sockets of our network.
var tables = []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"}

// maxRows is how many sockets of a table are looked at. The kernel lists those first that
// are listened to.
const maxRows = 16384

// listening is the state of a socket that is listened to.
const listening = "0A"

// reachable are the addresses, as the tables have them, whose listeners are reached by the
// loopback's own: that, and every address. The engine's name server is on another one.
var reachable = []string{
	"0100007F", "00000000",
	"00000000000000000000000001000000", "00000000000000000000000000000000", "0000000000000000FFFF00000100007F",
}

// listeners returns the ports on which the loopback is listened to, in order. Without a table
// there are none.
func listeners() []uint16 {
	var ports []uint16
	for _, name := range tables {
		f, err := os.Open(name)
		if err != nil {
			continue // no IPv6
		}
		ports = append(ports, parse(f)...)
		_ = f.Close()
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// parse returns the ports in a table, in its order.
func parse(table io.Reader) []uint16 {
	var ports []uint16
	rows := bufio.NewScanner(table)
	for n := 0; n < maxRows && rows.Scan(); n++ {
		fields := strings.Fields(rows.Text())
		if len(fields) < 4 || fields[3] != listening {
			continue
		}
		addr, port, _ := strings.Cut(fields[1], ":")
		if !slices.Contains(reachable, addr) {
			continue
		}
		if p, err := strconv.ParseUint(port, 16, 16); err == nil && p != 0 {
			ports = append(ports, uint16(p))
		}
	}
	return ports
}

// watcher finds out which ports are those of servers. One that a test opens for a moment is not:
// a port counts when two looks have found it.
type watcher struct {
	look func() []uint16
	last []uint16
}

// next looks once more, and returns the ports that count, in order. Those in own are not a
// server's but led from elsewhere.
func (w *watcher) next(own func(uint16) bool) []uint16 {
	found := slices.DeleteFunc(w.look(), func(p uint16) bool { return p == execproto.EgressPort || own(p) })
	ports := both(w.last, found)
	w.last = found
	return ports[:min(len(ports), execproto.MaxPorts)]
}

// both returns what is in two ordered lists.
func both(a, b []uint16) []uint16 {
	var list []uint16
	for _, p := range a {
		if _, found := slices.BinarySearch(b, p); found {
			list = append(list, p)
		}
	}
	return list
}
