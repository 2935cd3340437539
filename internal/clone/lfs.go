package clone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// lfsFiles are the files of a commit that Git LFS keeps elsewhere.
type lfsFiles struct {
	used    bool     // attributes ask for it
	paths   []string // whose content is on this machine
	objects []string // that content, by its SHA-256
}

// pointer is what a commit has of a file in Git LFS
// (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
type pointer struct {
	oid  string
	size int64
}

// maxPointer is how long a pointer may be, by its specification.
const maxPointer = 1024

var pointerRE = regexp.MustCompile(`\Aversion https?://[^\n]+\n(?:[^\n]+\n)*?oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,18})\n`)

func parsePointer(content []byte) (pointer, bool) {
	m := pointerRE.FindSubmatch(content)
	if m == nil {
		return pointer{}, false
	}
	size, err := strconv.ParseInt(string(m[2]), 10, 64)
	return pointer{oid: string(m[1]), size: size}, err == nil
}

// lfsPath returns the place of an object in a git directory.
func lfsPath(oid string) string { return path.Join("lfs/objects", oid[:2], oid[2:4], oid) }

// findLFS looks for the content of those files for which attributes ask for Git LFS.
func (p *preparer) findLFS(ctx context.Context, t tree, look git.Shadow, files []entry) (lfsFiles, error) {
	if len(files) == 0 {
		return lfsFiles{}, nil
	}
	found := lfsFiles{used: true}
	if !hasFilter(t.settings, "lfs", false) || (git.Command{UserConfig: true, Args: []string{"lfs", "version"}}).Run(ctx) != nil {
		p.warn("Git LFS is not set up on this machine (git lfs install): the clones have %d files as pointers, without their content", len(files))
		return found, context.Cause(ctx)
	}
	pointers, err := readPointers(ctx, look, files)
	if err != nil {
		return lfsFiles{}, err
	}
	missing := found.sort(t.repo, files, pointers)
	if len(missing) > 0 {
		p.warn("the clones have %s of Git LFS as pointers, for the content is not on this machine; get it first: git lfs fetch", count(missing))
	}
	return found, nil
}

// sort keeps the files whose content is here, and returns the others.
func (l *lfsFiles) sort(repo git.Repo, files []entry, pointers map[string]pointer) (missing []string) {
	known := map[string]bool{}
	for _, f := range files {
		ptr, ok := pointers[f.object]
		switch {
		case !ok || ptr.size == 0: // committed as it is, or empty
		case known[ptr.oid] || hasLFS(repo, ptr):
			l.paths = append(l.paths, f.path)
			if !known[ptr.oid] {
				l.objects = append(l.objects, ptr.oid)
			}
			known[ptr.oid] = true
		default:
			missing = append(missing, f.path)
		}
	}
	return missing
}

func hasLFS(repo git.Repo, ptr pointer) bool {
	f, err := git.OpenRegular(repo.CommonDir, lfsPath(ptr.oid))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	return err == nil && info.Size() == ptr.size
}

// readPointers returns the pointers among the objects of files, by object.
func readPointers(ctx context.Context, look git.Shadow, files []entry) (map[string]pointer, error) {
	small, err := smallObjects(ctx, look, files)
	if err != nil || len(small) == 0 {
		return nil, err
	}
	c := look.Git("cat-file", "--batch")
	c.Stdin = strings.NewReader(strings.Join(small, "\n") + "\n")
	out, err := c.Output(ctx)
	if err != nil {
		return nil, err
	}
	return parseBatch(strings.NewReader(string(out)))
}

// smallObjects returns the objects that are no longer than a pointer.
func smallObjects(ctx context.Context, look git.Shadow, files []entry) ([]string, error) {
	c := look.Git("cat-file", "--batch-check=%(objectsize) %(objectname)")
	var in strings.Builder
	for _, f := range files {
		in.WriteString(f.object + "\n")
	}
	c.Stdin = strings.NewReader(in.String())
	out, err := c.Output(ctx)
	var small []string
	for line := range strings.Lines(string(out)) {
		size, object, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, convErr := strconv.Atoi(size); convErr == nil && n <= maxPointer {
			small = append(small, object)
		}
	}
	return small, err
}

// parseBatch reads the output of git cat-file --batch: OBJECT, TYPE, SIZE, newline, content, newline.
func parseBatch(r io.Reader) (map[string]pointer, error) {
	in := bufio.NewReader(r)
	pointers := map[string]pointer{}
	for {
		var object, kind string
		var size int
		if _, err := fmt.Fscanf(in, "%s %s %d\n", &object, &kind, &size); errors.Is(err, io.EOF) {
			return pointers, nil
		} else if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		content := make([]byte, size+1)
		if _, err := io.ReadFull(in, content); err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		if ptr, ok := parsePointer(content[:size]); ok {
			pointers[object] = ptr
		}
	}
}

// checkOutLFS writes the files of Git LFS whose content is here. All of it is in
// the clone before git-lfs runs: it would fetch what is missing over the network, and hard-link
// what the base has. They come last: git would take them for changed when it writes
// the index without the filter.
func (m *maker) checkOutLFS(ctx context.Context, t tree, p place) error {
	if len(t.lfs.paths) == 0 {
		return nil
	}
	if err := m.copyLFS(ctx, t, p); err != nil {
		return fmt.Errorf("copy the objects of Git LFS: %w", err)
	}
	if err := m.at("check out the files of Git LFS of %s", p.gitDir); err != nil {
		return err
	}
	c := m.git(p, "checkout-index", "--index", "--quiet", "-z", "--stdin")
	c.Stdin = pathList(t.lfs.paths)
	if err := c.Run(ctx); err != nil {
		return fmt.Errorf("check out the files of Git LFS: %w", err)
	}
	return m.settleIndex(ctx, p)
}

func (m *maker) copyLFS(ctx context.Context, t tree, p place) error {
	if err := m.at("copy the objects of Git LFS of %s", p.gitDir); err != nil {
		return err
	}
	for _, oid := range t.lfs.objects {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := copyLFSObject(t.repo.CommonDir, oid, m.root, p.gitDir); err != nil {
			return err
		}
	}
	return nil
}

func copyLFSObject(from, oid string, root *os.Root, gitDir string) error {
	in, err := git.OpenRegular(from, lfsPath(oid))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	to := path.Join(gitDir, lfsPath(oid))
	if err := root.MkdirAll(path.Dir(to), 0o777); err != nil {
		return err
	}
	return copyTo(root, to, in)
}

// settleIndex keeps git from looking into files of Git LFS because they are as young as the
// index (git's Documentation/technical/racy-git.txt): it would need git-lfs, which an agent's
// image may not have. Git counts in seconds.
func (m *maker) settleIndex(ctx context.Context, p place) error {
	select {
	case <-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second))):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	now := time.Now()
	return m.root.Chtimes(path.Join(p.gitDir, "index"), now, now)
}
