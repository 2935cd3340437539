// Package doctor finds out why sessions do not work on a machine: a check asks the
// host or the engine something within a bounded time, and a pure function of the answers
// decides what it means and what to do about it. Checks change nothing. What they start on the
// engine is gone when they end, also when they are interrupted; only a Fix changes something,
// and only what can be made again.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status is what a check came to.
type Status string

// The statuses.
const (
	Pass Status = "pass"
	Warn Status = "warn" // sessions work, but less well or less safely than they could
	Fail Status = "fail" // sessions do not work
	Skip Status = "skip" // it could not be looked at, or does not matter here
)

// Result is one finding.
type Result struct {
	Group   string   `json:"group"`
	Name    string   `json:"name"`
	Status  Status   `json:"status"`
	Finding string   `json:"finding"`
	Next    []string `json:"next"`            // what to do, a line each; empty: nothing
	Fixed   string   `json:"fixed,omitempty"` // what a fix did about it

	// Fix mends it and returns what it did; nil: there is nothing that is safe to do.
	Fix func(context.Context) (string, error) `json:"-"`
}

// result returns a finding of the name.
func result(name string, s Status, finding string, next ...string) Result {
	return Result{Name: name, Status: s, Finding: finding, Next: next}
}

// Check is one question.
type Check struct {
	Group, Name string
	// Needs are the names of checks before it, without whose success there is nothing to ask.
	Needs []string
	After []string      // names of checks that it waits for, so as not to slow them down
	Limit time.Duration // of the probe; 0: usualLimit
	// Probe asks. It must heed its context, but is not relied on for that.
	Probe func(context.Context) []Result
}

const (
	// totalLimit bounds all checks together, with the grace for the last of them.
	totalLimit = 20 * time.Second
	usualLimit = 8 * time.Second
	// grace is for a probe to remove what it started, once it is out of time.
	grace = 9 * time.Second
)

// Run carries out the checks, those that need no other side by side, and tells of the results
// of each in the order of the checks as soon as they and those before them are there. It
// returns all of them. When ctx ends, so do the checks.
func Run(ctx context.Context, checks []Check, report func([]Result)) []Result {
	ctx, cancel := context.WithTimeoutCause(ctx, totalLimit, &slowError{totalLimit})
	defer cancel()
	answers := make([]*answer, len(checks))
	for i, c := range checks {
		answers[i] = &answer{name: c.Name, done: make(chan struct{})}
		needs, after := pick(answers[:i], c.Needs), pick(answers[:i], c.After)
		go func() {
			defer close(answers[i].done)
			for _, a := range after {
				<-a.done
			}
			answers[i].results = c.run(ctx, needs)
		}()
	}
	var all []Result
	for _, a := range answers {
		<-a.done
		report(a.results)
		all = append(all, a.results...)
	}
	return all
}

// answer is what a check has come to, once done is closed.
type answer struct {
	name    string
	done    chan struct{}
	results []Result
}

// pick returns the answers of the names. A name without a check is a mistake of ours.
func pick(answers []*answer, names []string) []*answer {
	var list []*answer
	for _, name := range names {
		i := slices.IndexFunc(answers, func(a *answer) bool { return a.name == name })
		if i < 0 {
			panic("no check before it has the name " + name)
		}
		list = append(list, answers[i])
	}
	return list
}

// run returns the results of the check, with names for those that have none of their own.
func (c Check) run(ctx context.Context, needs []*answer) []Result {
	results := c.answer(ctx, needs)
	for i := range results {
		results[i].Group = c.Group
		if results[i].Name == "" {
			results[i].Name = c.Name
		}
		if results[i].Next == nil {
			results[i].Next = []string{}
		}
	}
	return results
}

func (c Check) answer(ctx context.Context, needs []*answer) []Result {
	for _, n := range needs {
		<-n.done
		if !usable(n.results) {
			return []Result{result("", Skip, "not looked at: it needs "+n.name)}
		}
	}
	return c.bounded(ctx)
}

// usable reports whether checks that need these results can be carried out.
func usable(results []Result) bool {
	return !slices.ContainsFunc(results, func(r Result) bool { return r.Status == Fail || r.Status == Skip })
}

// bounded asks, and gives up on a probe that hangs: a file system of the network may keep it for
// as long as its server is gone.
func (c Check) bounded(ctx context.Context) []Result {
	limit := c.Limit
	if limit == 0 {
		limit = usualLimit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &slowError{limit})
	defer cancel()
	done := make(chan []Result, 1)
	go func() { done <- c.Probe(ctx) }()
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r
	case <-time.After(grace):
		return []Result{hung(context.Cause(ctx))}
	}
}

// hung is the result of a probe that was given up. Where others have left it no time, that is no
// failure of its own.
func hung(why error) Result {
	var slow *slowError
	if errors.As(why, &slow) && slow.limit == totalLimit {
		return result("", Warn, "it could not be finished: "+why.Error(), tryAgain)
	}
	return result("", Fail, fmt.Sprintf("it hangs: %v", why), tryAgain)
}

// slowError says that there was no time left for an answer.
type slowError struct{ limit time.Duration }

func (e *slowError) Error() string { return fmt.Sprintf("no answer within %v", e.limit) }

// tryAgain is what to do when an answer took too long.
const tryAgain = "see what keeps the machine busy, and try again"

func isSlow(err error) bool {
	var slow *slowError
	return errors.As(err, &slow)
}

// Fix carries out the fixes of the results, and notes what each did. A fix that fails
// leaves its result with the reason.
func Fix(ctx context.Context, results []Result) []Result {
	fixed := slices.Clone(results)
	for i, r := range fixed {
		if r.Fix == nil || ctx.Err() != nil {
			continue
		}
		did, err := r.Fix(ctx)
		if err != nil {
			fixed[i].Finding += fmt.Sprintf("; the fix failed: %v", err)
			continue
		}
		fixed[i].Status, fixed[i].Fixed, fixed[i].Next = Pass, did, []string{}
	}
	return fixed
}

// Summary counts results.
type Summary struct {
	Pass int `json:"pass"`
	Warn int `json:"warn"`
	Fail int `json:"fail"`
	Skip int `json:"skip"`
}

// Summarise counts the results by status.
func Summarise(results []Result) Summary {
	var s Summary
	for _, r := range results {
		switch r.Status {
		case Pass:
			s.Pass++
		case Warn:
			s.Warn++
		case Fail:
			s.Fail++
		case Skip:
			s.Skip++
		}
	}
	return s
}

func (s Summary) String() string {
	warnings := "warnings"
	if s.Warn == 1 {
		warnings = "warning"
	}
	return fmt.Sprintf("%d passed, %d %s, %d failed, %d skipped", s.Pass, s.Warn, warnings, s.Fail, s.Skip)
}

// list joins words as a sentence has them.
func list(words []string) string { return strings.Join(words, ", ") }
