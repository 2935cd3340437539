// Package cutlog keeps the log of a program that may write without end: its beginning and its
// end, with a line in place of what is left out between them. The file never has more than
// maxSize bytes. When it would, another takes its place by rename(2), so that readers always
// find a whole one; Current leads them from one to the next. Where a file that is open cannot
// be replaced, as on Windows, the log stays at its beginning.
package cutlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	// maxSize is how much a log has at most, in bytes, as the other logs of sessions do.
	maxSize = 8 << 20
	// headSize and tailSize are how much of the beginning and of the end a cut leaves, in
	// bytes. What is between tailSize and maxSize is room until the next cut.
	headSize = 1 << 20
	tailSize = 4 << 20
	// format is the line in place of what is left out. All have one length, so that it is
	// known where the end begins.
	format = "\n[... %15d bytes left out ...]\n"
	// retryPause is how long nothing is written after a cut that failed: each takes much
	// copying.
	retryPause = time.Second
)

// markSize is the length of that line, in bytes.
var markSize = int64(len(mark(0)))

func mark(left int64) string { return fmt.Sprintf(format, left) }

// File is a log that is being written. It is for one goroutine at a time.
type File struct {
	path   string
	file   *os.File
	size   int64
	left   int64 // bytes that are left out
	failed error
	retry  time.Time // before which no cut is tried
}

// Open opens, or makes, the log at path for appending, for its owner alone.
func Open(path string) (*File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the log: %w", err), file.Close())
	}
	return &File{path: path, file: file, size: info.Size(), left: leftOut(file)}, nil
}

// Write implements io.Writer. It never fails, since who writes is a program that goes on: what
// cannot be written is not in the log, and Close tells the first failure.
func (f *File) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, err := f.write(rest)
		if err != nil {
			f.failed = cmp.Or(f.failed, err)
			break
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// write writes as much of p as there is room for, after a cut where there is none.
func (f *File) write(p []byte) (int, error) {
	if f.size >= maxSize {
		if err := f.cutAgain(); err != nil {
			return 0, err
		}
	}
	n, err := f.file.Write(p[:min(int64(len(p)), maxSize-f.size)])
	f.size += int64(n)
	return n, err
}

var errWaiting = errors.New("the log has no room")

// cutAgain cuts the log, unless that failed a moment ago.
func (f *File) cutAgain() error {
	if time.Now().Before(f.retry) {
		return errWaiting
	}
	if err := f.cut(); err != nil {
		f.retry = time.Now().Add(retryPause)
		return fmt.Errorf("cut the log: %w", err)
	}
	return nil
}

// cut puts a file with the beginning and the end of the log in its place.
func (f *File) cut() error {
	left := f.left + f.size - headSize - tailSize
	if f.left > 0 {
		left -= markSize
	}
	path := f.path + ".new"
	next, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size, err := io.Copy(next, io.MultiReader(io.NewSectionReader(f.file, 0, headSize), strings.NewReader(mark(left)),
		io.NewSectionReader(f.file, f.size-tailSize, tailSize)))
	if err == nil {
		err = os.Rename(path, f.path)
	}
	if err != nil {
		return errors.Join(err, next.Close(), os.Remove(path))
	}
	old := f.file
	f.file, f.size, f.left = next, size, left
	return old.Close()
}

// Close closes the log. It returns the first failure since Open.
func (f *File) Close() error {
	if f.failed != nil {
		return errors.Join(fmt.Errorf("write the log: %w", f.failed), f.file.Close())
	}
	return f.file.Close()
}

// leftOut returns how many bytes of the log are left out of f.
func leftOut(f io.ReaderAt) (n int64) {
	line := make([]byte, markSize)
	if _, err := f.ReadAt(line, headSize); err != nil {
		return 0 // it is shorter than one that was cut
	}
	if _, err := fmt.Sscanf(string(line), format, &n); err != nil || n < 0 {
		return 0
	}
	return n
}

// Current returns the log that f is, or the one that has taken its place at path, at the same
// byte of what the program wrote; where that is left out, at the line that says so. f is
// then closed.
func Current(path string, f *os.File) (*os.File, error) {
	next, err := replaced(path, f)
	if next == nil || err != nil {
		return f, err
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = next.Seek(moved(at, leftOut(f), leftOut(next)), io.SeekStart)
	}
	if err != nil {
		return f, errors.Join(err, next.Close())
	}
	return next, f.Close()
}

// replaced opens the file at path if it is another than f; nil says that it is not, or is gone.
func replaced(path string, f *os.File) (*os.File, error) {
	was, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if is, err := os.Stat(path); err != nil || os.SameFile(was, is) {
		return nil, nil //nolint:nilerr,nilnil // f is all that there is
	}
	return os.Open(path)
}

// moved returns where the byte at the place at of a log, of which left bytes are left out, is
// in one of which now are.
func moved(at, left, now int64) int64 {
	switch {
	case at <= headSize:
		return at
	case left > 0:
		at = max(at-markSize, headSize) + left
	}
	if at < headSize+now {
		return headSize
	}
	return at - now + markSize
}
