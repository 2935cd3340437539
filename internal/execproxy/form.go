package execproxy

import "strings"

// eachPair calls f with every key and value of a urlencoded form, in order,
// until f returns false. It decodes to bytes, whatever their encoding. A broken
// escape stands for itself, so every input is a form; net/url refuses those.
func eachPair(form string, f func(key, value string) bool) {
	for pair := range strings.SplitSeq(form, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		if !f(unescape(key), unescape(value)) {
			return
		}
	}
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "+%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, hexValue(s[i+1])<<4|hexValue(s[i+2]))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// hexValue is the value of a byte for which isHex holds: the letters of both
// cases differ from '0' in bit 6, and are 9 above their low four bits.
func hexValue(c byte) byte { return c&0xf + 9*(c>>6) }
