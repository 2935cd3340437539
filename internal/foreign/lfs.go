package foreign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// pointer is what Git LFS commits in place of a file
// (git-lfs: docs/spec.md, version 1).
type pointer struct {
	oid  string // SHA-256 of the content
	size int64
}

// maxPointer is how large a pointer is at most, by the specification.
const maxPointer = 1024

// parsePointer reads a pointer; ok is false for any other content.
func parsePointer(content []byte) (p pointer, ok bool) {
	if len(content) > maxPointer || !bytes.HasPrefix(content, []byte("version https://git-lfs.github.com/spec/v1\n")) {
		return p, false
	}
	p.size = -1
	for line := range strings.SplitSeq(string(content), "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "oid":
			p.oid = strings.TrimPrefix(value, "sha256:")
		case "size":
			size, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return p, false
			}
			p.size = size
		}
	}
	return p, validObject(p.oid, 64) && p.size >= 0
}

// bytes is the pointer as Git LFS writes it.
func (p pointer) bytes() []byte {
	return fmt.Appendf(nil, "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", p.oid, p.size)
}

// file is where the content is below a git directory.
func (p pointer) file() string { return path.Join("lfs/objects", p.oid[:2], p.oid[2:4], p.oid) }

// pointerOf returns the pointer that stands for a file.
func pointerOf(root *os.Root, name string) (pointer, error) {
	f, err := open(root, name)
	if err != nil {
		return pointer{}, err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return pointer{oid: hex.EncodeToString(sum.Sum(nil)), size: n}, err
}

// hasLFS reports whether the user's repository has the content that a pointer stands for.
func hasLFS(r git.Repo, p pointer) bool {
	fi, err := os.Lstat(filepath.Join(r.CommonDir, filepath.FromSlash(p.file())))
	return err == nil && fi.Mode().IsRegular() && fi.Size() == p.size
}

// lacks reports whether the user's repository lacks content that the clone has.
func (u *unit) lacks(p pointer) bool {
	fi, err := lstat(u.git, p.file())
	return err == nil && fi.Mode().IsRegular() && !hasLFS(*u.into, p)
}

// smallBlobs returns the contents of those of the objects that are blobs and may be pointers.
func (u *unit) smallBlobs(ctx context.Context, ids []byte) ([][]byte, error) {
	c := u.q.Git("cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", "--buffer")
	c.Stdin = bytes.NewReader(ids)
	out, err := c.Output(ctx)
	if err != nil {
		return nil, err
	}
	var blobs [][]byte
	var small strings.Builder
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) == 3 && words[1] == "blob" && len(words[2]) <= len(strconv.Itoa(maxPointer)) {
			small.WriteString(words[0] + "\n")
		}
	}
	if small.Len() == 0 {
		return nil, nil
	}
	c = u.q.Git("cat-file", "--batch", "--buffer")
	c.Stdin = strings.NewReader(small.String())
	out, err = c.Output(ctx)
	for len(out) > 0 && err == nil { // OBJECT TYPE SIZE, a line break, the content, a line break
		header, rest, _ := bytes.Cut(out, []byte("\n"))
		words := strings.Fields(string(header))
		size, parseErr := strconv.Atoi(words[len(words)-1])
		if parseErr != nil || size >= len(rest) {
			return nil, fmt.Errorf("git cat-file wrote %q", header)
		}
		blobs, out = append(blobs, rest[:size]), rest[size+1:]
	}
	return blobs, err
}

// copyLFS copies the content that a pointer stands for into the user's repository, when
// it is what the pointer says.
func (u *unit) copyLFS(p pointer) error {
	src, err := open(u.git, p.file())
	if err != nil {
		return fmt.Errorf("copy content of Git LFS: %w", err)
	}
	defer func() { _ = src.Close() }()
	// Below an os.Root, for other agents may have written in the user's git directory.
	common, err := os.OpenRoot(u.into.CommonDir)
	if err != nil {
		return fmt.Errorf("copy content of Git LFS: %w", err)
	}
	defer func() { _ = common.Close() }()
	if err := writeLFS(common, src, p); err != nil {
		return fmt.Errorf("copy content %s of Git LFS: %w", p.oid, err)
	}
	return nil
}

var errOtherContent = errors.New("the clone has something else in its place")

func writeLFS(common *os.Root, src io.Reader, p pointer) error {
	if err := common.MkdirAll(path.Dir(p.file()), 0o755); err != nil {
		return err
	}
	part := p.file() + ".part"
	if err := common.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) { // of one that was killed
		return err
	}
	dst, err := common.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(dst, sum), io.LimitReader(src, p.size+1))
	err = errors.Join(err, dst.Sync(), dst.Close())
	if err == nil && (n != p.size || hex.EncodeToString(sum.Sum(nil)) != p.oid) {
		err = errOtherContent
	}
	if err == nil {
		err = common.Rename(part, p.file())
	}
	if err != nil {
		return errors.Join(err, common.Remove(part))
	}
	return nil
}
