package egress

import (
	"context"
	"fmt"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
)

// ReadLog returns the entries of a log. A line that is not one, such as the last of a
// process that was killed, is left out.
func ReadLog(path string) ([]Entry, error) {
	entries := []Entry{}
	err := jsonlog.Read(path, func(e Entry) error {
		entries = append(entries, e.clean())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the network log: %w", err)
	}
	return entries, nil
}

// clean returns the entry fit for a terminal, whoever wrote the file.
func (e Entry) clean() Entry {
	for _, text := range []*string{&e.Session, &e.Container, &e.Method, &e.Host, &e.Code, &e.Reason, &e.Rule} {
		*text = jsonlog.Clean(*text, maxHostShown*2)
	}
	return e
}

// Follow calls f with each entry of a log, and then with those that come, until ctx
// ends, which is no error, or f fails.
func Follow(ctx context.Context, path string, f func(Entry) error) error {
	err := jsonlog.Follow(ctx, path, nil, func(e Entry) error { return f(e.clean()) })
	if err != nil {
		return fmt.Errorf("follow the network log: %w", err)
	}
	return nil
}
