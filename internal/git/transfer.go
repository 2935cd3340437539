package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// UnsafeError says that objects were not taken into the repository: some of them git
// refuses (an entry .git in a tree, a name with a slash), or some are missing.
type UnsafeError struct{ Err error }

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("git refuses the commits as unsafe or incomplete: %v", e.Err)
}

func (e *UnsafeError) Unwrap() error { return e.Err }

// Hint returns what can be done.
func (e *UnsafeError) Hint() string {
	return "nothing was changed, and the clone keeps everything; have the agent make the commits anew"
}

// Transfer is a set of objects to bring into a repository.
type Transfer struct {
	From    Shadow   // has them, and reads the repository's as well
	Want    []string // hexadecimal names of what is brought, with all that it reaches
	Have    []string // what the repository has, with all that it reaches
	Scratch string   // a private directory for what is under way
}

// Transfer brings objects into the repository. They arrive as one pack, which git
// moves into place once it is whole and checked, so that a crash leaves it all or nothing. No
// ref is changed: the caller does that next. It returns an *UnsafeError for objects that
// git-fsck(1) refuses and for those that refer to others which are nowhere.
func (r Repo) Transfer(ctx context.Context, t Transfer) error {
	dir, err := os.MkdirTemp(t.Scratch, "transfer-*")
	if err != nil {
		return fmt.Errorf("bring objects into %s: %w", r.CommonDir, err)
	}
	defer os.RemoveAll(dir)
	pack := filepath.Join(dir, "pack")
	if err := writePack(ctx, t, pack); err != nil {
		return err
	}
	into, err := r.objectsShadow(filepath.Join(dir, "git"))
	if err != nil {
		return err
	}
	return readPack(ctx, into, pack)
}

func writePack(ctx context.Context, t Transfer, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write a pack: %w", err)
	}
	c := t.From.Git("pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q")
	c.Stdin, c.Stdout = strings.NewReader(RevList(t.Want, t.Have)), f
	if err := errors.Join(c.Run(ctx), f.Close()); err != nil {
		return incomplete(err)
	}
	return nil
}

// readPack writes the pack into the repository's objects. The strict check looks at each object,
// and that all that it refers to is there.
func readPack(ctx context.Context, into Shadow, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read a pack: %w", err)
	}
	defer func() { _ = f.Close() }()
	c := into.Git("index-pack", "--stdin", "--strict")
	c.Stdin = f
	return incomplete(c.Run(ctx))
}

// incomplete makes an *UnsafeError of git's own refusal, which has exit code 128. A full disk
// has that as well.
func incomplete(err error) error {
	if Code(err) == 128 && !strings.Contains(err.Error(), "No space left") {
		return &UnsafeError{Err: err}
	}
	return err
}

// RevList returns what `git rev-list --stdin` reads: names to start from, and names to leave out.
func RevList(want, have []string) string {
	var b strings.Builder
	for _, w := range want {
		b.WriteString(w + "\n")
	}
	for _, h := range have {
		b.WriteString("^" + h + "\n")
	}
	return b.String()
}

// objectsShadow makes a git directory that writes into the repository's objects and has
// nothing else of it.
func (r Repo) objectsShadow(dir string) (Shadow, error) {
	shallow, err := r.ReadFile("shallow")
	if err != nil {
		return Shadow{}, err
	}
	s, err := MakeShadow(dir, ShadowSpec{Format: r.Format, Shallow: shallow})
	s.Objects = r.Objects()
	return s, err
}
