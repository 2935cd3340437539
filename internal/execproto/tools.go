package execproto

import "strings"

// FoundTool is one tool that "aifo-shim tools" found in a sidecar.
type FoundTool struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Version string `json:"version,omitempty"` // the first line that it prints; empty when it prints none
}

// Line returns the tool as one line, without its end: the parts with a NUL between them.
func (t FoundTool) Line() string { return t.Name + "\x00" + t.Path + "\x00" + t.Version }

// ParseFoundTool is the reverse of Line. It reports whether line is one.
func ParseFoundTool(line string) (FoundTool, bool) {
	f := strings.Split(line, "\x00")
	if len(f) != 3 || f[0] == "" {
		return FoundTool{}, false
	}
	return FoundTool{Name: f[0], Path: f[1], Version: f[2]}, true
}
