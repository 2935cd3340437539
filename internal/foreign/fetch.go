package foreign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// Fetched is what was taken over from a clone.
type Fetched struct {
	Refs []FetchedRef `json:"refs,omitempty"`
	LFS  int          `json:"lfs_files,omitempty"` // contents of files of Git LFS
	// Left says what could not be taken over and why, for people. What is not committed is not
	// among it.
	Left []string `json:"left,omitempty"`
}

// FetchedRef is a ref of the user's that has work of a clone now.
type FetchedRef struct {
	Submodule string `json:"submodule,omitempty"`
	From      string `json:"from"` // in the clone; "" for what the user's ref had before
	Ref       string `json:"ref"`
	Old       string `json:"old,omitempty"` // what it was before
	Object    string `json:"object"`
}

// Fetch brings the commits of a clone into the user's repository: those of HEAD as the
// clone's branch, what else no ref of the user's reaches as further branches beside it, and
// what is no commit as tags. Nothing that the user has is lost: a branch that the new one
// does not contain is kept under a further name. It returns what was done, also with an
// error, and can be repeated.
func (v *View) Fetch(ctx context.Context) (Fetched, error) {
	var done Fetched
	var failed error
	// Submodules first: commits of the clone refer to theirs. One that fails holds nothing up.
	for _, u := range slices.Backward(v.units) {
		failed = errors.Join(failed, u.wrap(v.fetchUnit(ctx, u, &done)))
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
	}
	return done, failed
}

func (v *View) fetchUnit(ctx context.Context, u *unit, done *Fetched) error {
	w, err := u.work(ctx)
	if err != nil {
		return err
	}
	for _, t := range w.lost {
		done.Left = append(done.Left, u.where()+fmt.Sprintf("%s needs objects that are missing or damaged", Printable(t.ref)))
	}
	if len(w.tips) == 0 {
		return nil
	}
	if u.into == nil {
		done.Left = append(done.Left, u.where()+"the repository does not have this submodule, so its commits stay in the clone")
		return nil
	}
	tips, err := u.toBring(ctx, w)
	if err != nil {
		return err
	}
	if err := v.copyContents(u, w.lfs, done); err != nil {
		return err
	}
	tips, err = v.bring(ctx, u, tips)
	return errors.Join(err, v.moveRefs(ctx, u, tips, done))
}

// copyContents copies contents of Git LFS. What is not what its name says stays where it is.
func (v *View) copyContents(u *unit, list []pointer, done *Fetched) error {
	for _, p := range list {
		if err := v.clone.step("fetch: copy content of Git LFS"); err != nil {
			return err
		}
		err := u.copyLFS(p)
		if errors.Is(err, errOtherContent) {
			done.Left = append(done.Left, u.where()+err.Error())
			continue
		}
		if err != nil {
			return err
		}
		done.LFS++
	}
	return nil
}

// toBring returns HEAD, when it has work, and what else the user's refs and HEAD do not reach.
func (u *unit) toBring(ctx context.Context, w work) ([]tip, error) {
	head, others := split(w.pending, func(t tip) bool { return t.ref == "HEAD" })
	if len(head) == 0 && w.tips[0].ref == "HEAD" { // preserved, but maybe not as the clone's branch
		head = w.tips[:1]
	}
	others, err := u.reachingNew(ctx, others, slices.Concat(u.known(), u.kept, objects(head)))
	if err != nil {
		return nil, err
	}
	list := head
	for _, t := range others {
		if !slices.Contains(objects(list), t.object) {
			list = append(list, t)
		}
	}
	return list, nil
}

// bring copies the objects, and returns the tips that have all of theirs in the repository now; no ref
// has them yet. What git refuses keeps nothing else back: the error tells of it.
func (v *View) bring(ctx context.Context, u *unit, tips []tip) (there []tip, err error) {
	err = v.transfer(ctx, u, tips)
	var unsafe *git.UnsafeError
	if err == nil {
		return tips, nil
	}
	if !errors.As(err, &unsafe) || len(tips) == 1 {
		return nil, err
	}
	var refused error
	for _, t := range tips {
		err := v.transfer(ctx, u, []tip{t})
		switch {
		case err == nil:
			there = append(there, t)
		case errors.As(err, &unsafe):
			refused = errors.Join(refused, fmt.Errorf("%s: %w", Printable(t.ref), err))
		default:
			return nil, err
		}
	}
	return there, refused
}

// transfer brings what tips reach into the user's repository, unless its refs reach it already.
func (v *View) transfer(ctx context.Context, u *unit, tips []tip) error {
	have, err := u.into.Refs(ctx)
	if err != nil {
		return err
	}
	t := git.Transfer{From: u.q, Want: objects(tips), Scratch: v.dir}
	for _, r := range have {
		t.Have = append(t.Have, r.Object)
	}
	if !slices.ContainsFunc(t.Want, func(o string) bool { return !slices.Contains(t.Have, o) }) {
		return nil
	}
	if err := v.clone.step("fetch: write objects"); err != nil {
		return err
	}
	return u.into.Transfer(ctx, t)
}

// target returns the ref of the user's for a tip.
func (c Clone) target(t tip) string {
	if t.ref == "HEAD" {
		return c.Branch
	}
	name := cleanName(t.ref)
	if commit, ok := strings.CutPrefix(t.ref, "stash/"); ok {
		name = "stash-" + commit[:digits]
	}
	ref := c.Branch + "--" + name
	if t.kind != "commit" {
		ref = "refs/tags/" + strings.TrimPrefix(ref, "refs/heads/")
	}
	return ref
}

// digits is how much of an object's name tells it from others in the name of a ref.
const digits = 12

// moveRefs has the user's refs point at what was brought, all at once.
func (v *View) moveRefs(ctx context.Context, u *unit, tips []tip, done *Fetched) error {
	have, err := u.into.Refs(ctx, "refs/heads/", "refs/tags/")
	if err != nil {
		return err
	}
	busy, err := u.into.CheckedOut(ctx)
	if err != nil {
		return err
	}
	m := mover{busy: busy, now: map[string]string{}}
	for _, r := range have {
		m.now[r.Name] = r.Object
	}
	for _, t := range tips {
		ref := v.clone.target(t)
		rel, err := u.relation(ctx, m.now[ref], t)
		if err != nil {
			return err
		}
		m.move(ref, t, rel)
	}
	if len(m.updates) == 0 {
		return nil
	}
	if err := v.clone.step("fetch: move refs"); err != nil {
		return err
	}
	if err := u.into.UpdateRefs(ctx, "aifo-coder: fetch from a fork", m.updates...); err != nil {
		return err
	}
	u.kept = append(u.kept, objects(tips)...)
	for _, f := range m.fetched {
		f.Submodule = Printable(u.name)
		done.Refs = append(done.Refs, f)
	}
	return nil
}

// relation is how what a ref has and what it shall have are related.
type relation int

const (
	absent   relation = iota // it has nothing
	contains                 // it has all of it
	forward                  // it is contained in the new
	diverged                 // each has something of its own
)

func (u *unit) relation(ctx context.Context, old string, t tip) (relation, error) {
	switch old {
	case "":
		return absent, nil
	case t.object:
		return contains, nil
	}
	for _, try := range []struct {
		a, b string
		rel  relation
	}{{old, t.object, forward}, {t.object, old, contains}} {
		err := u.q.Git("merge-base", "--is-ancestor", try.a, try.b).Run(ctx)
		if err == nil {
			return try.rel, nil
		}
		if git.Code(err) < 0 {
			return 0, err
		}
	}
	return diverged, nil // or one of them is no commit
}

// mover works out changes of refs.
type mover struct {
	now     map[string]string // what refs have
	busy    map[string]bool   // branches that are checked out
	updates []git.Update
	fetched []FetchedRef
}

// move has ref have what t has. A branch that is checked out is not moved under its
// files; what is new gets a name of its own then.
func (m *mover) move(ref string, t tip, rel relation) {
	switch {
	case rel == contains:
	case rel == absent || rel == forward && !m.busy[ref]:
		m.set(ref, t.ref, t.object)
	case m.busy[ref]:
		m.setNew(ref+"--new-"+t.object[:digits], t.ref, t.object)
	default:
		m.setNew(ref+"--kept-"+m.now[ref][:digits], "", m.now[ref])
		m.set(ref, t.ref, t.object)
	}
}

func (m *mover) set(ref, from, object string) {
	m.updates = append(m.updates, git.Update{Ref: ref, New: object, Old: m.now[ref]})
	m.fetched = append(m.fetched, FetchedRef{From: Printable(from), Ref: ref, Old: m.now[ref], Object: object})
	m.now[ref] = object
}

// setNew sets a ref whose name says what it has: when it is there it is done.
func (m *mover) setNew(ref, from, object string) {
	if m.now[ref] == "" {
		m.set(ref, from, object)
	}
}
