package jsonlog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
)

const (
	// followTime is how often a log is asked whether it has grown.
	followTime = 250 * time.Millisecond
	// readSize is how much of a file is read at once while it is followed.
	readSize = 16 << 20
)

// Read calls f with each object of a log until f fails. A line that is not one, such as
// the last of a process that was killed, is left out.
func Read[T any](path string, f func(T) error) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, err = Parse(data, f)
	return err
}

// Parse calls f with each object in whole lines of data until it fails, and returns how
// many bytes those lines have.
func Parse[T any](data []byte, f func(T) error) (int, error) {
	whole := 0
	for {
		end := bytes.IndexByte(data[whole:], '\n')
		if end < 0 {
			return whole, nil
		}
		line := data[whole : whole+end]
		whole += end + 1
		var v T
		if json.Unmarshal(line, &v) != nil {
			continue
		}
		if err := f(v); err != nil {
			return whole, err
		}
	}
}

// Follow calls f with each object of a log, and then with those that come. It returns
// nil when ctx ends, or when over, if there is such a function, has said that nothing more
// comes and everything was read; or the error of f.
func Follow[T any](ctx context.Context, path string, over func() bool, f func(T) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	tick := time.NewTicker(followTime)
	defer tick.Stop()
	var rest []byte
	for {
		last := over != nil && over() // asked first: what was written before that is read below
		data, err := io.ReadAll(io.LimitReader(file, readSize))
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		rest = append(rest, data...)
		n, err := Parse(rest, f)
		if err != nil {
			return err
		}
		rest = append([]byte(nil), rest[n:]...)
		if last && len(data) < readSize {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Clean makes text of somebody else fit for a line and a terminal: no control and no
// other invisible characters, and not more than most bytes and a mark of the cut.
func Clean(s string, most int) string {
	if len(s) > 2*most {
		s = s[:2*most] // the rest is cut off below; it may be huge
	}
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
