package merge

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// commit is a line of a branch's log.
type commit struct{ id, subject string }

const (
	maxTitle   = 120
	maxListed  = 100 // commits of a branch that the message lists
	maxSubject = 200
)

// log returns the commits of a side that the base branch lacks, the oldest first.
func (m *merger) log(ctx context.Context, side, base string) ([]commit, error) {
	c := m.shadow.Git("rev-list", "--reverse", "--no-commit-header", "--format=%h %s", "--stdin")
	c.Stdin = strings.NewReader(git.RevList([]string{side}, []string{base}))
	out, err := c.Output(ctx)
	if err != nil {
		return nil, err
	}
	var list []commit
	for line := range strings.Lines(string(out)) {
		id, subject, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		list = append(list, commit{id: id, subject: clean(subject)})
	}
	return list, nil
}

// clean returns s for a message that terminals show: without control characters.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return cut(s, maxSubject)
}

// cut returns s with at most n bytes, of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const more = "…"
	n -= len(more)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimRight(s[:n], " ") + more
}

// kindPrefix is what conventional commits put before a subject ("fix(parser)!: ").
var kindPrefix = regexp.MustCompile(`^[a-z]+(\([^)]*\))?!?: +`)

// title returns one line of the subjects of all branches, each once.
func title(logs [][]commit) string {
	var subjects []string
	for _, log := range logs {
		for _, c := range log {
			s := strings.TrimSpace(kindPrefix.ReplaceAllString(c.subject, ""))
			if s != "" && !slices.Contains(subjects, s) {
				subjects = append(subjects, s)
			}
		}
	}
	if len(subjects) == 0 {
		return "Merge the work of agents"
	}
	return cut(strings.Join(subjects, " / "), maxTitle)
}

// message returns the message of a merge: the title, then the commits of each branch.
func message(title string, sides []Side, logs [][]commit) string {
	var b strings.Builder
	b.WriteString(title + "\n")
	for i, s := range sides {
		fmt.Fprintf(&b, "\n%s:\n", short(s.Branch))
		for _, c := range logs[i][:min(len(logs[i]), maxListed)] {
			fmt.Fprintf(&b, "- %s %s\n", c.id, c.subject)
		}
		if more := len(logs[i]) - maxListed; more > 0 {
			fmt.Fprintf(&b, "- and %d more\n", more)
		}
	}
	return b.String()
}
