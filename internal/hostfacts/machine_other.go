//go:build !linux

package hostfacts

// kernel is not asked elsewhere: engines are in a virtual machine there.
func kernel() (release string, memory int64) { return "", 0 }
