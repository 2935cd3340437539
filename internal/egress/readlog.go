package egress

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// followTime is how often a log is asked whether it has grown.
const followTime = 250 * time.Millisecond

// ReadLog returns the entries of a log. A line that is not one, such as the last of a
// process that was killed, is left out.
func ReadLog(path string) ([]Entry, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the network log: %w", err)
	}
	entries := []Entry{}
	_, _ = parseEntries(data, func(e Entry) error { // which never fails
		entries = append(entries, e)
		return nil
	})
	return entries, nil
}

// clean returns the entry fit for a terminal, whoever wrote the file.
func (e Entry) clean() Entry {
	for _, text := range []*string{&e.Session, &e.Container, &e.Method, &e.Host, &e.Code, &e.Reason, &e.Rule} {
		*text = clean(*text, maxHostShown*2)
	}
	return e
}

// parseEntries calls f with each entry in whole lines of data until it fails, and
// returns how many bytes those lines have.
func parseEntries(data []byte, f func(Entry) error) (int, error) {
	whole := 0
	for {
		end := bytes.IndexByte(data[whole:], '\n')
		if end < 0 {
			return whole, nil
		}
		line := data[whole : whole+end]
		whole += end + 1
		var e Entry
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		if err := f(e.clean()); err != nil {
			return whole, err
		}
	}
}

// Follow calls f with each entry of a log, and then with those that come, until ctx
// ends, which is no error, or f fails.
func Follow(ctx context.Context, path string, f func(Entry) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the network log: %w", err)
	}
	defer func() { _ = file.Close() }()
	tick := time.NewTicker(followTime)
	defer tick.Stop()
	var rest []byte
	for {
		data, err := io.ReadAll(io.LimitReader(file, 2*maxLog))
		if err != nil {
			return fmt.Errorf("read the network log: %w", err)
		}
		rest = append(rest, data...)
		n, err := parseEntries(rest, f)
		if err != nil {
			return err
		}
		rest = append([]byte(nil), rest[n:]...)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
