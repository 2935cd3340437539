//go:build !linux

package ports

import "net/netip"

// holder is not known here.
func holder(netip.AddrPort) string { return "" }
