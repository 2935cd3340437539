package git

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const excludeLine = "/.aifo-coder/"

// withExcludeLine returns an exclude file that has our line.
func withExcludeLine(content []byte) []byte {
	for line := range bytes.Lines(content) {
		if strings.TrimSpace(string(line)) == excludeLine {
			return content
		}
	}
	if n := len(content); n > 0 && content[n-1] != '\n' {
		content = append(content, '\n')
	}
	return append(content, excludeLine+"\n"...)
}

// Exclude has git ignore the directory of our clones, in all work trees of the repository
// and without a change of its files (gitignore(5), $GIT_DIR/info/exclude).
func (r Repo) Exclude() error {
	old, err := r.ReadFile("info/exclude")
	if err != nil {
		return err
	}
	content := withExcludeLine(bytes.Clone(old))
	if bytes.Equal(old, content) {
		return nil
	}
	root, err := os.OpenRoot(r.CommonDir)
	if err != nil {
		return fmt.Errorf("exclude our clones: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := replaceExclude(root, content); err != nil {
		return fmt.Errorf("exclude our clones in %s: %w", filepath.Join(r.CommonDir, "info", "exclude"), err)
	}
	return nil
}

func replaceExclude(root *os.Root, content []byte) error {
	if err := root.Mkdir("info", 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Whoever else writes one leaves an equal file.
	temp := fmt.Sprintf("info/.exclude-%d", os.Getpid())
	if err := writeSynced(root, temp, content); err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	if err := root.Rename(temp, "info/exclude"); err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return nil
}

func writeSynced(root *os.Root, name string, content []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
