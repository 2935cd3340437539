package foreign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind says what would be lost with a clone.
type Kind string

// The kinds. Only the first two are safe to remove.
const (
	Empty     Kind = "empty"     // it has nothing but what it started with
	Preserved Kind = "preserved" // branches, tags or remote branches of the user's repository reach all that it has
	HasWork   Kind = "work"      // something in it is nowhere else
	Unknown   Kind = "unknown"   // it cannot be told
)

// Safe reports whether nothing is lost with the clone.
func (k Kind) Safe() bool { return k == Empty || k == Preserved }

// Report is what there is in a clone. All words in it can be shown on a terminal.
type Report struct {
	Kind    Kind     `json:"kind"`
	Reasons []string `json:"reasons,omitempty"` // of HasWork and Unknown, for people
	Notes   []string `json:"notes,omitempty"`   // what was wrong and did not matter

	Branch    string   `json:"branch,omitempty"` // full name of what HEAD is on; "" when detached
	Head      string   `json:"head,omitempty"`
	Ahead     int      `json:"ahead"`             // commits of HEAD that are new
	Changed   int      `json:"changed"`           // files that are not committed
	Changes   []Change `json:"changes,omitempty"` // the first of them
	Refs      []string `json:"refs,omitempty"`    // with new commits, beside HEAD
	Stashes   int      `json:"stashes"`
	Operation []string `json:"operation,omitempty"` // a merge or rebase under way
}

// maxChanges is how many changes a report lists.
const maxChanges = 100

// Look opens a clone and reports what is in it. Whatever keeps it from being looked at is in
// the report, as Unknown; an error is the end of ctx, and nothing else.
func Look(ctx context.Context, c Clone) (Report, error) {
	v, err := Open(ctx, c)
	if err == nil {
		var r Report
		r, err = v.Look(ctx)
		err = errors.Join(err, v.Close())
		if err == nil {
			return r, nil
		}
	}
	if ctx.Err() != nil {
		return Report{}, context.Cause(ctx)
	}
	return Report{Kind: Unknown, Reasons: []string{Printable(err.Error())}}, nil
}

// Look reports what is in the clone.
func (v *View) Look(ctx context.Context) (Report, error) {
	top := v.units[0]
	r := Report{Branch: Printable(top.refs.branch), Head: top.refs.head}
	var all findings
	for _, u := range v.units {
		f, err := v.find(ctx, u)
		if err != nil {
			return Report{}, err
		}
		all.add(u, f)
		r.add(u, f)
	}
	r.Kind = all.kind()
	if !r.Kind.Safe() {
		r.Reasons = append(all.unknown, all.lost...)
	}
	return r, nil
}

// findings are what speaks against removing a clone, as sentences.
type findings struct {
	unknown []string // it cannot be told what is there
	lost    []string // this is nowhere else
	new     bool     // there is work, be it preserved
	work    work
	changes []Change
}

func (f *findings) add(u *unit, g findings) {
	for _, s := range g.unknown {
		f.unknown = append(f.unknown, u.where()+s)
	}
	for _, s := range g.lost {
		f.lost = append(f.lost, u.where()+s)
	}
	f.new = f.new || g.new
}

func (f *findings) kind() Kind {
	switch {
	case len(f.unknown) > 0:
		return Unknown
	case len(f.lost) > 0:
		return HasWork
	case f.new:
		return Preserved
	}
	return Empty
}

// add takes the findings of one unit into the report.
func (r *Report) add(u *unit, f findings) {
	for _, c := range f.changes {
		if r.Changed++; len(r.Changes) < maxChanges {
			if u.name != "" {
				c.Path = u.name + "/" + c.Path
			}
			c.Path = Printable(c.Path)
			r.Changes = append(r.Changes, c)
		}
	}
	for _, t := range f.work.tips {
		if t.ref != "HEAD" && !strings.HasPrefix(t.ref, "stash/") {
			r.Refs = append(r.Refs, u.where()+Printable(t.ref))
		}
	}
	r.Ahead += f.work.ahead
	r.Stashes += len(u.refs.stashes)
	for _, op := range u.refs.operation {
		r.Operation = append(r.Operation, u.where()+op)
	}
	for _, bad := range u.bad {
		r.Notes = append(r.Notes, u.where()+bad)
	}
}

// find gathers what is in one unit.
func (v *View) find(ctx context.Context, u *unit) (findings, error) {
	var f findings
	var err error
	f.unknown = slices.Clone(u.refs.odd)
	if f.work, err = u.work(ctx); err != nil {
		return f, err
	}
	f.new = len(f.work.tips) > 0
	for _, t := range f.work.lost {
		f.unknown = append(f.unknown, fmt.Sprintf("objects are missing or damaged that %s needs", Printable(t.ref)))
	}
	if f.changes, err = v.changes(ctx, u); err != nil {
		if ctx.Err() != nil {
			return f, err
		}
		f.unknown = append(f.unknown, Printable(err.Error()))
	}
	f.lost = append(lostTips(f.work), lostFiles(u, f)...)
	return f, nil
}

// lostTips says which commits no ref of the user's reaches.
func lostTips(w work) []string {
	var list []string
	stashes := 0
	for _, t := range w.pending {
		switch {
		case t.ref == "HEAD":
			list = append(list, "its commits are not in the repository")
		case strings.HasPrefix(t.ref, "stash/"):
			stashes++
		default:
			list = append(list, fmt.Sprintf("what %s points at is not in the repository", Printable(t.ref)))
		}
	}
	if stashes > 0 {
		list = append(list, count(stashes, "stash", "stashes")+" not in the repository")
	}
	if n := len(w.lfs); n > 0 {
		list = append(list, count(n, "file", "files")+" of Git LFS not in the repository")
	}
	return list
}

// lostFiles says what is not committed.
func lostFiles(u *unit, f findings) []string {
	var list []string
	if n := len(f.changes); n > 0 {
		list = append(list, count(n, "file", "files")+" not committed")
	}
	for _, op := range u.refs.operation {
		list = append(list, "a "+op+" is under way")
	}
	for _, t := range u.refs.trees {
		list = append(list, fmt.Sprintf("it has a linked work tree (%s), whose files are not looked at", Printable(t.Name)))
	}
	return list
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
