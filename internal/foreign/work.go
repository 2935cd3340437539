package foreign

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// tip is something in a unit that keeps objects: HEAD, a ref, a stash.
type tip struct {
	ref    string // full name, "HEAD", "stash/COMMIT" or "worktrees/NAME"
	object string
	kind   string // of the object: commit, tag, tree, blob; "" when it is missing
}

// maxTips is how many refs with work are looked at one by one.
const maxTips = 1000

// tips returns what may hold work: all but what the clone was created with.
func (u *unit) tips() []tip {
	started := map[string]bool{u.base: true}
	for _, object := range u.started {
		started[object] = true
	}
	var list []tip
	add := func(ref, object string) {
		if !started[object] {
			list = append(list, tip{ref: ref, object: object})
		}
	}
	if u.refs.head != "" {
		add("HEAD", u.refs.head)
	}
	for _, r := range u.refs.all {
		if r.Name != u.refs.branch { // which is HEAD
			add(r.Name, r.Object)
		}
	}
	for _, object := range u.refs.stashes {
		add("stash/"+object, object)
	}
	for _, t := range u.refs.trees {
		add(t.Name, t.Object)
	}
	return list
}

// kinds fills in what the tips are.
func (u *unit) kinds(ctx context.Context, tips []tip) error {
	if len(tips) == 0 {
		return nil
	}
	var in strings.Builder
	for _, t := range tips {
		in.WriteString(t.object + "\n")
	}
	c := u.q.Git("cat-file", "--batch-check=%(objecttype)", "--buffer")
	c.Stdin = strings.NewReader(in.String())
	out, err := c.Output(ctx)
	if err != nil {
		return err
	}
	lines := strings.Split(string(out), "\n")
	for i := range tips {
		if i < len(lines) && !strings.Contains(lines[i], " ") { // "OBJECT missing"
			tips[i].kind = lines[i]
		}
	}
	return nil
}

// work is what a unit has that the user's repository may lack.
type work struct {
	tips    []tip     // with work, HEAD first
	lost    []tip     // something that they reach is missing
	ahead   int       // commits of HEAD that the base lacks
	pending []tip     // of tips, those that no ref of the user's reaches
	lfs     []pointer // files of Git LFS that the work has and the user's repository lacks
}

// known is what is no work.
func (u *unit) known() []string {
	if u.base == "" {
		return u.started
	}
	return append([]string{u.base}, u.started...)
}

// work finds out what is new in a unit.
func (u *unit) work(ctx context.Context) (work, error) {
	tips, w := u.tips(), work{}
	err := u.kinds(ctx, tips)
	if err != nil {
		return w, err
	}
	w.lost, tips = split(tips, func(t tip) bool { return t.kind == "" })
	incomplete, err := u.incomplete(ctx, tips)
	if err != nil {
		return w, err
	}
	w.lost = append(w.lost, incomplete...)
	_, tips = split(tips, func(t tip) bool { return slices.Contains(incomplete, t) })
	if w.tips, err = u.reachingNew(ctx, tips, u.known()); err != nil {
		return w, err
	}
	if len(w.tips) > maxTips {
		return w, fmt.Errorf("%d refs have work, which is more than can be looked at", len(w.tips))
	}
	if w.pending, err = u.reachingNew(ctx, w.tips, append(u.known(), u.kept...)); err != nil {
		return w, err
	}
	if w.ahead, err = u.ahead(ctx, w.tips); err != nil {
		return w, err
	}
	w.lfs, err = u.newPointers(ctx, w.tips)
	return w, err
}

func split(tips []tip, is func(tip) bool) (yes, no []tip) {
	for _, t := range tips {
		if is(t) {
			yes = append(yes, t)
		} else {
			no = append(no, t)
		}
	}
	return yes, no
}

func objects(tips []tip) []string {
	var list []string
	for _, t := range tips {
		if !slices.Contains(list, t.object) {
			list = append(list, t.object)
		}
	}
	return list
}

// reachingNew returns those of the tips from which something is reached that have does
// not reach. Most often that is none, which one question tells.
func (u *unit) reachingNew(ctx context.Context, tips []tip, have []string) ([]tip, error) {
	if len(tips) == 0 {
		return nil, nil
	}
	some, err := u.anyNew(ctx, tips, have)
	if err != nil || !some {
		return nil, err
	}
	if len(tips) == 1 {
		return tips, nil
	}
	// Halves are asked in turn: few questions when few have something new.
	left, err := u.reachingNew(ctx, tips[:len(tips)/2], have)
	if err != nil {
		return nil, err
	}
	right, err := u.reachingNew(ctx, tips[len(tips)/2:], have)
	return append(left, right...), err
}

// anyNew asks about commits, and for tips that are none about any object.
func (u *unit) anyNew(ctx context.Context, tips []tip, have []string) (bool, error) {
	opts := []string{"--max-count=1"}
	if slices.ContainsFunc(tips, func(t tip) bool { return t.kind != "commit" }) {
		opts = []string{"--objects"}
	}
	lines, err := u.revs(ctx, objects(tips), have, opts...)
	return len(lines) > 0, err
}

// incomplete returns those of the tips from which something missing is reached.
func (u *unit) incomplete(ctx context.Context, tips []tip) ([]tip, error) {
	if len(tips) == 0 {
		return nil, nil
	}
	_, err := u.revs(ctx, objects(tips), u.known(), "--objects", "--quiet")
	switch {
	case err == nil:
		return nil, nil
	case ctx.Err() != nil || git.Code(err) < 0:
		return nil, err
	case len(tips) == 1:
		return tips, nil
	}
	left, err := u.incomplete(ctx, tips[:len(tips)/2])
	if err != nil {
		return nil, err
	}
	right, err := u.incomplete(ctx, tips[len(tips)/2:])
	return append(left, right...), err
}

// ahead counts the commits of HEAD that the base lacks.
func (u *unit) ahead(ctx context.Context, tips []tip) (int, error) {
	if len(tips) == 0 || tips[0].ref != "HEAD" {
		return 0, nil
	}
	lines, err := u.revs(ctx, []string{tips[0].object}, u.known())
	return len(lines), err
}

// newPointers returns the pointers of Git LFS among the new objects whose content the
// clone has and the user's repository does not.
func (u *unit) newPointers(ctx context.Context, tips []tip) ([]pointer, error) {
	if len(tips) == 0 || u.into == nil {
		return nil, nil
	}
	c := u.q.Git("rev-list", "--ignore-missing", "--objects", "--no-object-names", "--filter=blob:limit=1025", "--stdin")
	c.Stdin = strings.NewReader(git.RevList(objects(tips), u.known()))
	ids, err := c.Output(ctx)
	if err != nil {
		return nil, err
	}
	blobs, err := u.smallBlobs(ctx, ids)
	if err != nil {
		return nil, err
	}
	var list []pointer
	for _, blob := range blobs {
		if p, ok := parsePointer(blob); ok && !slices.Contains(list, p) && u.lacks(p) {
			list = append(list, p)
		}
	}
	return list, nil
}
