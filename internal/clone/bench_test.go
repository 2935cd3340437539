//go:build unix

package clone_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

// panes is how many clones are made.
const panes = 8

// BenchmarkClone8 makes eight clones of a repository of 50,000 files (5,000 with -short) in three ways:
// by us, by git clone one after the other, and by git clone all at once. It reports seconds of each and
// how many times longer git clone takes. Run it with -benchtime=1x. Nothing is removed in between:
// ext4 is slow to reuse what was just removed.
func BenchmarkClone8(b *testing.B) {
	base := newBase(b)
	files := 50_000
	if testing.Short() {
		files = 5_000
	}
	fill(b, base.root, files)
	round := 0
	for b.Loop() {
		round++
		ours := timed(func() { cloneOurs(b, base, round) })
		serial := timed(func() {
			for i := range panes {
				cloneTheirs(b, base, "serial", round, i)
			}
		})
		parallel := timed(func() {
			atOnce(func(i int) { cloneTheirs(b, base, "parallel", round, i) })
		})
		b.ReportMetric(ours.Seconds(), "ours-s")
		b.ReportMetric(serial.Seconds(), "git-serial-s")
		b.ReportMetric(parallel.Seconds(), "git-parallel-s")
		b.ReportMetric(serial.Seconds()/ours.Seconds(), "git-serial/ours")
		b.ReportMetric(parallel.Seconds()/ours.Seconds(), "git-parallel/ours")
	}
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func atOnce(f func(int)) {
	var all sync.WaitGroup
	for i := range panes {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// fill commits files as a large project has them: many small, in directories.
func fill(b *testing.B, root string, files int) {
	b.Helper()
	for i := range files {
		name := filepath.Join(root, fmt.Sprintf("d%d/e%d/f%d.txt", i%50, i/50%20, i))
		if i < 1000 {
			require.NoError(b, os.MkdirAll(filepath.Dir(name), 0o755))
		}
		require.NoError(b, os.WriteFile(name, []byte(fmt.Sprint("file ", i, "\n", strings.Repeat("a line of some text\n", i%60))), 0o644))
	}
	gittest.Git(b, root, "add", "--all")
	gittest.Git(b, root, "commit", "--quiet", "--message", "files")
	gittest.Git(b, root, "repack", "-a", "-d", "--quiet")
}

func cloneOurs(b *testing.B, base base, round int) {
	source := base.prepare()
	atOnce(func(i int) {
		if _, err := source.Make(b.Context(), base.spec(round*panes+i)); err != nil {
			b.Error(err)
		}
	})
}

func cloneTheirs(b *testing.B, base base, way string, round, i int) {
	if out, err := gitOutput(base.home, "clone", "--quiet", base.root, fmt.Sprintf("%s-%d-%d", way, round, i)); err != nil {
		b.Error(out, err)
	}
}
