package ports

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holder returns who listens on an address, as "NAME (process PID)", or "" when that is a
// program of somebody else's, of which the kernel tells nothing.
func holder(addr netip.AddrPort) string {
	for _, inode := range inodes(addr) {
		links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
		for _, link := range links {
			if target, _ := os.Readlink(link); target == "socket:["+inode+"]" {
				pid := strings.Split(link, "/")[2]
				name, _ := os.ReadFile(filepath.Join("/proc", pid, "comm"))
				return fmt.Sprintf("%q (process %s)", strings.TrimSpace(string(name)), pid)
			}
		}
	}
	return ""
}

// inodes returns the listening sockets that keep others from an address.
func inodes(addr netip.AddrPort) []string {
	var list []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		rows := bufio.NewScanner(f)
		for rows.Scan() {
			fields := strings.Fields(rows.Text())
			if len(fields) > 9 && fields[3] == "0A" && keeps(fields[1], addr) {
				list = append(list, fields[9])
			}
		}
		_ = f.Close()
	}
	return list
}

// keeps reports whether who listens on an address, as the kernel's table has it, keeps others
// from addr.
func keeps(local string, addr netip.AddrPort) bool {
	digits, port, _ := strings.Cut(local, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	raw, hexErr := hex.DecodeString(digits)
	if err != nil || hexErr != nil || uint16(n) != addr.Port() || len(raw)%4 != 0 {
		return false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word) // the machines that we run on have the lowest byte first
	}
	held, ok := netip.AddrFromSlice(raw)
	held = held.Unmap()
	return ok && (held == addr.Addr().Unmap() || held.IsUnspecified() || addr.Addr().IsUnspecified())
}
