package foreign

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// validRef reports whether name is the full name of a ref by the rules of
// git-check-ref-format(1).
func validRef(name string) bool {
	if !strings.HasPrefix(name, "refs/") || strings.HasSuffix(name, ".") || len(name) > 1024 ||
		strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.ContainsAny(name, " ~^:?*[\\") {
		return false
	}
	for i := range len(name) {
		if name[i] < 0x20 || name[i] == 0x7f {
			return false
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

// validObject reports whether s is an object's full name in hexadecimal, n digits long.
func validObject(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if !strings.ContainsRune("0123456789abcdef", rune(s[i])) {
			return false
		}
	}
	return true
}

// maxCleaned is how long a cleaned name may be.
const maxCleaned = 60

// cleanName returns a word for a ref of a clone that is safe in a branch's name
// on any file system. A branch whose name is such a word keeps it; every other name gets
// some digits of its hash, so that no two become the same.
func cleanName(ref string) string {
	short := strings.TrimPrefix(ref, "refs/heads/")
	var b strings.Builder
	for _, r := range strings.TrimPrefix(strings.ToLower(short), "refs/") {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	word := strings.Trim(b.String()[:min(b.Len(), maxCleaned)], "-")
	if word == short {
		return word
	}
	sum := sha256.Sum256([]byte(ref))
	return strings.TrimPrefix(word+"-"+hex.EncodeToString(sum[:4]), "-")
}
