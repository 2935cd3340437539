package doctor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gives is a probe with a result.
func gives(s Status) func(context.Context) []Result {
	return func(context.Context) []Result { return []Result{result("", s, string(s))} }
}

func statuses(results []Result) map[string]Status {
	m := map[string]Status{}
	for _, r := range results {
		m[r.Name] = r.Status
	}
	return m
}

// TestRunNeeds: what needs a check that failed is not asked, and what needs that neither.
func TestRunNeeds(t *testing.T) {
	never := func(context.Context) []Result {
		t.Error("asked")
		return nil
	}
	var order []string
	got := Run(t.Context(), []Check{
		{Group: "g", Name: "good", Probe: gives(Pass)},
		{Group: "g", Name: "weak", Probe: gives(Warn)},
		{Group: "g", Name: "bad", Probe: gives(Fail)},
		{Group: "g", Name: "after good", Needs: []string{"good", "weak"}, Probe: gives(Pass)},
		{Group: "g", Name: "after bad", Needs: []string{"good", "bad"}, Probe: never},
		{Group: "g", Name: "after that", Needs: []string{"after bad"}, Probe: never},
		{Group: "g", Name: "later", After: []string{"bad"}, Probe: gives(Pass)},
	}, func(r []Result) { order = append(order, r[0].Name) })
	assert.Equal(t, map[string]Status{
		"good": Pass, "weak": Warn, "bad": Fail, "after good": Pass, "after bad": Skip, "after that": Skip, "later": Pass,
	}, statuses(got))
	assert.Equal(t, []string{"good", "weak", "bad", "after good", "after bad", "after that", "later"}, order, "in the order of the checks")
	assert.Equal(t, "g", got[0].Group)
	assert.NotNil(t, got[0].Next, "a list in JSON")
}

func TestRunIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		forever := make(chan struct{})
		defer close(forever)
		got := Run(t.Context(), []Check{
			{Name: "heeds", Limit: time.Second, Probe: func(ctx context.Context) []Result {
				<-ctx.Done()
				return []Result{result("", Warn, context.Cause(ctx).Error())}
			}},
			{Name: "hangs", Limit: time.Second, Probe: func(context.Context) []Result {
				<-forever
				return nil
			}},
			{Name: "has no time", Limit: time.Hour, Probe: func(context.Context) []Result {
				<-forever
				return nil
			}},
		}, func([]Result) {})
		assert.Equal(t, map[string]Status{"heeds": Warn, "hangs": Fail, "has no time": Warn}, statuses(got))
		assert.Equal(t, "no answer within 1s", got[0].Finding)
		assert.Equal(t, totalLimit+grace, time.Since(began))
		assert.Less(t, totalLimit+grace, 30*time.Second, "as documented")
	})
}

// TestRunIsInterrupted: a probe has the time to remove what it started.
func TestRunIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var removed atomic.Bool
		time.AfterFunc(time.Second, cancel)
		Run(ctx, []Check{{Name: "container", Probe: func(ctx context.Context) []Result {
			<-ctx.Done()
			time.Sleep(grace / 2) // the removal, in the test's own time
			removed.Store(true)
			return nil
		}}}, func([]Result) {})
		assert.True(t, removed.Load())
	})
}

func TestRunWithoutTheNeededCheckPanics(t *testing.T) {
	require.Panics(t, func() {
		Run(t.Context(), []Check{{Name: "a", Needs: []string{"b"}}, {Name: "b"}}, func([]Result) {})
	})
}

// TestChecksFit: each check that another needs or waits for comes before it.
func TestChecksFit(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks(Host{}) {
		for _, name := range append(c.Needs, c.After...) {
			assert.True(t, seen[name], "%s needs %s", c.Name, name)
		}
		assert.False(t, seen[c.Name], c.Name)
		assert.NotEmpty(t, c.Group)
		assert.LessOrEqual(t, c.Limit, totalLimit)
		seen[c.Name] = true
	}
}

func TestFix(t *testing.T) {
	mended := result("a", Fail, "bad", "do something")
	mended.Fix = func(context.Context) (string, error) { return "did", nil }
	stuck := result("b", Warn, "bad", "do something")
	stuck.Fix = func(context.Context) (string, error) { return "", errors.New("no") }
	got := Fix(t.Context(), []Result{mended, stuck, result("c", Fail, "bad")})
	assert.Equal(t, map[string]Status{"a": Pass, "b": Warn, "c": Fail}, statuses(got))
	assert.Equal(t, "did", got[0].Fixed)
	assert.Empty(t, got[0].Next)
	assert.Contains(t, got[1].Finding, "the fix failed: no")
	assert.Equal(t, Summary{Pass: 1, Warn: 1, Fail: 1}, Summarise(got))
	assert.Equal(t, "1 passed, 1 warning, 1 failed, 0 skipped", Summarise(got).String())
	assert.Equal(t, "0 passed, 2 warnings, 0 failed, 0 skipped", Summary{Warn: 2}.String())
}
