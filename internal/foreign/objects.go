package foreign

import (
	"bufio"
	"compress/zlib"
	"context"
	"crypto/sha1" //nolint:gosec // git's name for an object; the transfer checks for collisions
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// maxLoose is how large an object of its own file may be. Git itself packs what is larger
// than half a gigabyte when it can.
const maxLoose = 8 << 30

// importObjects copies the objects of the git directory root into the quarantine, checking
// that each is what its name says. It returns what could not be copied: such an object is
// then missing, which tells where it is needed.
//
// Files of their own come before packs, so that a repack under way moves nothing past us.
func importObjects(ctx context.Context, root *os.Root, into git.Shadow, format string) (bad []string, err error) {
	im := importer{root: root, into: into, format: format}
	if err := im.looseObjects(ctx); err != nil {
		return nil, err
	}
	if err := im.packs(ctx); err != nil {
		return nil, err
	}
	return im.bad, nil
}

type importer struct {
	root   *os.Root
	into   git.Shadow
	format string
	bad    []string
}

func (im *importer) looseObjects(ctx context.Context) error {
	dirs, err := im.list("objects")
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !validObject(d.Name(), 2) {
			continue
		}
		if !d.IsDir() {
			im.note(path.Join("objects", d.Name()), &notPlainError{name: d.Name(), want: "a directory"})
			continue
		}
		if err := im.looseDir(ctx, d.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) list(dir string) ([]fs.DirEntry, error) {
	entries, err := list(im.root, dir)
	if err != nil {
		return nil, &RefusedError{Dir: im.root.Name(), Reason: "its objects cannot be listed", Err: err}
	}
	return entries, nil
}

func (im *importer) looseDir(ctx context.Context, dir string) error {
	entries, err := im.list(path.Join("objects", dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !validObject(e.Name(), hexLen(im.format)-2) {
			continue // a temporary file
		}
		if err := im.looseObject(dir, e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// looseObject copies one object. What is wrong with it is noted; an error is ours.
func (im *importer) looseObject(dir, file string) error {
	name := path.Join("objects", dir, file)
	src, err := open(im.root, name)
	if errors.Is(err, fs.ErrNotExist) { // packed meanwhile
		return nil
	}
	if err != nil {
		im.note(name, err)
		return nil
	}
	defer func() { _ = src.Close() }()
	if err := os.MkdirAll(filepath.Join(im.into.Dir, "objects", dir), 0o700); err != nil {
		return fmt.Errorf("copy objects: %w", err)
	}
	target := filepath.Join(im.into.Dir, filepath.FromSlash(name))
	dst, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy objects: %w", err)
	}
	w := &ownErrors{w: dst}
	err = copyLoose(w, src, dir+file, newHash(im.format))
	closeErr := dst.Close()
	if own := errors.Join(w.err, closeErr); own != nil {
		return fmt.Errorf("copy objects: %w", own)
	}
	if err != nil {
		im.note(name, err)
		return os.Remove(target)
	}
	return nil
}

func (im *importer) note(name string, err error) {
	if len(im.bad) < maxOdd {
		im.bad = append(im.bad, Printable(fmt.Sprintf("%s: %v", name, err)))
	}
}

// ownErrors keeps the error of a writer apart from those of what is read.
type ownErrors struct {
	w   io.Writer
	err error
}

func (o *ownErrors) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.err = errors.Join(o.err, err)
	return n, err
}

func newHash(format string) hash.Hash {
	if format == "sha256" {
		return sha256.New()
	}
	return sha1.New() //nolint:gosec // see the import
}

// copyLoose copies the file of a loose object: zlib of "TYPE SIZE\0CONTENT", whose hash is
// the object's name. It refuses any other, and what has more behind it.
func copyLoose(dst io.Writer, src io.Reader, object string, sum hash.Hash) error {
	in := bufio.NewReader(io.TeeReader(src, dst))
	content, err := zlib.NewReader(in)
	if err != nil {
		return err
	}
	plain := bufio.NewReader(content)
	size, err := looseHeader(plain, sum)
	if err != nil {
		return err
	}
	n, err := io.Copy(sum, io.LimitReader(plain, size+1))
	if err != nil {
		return err
	}
	if n != size || hex.EncodeToString(sum.Sum(nil)) != object {
		return errors.New("its content is another one than its name says")
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return errors.New("there is more than the object in it")
	}
	return nil
}

func looseHeader(r *bufio.Reader, sum hash.Hash) (size int64, err error) {
	header, err := r.ReadSlice(0)
	if err != nil || len(header) > 32 {
		return 0, errors.New("it does not start like an object")
	}
	sum.Write(header)
	_, digits, _ := strings.Cut(strings.TrimSuffix(string(header), "\x00"), " ")
	size, err = strconv.ParseInt(digits, 10, 64)
	if err != nil || size < 0 || size > maxLoose {
		return 0, errors.New("it does not say a size that can be")
	}
	return size, nil
}

// packTries is how often the packs are listed anew because one of them went away.
const packTries = 3

// packs has git index each pack anew: an index of the agent's could give an object any content.
func (im *importer) packs(ctx context.Context) error {
	done := map[string]bool{}
	for try := range packTries {
		entries, err := im.list("objects/pack")
		if err != nil {
			return err
		}
		gone := false
		for _, e := range entries {
			name := path.Join("objects/pack", e.Name())
			if !strings.HasSuffix(name, ".pack") || done[name] {
				continue
			}
			err := im.pack(ctx, name)
			if errors.Is(err, fs.ErrNotExist) && try < packTries-1 {
				gone = true
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				im.note(name, err)
			}
			done[name] = true
		}
		if !gone {
			break
		}
	}
	return nil
}

func (im *importer) pack(ctx context.Context, name string) error {
	f, err := open(im.root, name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	c := im.into.Git("index-pack", "--stdin")
	c.Stdin = f
	return c.Run(ctx)
}
