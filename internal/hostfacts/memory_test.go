package hostfacts

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMemory(t *testing.T) {
	total, available := parseMeminfo("MemTotal:       16326428 kB\nMemFree:         1 kB\nMemAvailable:   12000000 kB\nHugePages_Total:       3\n")
	require.Equal(t, int64(16326428)<<10, total)
	require.Equal(t, int64(12000000)<<10, available)
	total, available = parseMeminfo("no such thing\nMemTotal: much kB")
	require.Zero(t, total+available)
	total, available = Memory()
	require.Equal(t, runtime.GOOS == "linux", available > 0 && total >= available)
}
