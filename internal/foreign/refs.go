package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// refs is what a git directory says of itself, as far as it can be read.
type refs struct {
	branch    string    // full name of what HEAD is on; "" when detached
	head      string    // commit of HEAD; "" when there is none yet
	all       []git.Ref // sorted by name; names may be odd, objects are hexadecimal
	stashes   []string  // commits, the latest first
	trees     []git.Ref // HEADs of linked work trees, named worktrees/NAME
	operation []string  // what is under way: a merge, a rebase
	odd       []string  // what could not be read, for people
}

// operations are the files and directories that stand for something under way
// (git's wt-status.c), in the git directory of a work tree.
var operations = []struct{ file, what string }{
	{"MERGE_HEAD", "merge"},
	{"rebase-merge", "rebase"},
	{"rebase-apply", "rebase or am"},
	{"CHERRY_PICK_HEAD", "cherry-pick"},
	{"REVERT_HEAD", "revert"},
	{"sequencer", "cherry-pick or revert of several commits"},
	{"BISECT_LOG", "bisect"},
}

// refReader collects the refs of one git directory.
type refReader struct {
	root   *os.Root
	hexLen int
	byName map[string]string // object, or "ref: NAME"
	refs   refs
}

const (
	maxRefs   = 200_000
	maxDepth  = 32
	maxSymref = 5  // as git's own
	maxOdd    = 20 // what makes no sense is worth telling so often
)

// readRefs reads the refs of the git directory root. What it cannot make sense of is
// in odd; an error says that the directory cannot be read at all.
func readRefs(root *os.Root, format string) (refs, error) {
	r := refReader{root: root, hexLen: hexLen(format), byName: map[string]string{}}
	packed, err := readOptional(root, "packed-refs", maxPackedRefs)
	if err != nil {
		return refs{}, err
	}
	r.packed(packed)
	if err := r.loose("refs", 0); err != nil {
		return refs{}, err
	}
	r.resolve()
	if err := r.readHead(); err != nil {
		return refs{}, err
	}
	if err := errors.Join(r.readStashes(), r.readWorktrees()); err != nil {
		return refs{}, err
	}
	r.readOperations()
	return r.refs, nil
}

func hexLen(format string) int {
	if format == "sha256" {
		return 64
	}
	return 40
}

func (r *refReader) oddf(format string, args ...any) {
	if len(r.refs.odd) >= maxOdd {
		return
	}
	r.refs.odd = append(r.refs.odd, Printable(fmt.Sprintf(format, args...)))
}

// packed reads lines "OBJECT NAME"; those with # and ^ say nothing that we need.
func (r *refReader) packed(content []byte) {
	for line := range bytes.Lines(content) {
		text := strings.TrimSuffix(string(line), "\n")
		if text == "" || text[0] == '#' || text[0] == '^' {
			continue
		}
		object, name, ok := strings.Cut(text, " ")
		if !ok || !validObject(object, r.hexLen) {
			r.oddf("a line of packed-refs is no ref: %.80s", text)
			continue
		}
		r.byName[name] = object
	}
}

// loose reads the files below dir. They stand above packed-refs.
func (r *refReader) loose(dir string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s is too deep", dir)
	}
	entries, err := list(r.root, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			err = r.loose(name, depth+1)
		} else {
			err = r.looseRef(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *refReader) looseRef(name string) error {
	if strings.HasSuffix(name, ".lock") { // of a git that runs, or was killed
		return nil
	}
	if len(r.byName) > maxRefs {
		return fmt.Errorf("there are more than %d refs", maxRefs)
	}
	content, err := read(r.root, name, maxSmall)
	if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile, or packed: then an older value stays
		return nil
	}
	if err != nil {
		r.oddf("the ref %q cannot be read: %v", name, err)
		return nil
	}
	value := strings.TrimRight(string(content), " \t\r\n")
	if !validObject(value, r.hexLen) && !strings.HasPrefix(value, "ref: ") {
		r.oddf("the ref %q holds no object", name)
		return nil
	}
	r.byName[name] = value
	return nil
}

// resolve fills refs.all, with symbolic refs as what they stand for.
func (r *refReader) resolve() {
	for name := range r.byName {
		object := r.lookup(name)
		if object == "" {
			continue // a symbolic ref to a branch that was never made: nothing
		}
		r.refs.all = append(r.refs.all, git.Ref{Name: name, Object: object})
	}
	slices.SortFunc(r.refs.all, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
}

// lookup returns the object that a ref stands for, "" when there is none.
func (r *refReader) lookup(name string) string {
	for range maxSymref {
		value := r.byName[name]
		target, symbolic := strings.CutPrefix(value, "ref: ")
		if !symbolic {
			return value
		}
		name = strings.TrimSpace(target)
	}
	return ""
}

func (r *refReader) readHead() error {
	branch, object, err := r.headFile("HEAD")
	if err != nil {
		return err
	}
	r.refs.branch, r.refs.head = branch, object
	return nil
}

// headFile returns the branch, or "", and the object of a HEAD.
func (r *refReader) headFile(name string) (branch, object string, err error) {
	content, err := read(r.root, name, maxSmall)
	if err != nil {
		return "", "", err
	}
	value := strings.TrimSpace(string(content))
	if target, symbolic := strings.CutPrefix(value, "ref:"); symbolic {
		branch = strings.TrimSpace(target)
		if !validRef(branch) {
			return "", "", fmt.Errorf("%s refers to %q, which is no name of a branch", name, branch)
		}
		return branch, r.lookup(branch), nil
	}
	if !validObject(value, r.hexLen) {
		return "", "", fmt.Errorf("%s holds neither a branch nor a commit", name)
	}
	return "", value, nil
}

// readStashes reads the stash and its reflog, whose lines are "OLD NEW WHO...\tWHY", the
// oldest first.
func (r *refReader) readStashes() error {
	content, err := readOptional(r.root, "logs/refs/stash", maxStashLog)
	if err != nil {
		return err
	}
	if top := r.lookup("refs/stash"); top != "" {
		r.refs.stashes = append(r.refs.stashes, top)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	for _, line := range slices.Backward(lines) {
		words := strings.SplitN(line, " ", 3)
		if len(words) == 3 && validObject(words[1], r.hexLen) && !slices.Contains(r.refs.stashes, words[1]) {
			r.refs.stashes = append(r.refs.stashes, words[1])
		}
	}
	r.refs.all = slices.DeleteFunc(r.refs.all, func(ref git.Ref) bool { return ref.Name == "refs/stash" })
	return nil
}

// readOperations notes what is under way in the clone's own work tree.
func (r *refReader) readOperations() {
	for _, op := range operations {
		if exists(r.root, op.file) {
			r.refs.operation = append(r.refs.operation, op.what)
		}
	}
}

// readWorktrees reads the HEADs of linked work trees.
func (r *refReader) readWorktrees() error {
	entries, err := list(r.root, "worktrees")
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := path.Join("worktrees", e.Name())
		_, object, err := r.headFile(path.Join(dir, "HEAD"))
		if err != nil {
			r.oddf("the linked work tree %q cannot be read: %v", e.Name(), err)
			continue
		}
		r.refs.trees = append(r.refs.trees, git.Ref{Name: dir, Object: object})
	}
	return nil
}
