// Package redact takes secrets out of arguments of programs before these are written
// down or sent. It knows a secret by what announces it, by what it looks like, or because
// it was told of it. What has none of these it cannot tell from other words: it makes
// a leak unlikely, and not impossible.
package redact

import (
	"regexp"
	"slices"
	"strings"
)

// Hidden stands for a secret.
const Hidden = "***"

// minKnown is the length from which a secret that was told is looked for: shorter ones
// are words of ordinary text.
const minKnown = 8

// flags are followed by a secret.
var flags = map[string]bool{
	"--token": true, "--password": true, "--passwd": true, "--api-key": true, "--apikey": true, "--key": true, "--secret": true,
	"--access-token": true, "--auth-token": true, "--client-secret": true, "--oauth2-bearer": true, "--proxy-user": true,
}

var (
	// bearer announces a credential, in the same argument or in the next one.
	bearer = regexp.MustCompile(`(?i)(bearer|authorization:\s*(basic|token))(\s|$)`)
	// header is an HTTP header that is one.
	header = regexp.MustCompile(`(?i)^((proxy-)?authorization|cookie|x-api-key|api-key|private-token|x-[a-z-]*token):`)
	// secretName is what the name of a variable, or of an option, with a secret ends with.
	secretName = regexp.MustCompile(`(?i)(token|password|passwd|secret|api[_-]?key|private[_-]?key|credential|auth)s?$`)
	// userinfo is the login in a URL.
	userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s]+@`)
	// keys are those of known issuers, which have marked them.
	keys = regexp.MustCompile(`\b(` + strings.Join(marks, "|") + `)[A-Za-z0-9_=.-]{8,}`)
)

// marks begin the keys of known issuers.
var marks = []string{
	"sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-",
	"AKIA", "ASIA", "AIza", "hf_", "npm_", "pypi-", "gsk_", "xai-",
}

// maxName bounds the names of variables that are looked at.
const maxName = 256

// Args returns a copy of args without secrets. known are secrets that may be anywhere.
func Args(args, known []string) []string {
	out := make([]string, 0, len(args))
	secret := false
	for _, a := range args {
		flag, _, hasValue := strings.Cut(a, "=")
		switch at := bearer.FindStringIndex(a); {
		case secret:
			a, secret = Hidden, false
		case at != nil:
			return append(out, a[:at[1]]+Hidden)
		case flags[flag] && hasValue:
			a = flag + "=" + Hidden
		default:
			secret = flags[a]
			a = Text(a, known)
		}
		out = append(out, a)
	}
	return out
}

// Text returns one argument without secrets, as far as they can be told without those
// before it.
func Text(s string, known []string) string {
	for _, k := range known {
		if len(k) >= minKnown {
			s = strings.ReplaceAll(s, k, Hidden)
		}
	}
	if at := header.FindStringIndex(s); at != nil {
		return s[:at[1]] + " " + Hidden
	}
	if name, _, ok := strings.Cut(s, "="); ok && len(name) <= maxName && secretName.MatchString(name) {
		return name + "=" + Hidden
	}
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "${1}"+Hidden+"@")
	}
	if slices.ContainsFunc(marks, func(m string) bool { return strings.Contains(s, m) }) { // much faster than the expression
		s = keys.ReplaceAllString(s, "${1}"+Hidden)
	}
	return s
}

// Known returns the values that are worth looking for, the longest first: one may be part
// of another.
func Known(values []string) []string {
	list := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return len(v) < minKnown })
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(list)
}
