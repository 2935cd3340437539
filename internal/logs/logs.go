// Package logs merges what several containers and files hold into one text, whole lines at
// a time, each with the name of where it comes from. It shows; it keeps nothing.
package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/cutlog"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Source is one log.
type Source struct {
	Name string
	// Container is the id of a container, or empty for a File.
	Container string
	File      string
	// Ended reports whether nothing more will come to File.
	Ended func() bool
}

// Options say what of the logs is shown.
type Options struct {
	Follow bool // go on with what comes, until all have ended
	Tail   int  // the last lines of each; negative: all
	// Line makes a line fit for where it goes.
	Line func(string) string
}

// Show writes the sources' lines to w, with their names where there are several. It returns
// the cause of ctx when that ends it.
func Show(ctx context.Context, c docker.Client, sources []Source, o Options, w io.Writer) error {
	var mu sync.Mutex
	var all sync.WaitGroup
	errs := make([]error, len(sources))
	width := 0
	for _, s := range sources {
		width = max(width, len(s.Name))
	}
	for i, s := range sources {
		lines := &lineWriter{w: w, mu: &mu, line: o.Line}
		if len(sources) > 1 {
			lines.prefix = fmt.Sprintf("%-*s | ", width, s.Name)
		}
		all.Go(func() {
			errs[i] = errors.Join(show(ctx, c, s, o, lines), lines.flush())
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

func show(ctx context.Context, c docker.Client, s Source, o Options, lines *lineWriter) error {
	if s.Container == "" {
		return file(ctx, s, o, lines)
	}
	cmd := c.Cmd(dockerargs.Logs(s.Container, o.Follow, o.Tail))
	cmd.Stdout, cmd.Stderr = lines, lines // one writer: the two are one log, as the container wrote them
	err := proc.Run(ctx, cmd)
	if exit := (*proc.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("read the log of %s: %w", s.Name, exit)
	}
	return err
}

// lookPause is the time between two looks at a file, which tells nobody that it has grown.
const lookPause = 250 * time.Millisecond

// file shows a file, and with Follow what is appended to it until its writer has ended.
func file(ctx context.Context, s Source, o Options, lines *lineWriter) error {
	f, err := os.Open(s.File)
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", s.Name, err)
	}
	defer func() { _ = f.Close() }()
	if err := seekTail(f, o.Tail); err != nil {
		return fmt.Errorf("read the log of %s: %w", s.Name, err)
	}
	for {
		ended := !o.Follow || s.Ended() // asked first: what it wrote before is read below
		if f, err = copyAll(lines, s.File, f); err != nil {
			return fmt.Errorf("read the log of %s: %w", s.Name, err)
		}
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookPause):
		}
	}
}

// copyAll copies what there is of a log from f on, and returns the file where it goes on,
// which is another when the log was cut meanwhile.
func copyAll(w io.Writer, path string, f *os.File) (*os.File, error) {
	for {
		if _, err := io.Copy(w, f); err != nil {
			return f, err
		}
		next, err := cutlog.Current(path, f)
		if err != nil || next == f {
			return f, err
		}
		f = next
	}
}

// seekTail moves to the beginning of the last lines of f, of as many as there are at most; a
// negative number means all.
func seekTail(f io.ReadSeeker, lines int) error {
	if lines < 0 {
		return nil
	}
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if lines == 0 {
		return nil
	}
	const blockSize = 32 << 10
	block := make([]byte, blockSize)
	newlines := 0
	for end := at; end > 0; {
		begin := max(end-blockSize, 0)
		if _, err := f.Seek(begin, io.SeekStart); err != nil {
			return err
		}
		part := block[:end-begin]
		if _, err := io.ReadFull(f, part); err != nil {
			return err
		}
		for i := len(part) - 1; i >= 0; i-- {
			last := begin+int64(i) == at-1 // the end of the last line, which begins no other
			if part[i] != '\n' || last {
				continue
			}
			if newlines++; newlines == lines {
				_, err := f.Seek(begin+int64(i)+1, io.SeekStart)
				return err
			}
		}
		end = begin
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// maxLine is how much of a line is kept waiting for its end.
const maxLine = 64 << 10

// lineWriter writes whole lines to a writer that it shares with others. It is for one
// goroutine at a time.
type lineWriter struct {
	w      io.Writer
	mu     *sync.Mutex // of w
	prefix string
	line   func(string) string
	rest   []byte
}

// Write implements io.Writer.
func (l *lineWriter) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		next := end + 1
		if end < 0 {
			end, next = maxLine, maxLine
		}
		if err := l.put(l.rest[:end]); err != nil {
			return 0, err
		}
		l.rest = append([]byte(nil), l.rest[next:]...)
	}
}

// flush writes a last line that has no end.
func (l *lineWriter) flush() error {
	if len(l.rest) == 0 {
		return nil
	}
	rest := l.rest
	l.rest = nil
	return l.put(rest)
}

func (l *lineWriter) put(line []byte) error {
	text := strings.TrimSuffix(string(line), "\r")
	if l.line != nil {
		text = l.line(text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := io.WriteString(l.w, l.prefix+text+"\n")
	return err
}
