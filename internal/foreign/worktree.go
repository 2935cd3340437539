package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// Change is a file that differs from the commit that the clone is on.
type Change struct {
	Path string `json:"path"`
	What string `json:"what"` // changed, deleted, untracked, staged, unmerged, submodule
}

// patience is how long git may take to compare the files of a clone. It is only needed
// when an agent puts a pipe in git's way just as we look.
const patience = 10 * time.Minute

var errPatience = errors.New("comparing its files took too long")

// changes compares the files of a unit with its HEAD: against an index of ours, and then
// the agent's index, of which a copy is read and nothing else.
func (v *View) changes(ctx context.Context, u *unit) ([]Change, error) {
	if u.tree == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	if err := u.readTree(ctx); err != nil {
		return nil, fmt.Errorf("read the commit of its HEAD: %w", err)
	}
	list, err := v.fileChanges(ctx, u)
	if err != nil {
		return nil, err
	}
	for _, at := range u.moved {
		list = append(list, Change{Path: at, What: "submodule"})
	}
	staged, err := v.stagedChanges(ctx, u, list)
	return append(list, staged...), err
}

// readTree makes the quarantine's index that of HEAD.
func (u *unit) readTree(ctx context.Context) error {
	if u.refs.head == "" {
		return u.q.Git("read-tree", "--empty").Run(ctx)
	}
	return u.q.Git("read-tree", u.refs.head).Run(ctx)
}

func (v *View) fileChanges(ctx context.Context, u *unit) ([]Change, error) {
	out, err := u.q.Git("status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all").Output(ctx)
	if err != nil {
		return nil, err
	}
	var list []Change
	for _, e := range parseStatus(string(out)) {
		if !e.pointer(ctx, v, u) {
			list = append(list, e.Change)
		}
	}
	return list, nil
}

// statusEntry is a line of git-status(1), porcelain format 2.
type statusEntry struct {
	Change
	modeHead, modeTree string
	blob               string // what HEAD has
}

// parseStatus reads the output of a status in which index and HEAD are the same.
func parseStatus(out string) []statusEntry {
	var list []statusEntry
	for record := range strings.SplitSeq(out, "\x00") {
		switch {
		case strings.HasPrefix(record, "? "):
			list = append(list, statusEntry{Change: Change{Path: record[2:], What: "untracked"}})
		case strings.HasPrefix(record, "1 "): // 1 XY SUB MODE_HEAD MODE_INDEX MODE_TREE BLOB_HEAD BLOB_INDEX PATH
			if f := strings.SplitN(record, " ", 9); len(f) == 9 {
				e := statusEntry{modeHead: f[3], modeTree: f[5], blob: f[6]}
				e.Change = Change{Path: f[8], What: "changed"}
				if strings.HasSuffix(f[1], "D") {
					e.What = "deleted"
				}
				list = append(list, e)
			}
		}
	}
	return list
}

// pointer reports whether the file differs only in that it is the content that a pointer of
// Git LFS in HEAD stands for. No filter program says so: we compute it.
func (e statusEntry) pointer(ctx context.Context, v *View, u *unit) bool {
	if e.What != "changed" || e.modeHead != e.modeTree {
		return false
	}
	want, ok := u.blobPointer(ctx, e.blob)
	if !ok {
		return false
	}
	got, err := pointerOf(v.pane, path.Join(u.tree, e.Path))
	return err == nil && got == want
}

// blobPointer returns the pointer that a blob is.
func (u *unit) blobPointer(ctx context.Context, blob string) (pointer, bool) {
	size, err := u.q.Git("cat-file", "-s", blob).Line(ctx)
	if err != nil || len(size) > 4 { // no more than 9999 bytes, and then parsePointer looks
		return pointer{}, false
	}
	content, err := u.q.Git("cat-file", "blob", blob).Output(ctx)
	if err != nil {
		return pointer{}, false
	}
	return parsePointer(content)
}

// stagedChanges returns what is in the agent's index and not in HEAD, beside known changes. Without an
// index there is nothing that only it has.
func (v *View) stagedChanges(ctx context.Context, u *unit, known []Change) ([]Change, error) {
	content, err := readOptional(u.git, "index", maxIndex)
	if err != nil || content == nil {
		return nil, err
	}
	index, err := parseIndex(content, v.clone.Repo.Format)
	if err != nil {
		return nil, fmt.Errorf("its index cannot be read: %w", err)
	}
	head := map[string]treeEntry{}
	if u.refs.head != "" {
		if head, err = listTree(ctx, u.q, u.refs.head); err != nil {
			return nil, err
		}
	}
	return compareIndex(index, head, known), nil
}

// treeEntry is what a commit has at a path.
type treeEntry struct{ mode, object string }

// listTree returns all files and submodules of a commit.
func listTree(ctx context.Context, q git.Shadow, commit string) (map[string]treeEntry, error) {
	out, err := q.Git("ls-tree", "-r", "-z", "--full-tree", commit).Output(ctx)
	if err != nil {
		return nil, err
	}
	entries := map[string]treeEntry{}
	for record := range strings.SplitSeq(string(out), "\x00") { // MODE TYPE OBJECT, a tab, PATH
		meta, name, _ := strings.Cut(record, "\t")
		if words := strings.Fields(meta); len(words) == 3 {
			entries[name] = treeEntry{mode: words[0], object: words[2]}
		}
	}
	return entries, nil
}

// compareIndex returns what an index has otherwise than a commit. Files of the commit that it lacks
// are lost nowhere, so they are no change.
func compareIndex(index []staged, head map[string]treeEntry, known []Change) []Change {
	seen := map[string]bool{}
	for _, c := range known {
		seen[c.Path] = true
	}
	var list []Change
	for _, e := range index {
		c := Change{Path: e.path, What: "staged"}
		if e.stage != 0 {
			c.What = "unmerged"
		} else if head[e.path] == (treeEntry{mode: fmt.Sprintf("%06o", e.mode), object: e.object}) {
			continue
		}
		if !seen[e.path] {
			seen[e.path] = true
			list = append(list, c)
		}
	}
	return list
}

// revs runs rev-list and returns its lines. Names to leave out may be missing: the user's
// refs may have gone on meanwhile.
func (u *unit) revs(ctx context.Context, want, have []string, opts ...string) ([]string, error) {
	c := u.q.Git(append(append([]string{"rev-list", "--ignore-missing"}, opts...), "--stdin")...)
	c.Stdin = strings.NewReader(git.RevList(want, have))
	out, err := c.Output(ctx)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(bytes.TrimSpace(out))), nil
}
