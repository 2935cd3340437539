package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	forkFiles = 50_000
	forkPanes = 8
	forkRuns  = 3
)

// forks compares the start of fork mode on a repository of many files with as many git
// clones, in turns.
func (b *bench) forks() error {
	dir, err := os.MkdirTemp(memory(), "aifo-bench-fork")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f := forkBench{program: b.program, repo: filepath.Join(dir, "repo"), clones: filepath.Join(dir, "clones")}
	small := forkBench{program: b.program, repo: filepath.Join(dir, "small")}
	if err := errors.Join(f.makeRepository(forkFiles), small.makeRepository(1)); err != nil {
		return err
	}
	ways := []struct {
		name string
		run  func() error
	}{
		{fmt.Sprintf("git clone × %d", forkPanes), f.cloneInTurn},
		{fmt.Sprintf("git clone × %d, all at once", forkPanes), f.cloneAtOnce},
		{fmt.Sprintf("--fork %d: clones, containers and the end of agents that do nothing", forkPanes), f.fork},
		{"the same on a repository of one file", small.fork},
	}
	times := make([][]float64, len(ways))
	for range forkRuns {
		for i, w := range ways {
			begin := time.Now()
			if err := w.run(); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			times[i] = append(times[i], time.Since(begin).Seconds()*1e3)
			if err := errors.Join(f.tidy(), small.tidy()); err != nil {
				return err
			}
		}
	}
	t := table{native: times[0]}
	t.head(fmt.Sprintf("%d panes on a repository of %d files (ms)", forkPanes, forkFiles), "git clone")
	for i, w := range ways {
		t.row(w.name, times[i])
	}
	return nil
}

// memory is a file system in memory, where there is one: on disk the removal of a million
// files slows down for minutes whatever comes after it.
func memory() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return ""
}

type forkBench struct{ program, repo, clones string }

func (f forkBench) makeRepository(files int) error {
	for i := range files {
		path := filepath.Join(f.repo, fmt.Sprintf("dir%03d", i%250), fmt.Sprintf("file%05d.txt", i))
		if i < 250 {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(path, []byte(strings.Repeat(strconv.Itoa(i)+"\n", 100)), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(f.git("init", "--quiet", "--initial-branch=main"), f.git("config", "gc.auto", "0"), f.git("add", "."),
		f.git("-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "--quiet", "--message=files"), f.git("gc", "--quiet"))
}

func (f forkBench) git(args ...string) error { return quietly(f.repo, exec.Command("git", args...)) }

func quietly(dir string, cmd *exec.Cmd) error {
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Args[0], err, out)
	}
	return nil
}

func (f forkBench) clone(i int) error {
	return f.git("clone", "--quiet", f.repo, filepath.Join(f.clones, strconv.Itoa(i)))
}

func (f forkBench) cloneInTurn() error {
	var errs []error
	for i := range forkPanes {
		errs = append(errs, f.clone(i))
	}
	return errors.Join(errs...)
}

func (f forkBench) cloneAtOnce() error {
	errs := make([]error, forkPanes)
	var all sync.WaitGroup
	for i := range forkPanes {
		all.Go(func() { errs[i] = f.clone(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (f forkBench) fork() error {
	return quietly(f.repo, exec.Command(f.program, "--fork", strconv.Itoa(forkPanes), "--fork-runner", "plain",
		"--fork-merge-strategy", "none", "shell", "--", "true"))
}

// tidy removes what a way has made, outside of the time that is measured.
func (f forkBench) tidy() error {
	return errors.Join(os.RemoveAll(f.clones), quietly(f.repo, exec.Command(f.program, "fork", "clean", "--all", "--force", "--yes")))
}
