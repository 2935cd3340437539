package clone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// giveObjects lets the clone read the base's objects, or gives it its own.
func (m *maker) giveObjects(ctx context.Context, t tree, p place) error {
	if m.dissociate {
		return m.copyObjects(ctx, t.repo.Objects(), path.Join(p.gitDir, "objects"))
	}
	if err := m.at("borrow the objects of %s", p.gitDir); err != nil {
		return err
	}
	lines, err := git.AlternatesFile(t.repo.Objects())
	if err != nil {
		return err
	}
	return m.writeFile(path.Join(p.gitDir, "objects/info/alternates"), lines)
}

// copyObjects copies all objects. The base may be repacked meanwhile: git writes a
// pack before it removes what is in it, so that a loose object that is gone is in a pack that
// is listed later, and what was in a pack that is gone is in one that the next list has.
func (m *maker) copyObjects(ctx context.Context, from, to string) error {
	if err := m.at("copy the objects to %s", to); err != nil {
		return err
	}
	if err := m.copyLoose(ctx, from, to); err != nil {
		return fmt.Errorf("copy the objects: %w", err)
	}
	tried := map[string]bool{}
	for more := true; more; {
		var err error
		if more, err = m.copyPacks(ctx, from, to, tried); err != nil {
			return fmt.Errorf("copy the objects: %w", err)
		}
	}
	return nil
}

var (
	fanOut = regexp.MustCompile(`^[0-9a-f]{2}$`)
	loose  = regexp.MustCompile(`^[0-9a-f]{38}([0-9a-f]{24})?$`)
	// A pack is complete when it has its index, which comes last.
	packIndex = regexp.MustCompile(`^(pack-[0-9a-f]{40,64})\.idx$`)
)

func (m *maker) copyLoose(ctx context.Context, from, to string) error {
	dirs, err := namesIn(from, fanOut)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := m.copyFanOut(ctx, filepath.Join(from, dir), path.Join(to, dir)); err != nil {
			return err
		}
	}
	return nil
}

func (m *maker) copyFanOut(ctx context.Context, from, to string) error {
	objects, err := namesIn(from, loose)
	if err != nil {
		return err
	}
	if err := m.root.MkdirAll(to, 0o777); err != nil {
		return err
	}
	for _, name := range objects {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := ignoreGone(m.copyFile(from, name, to)); err != nil {
			return err
		}
	}
	return nil
}

// copyPacks copies the packs that were not tried yet, and says whether there were any.
func (m *maker) copyPacks(ctx context.Context, from, to string, tried map[string]bool) (more bool, err error) {
	from, to = filepath.Join(from, "pack"), path.Join(to, "pack")
	indexes, err := namesIn(from, packIndex)
	if err != nil {
		return false, err
	}
	for _, idx := range indexes {
		if tried[idx] {
			continue
		}
		tried[idx], more = true, true
		if err := errors.Join(context.Cause(ctx), m.at("copy %s", idx)); err != nil {
			return false, err
		}
		if err := m.copyPack(from, packIndex.FindStringSubmatch(idx)[1], to); err != nil {
			return false, err
		}
	}
	return more, nil
}

// copyPack copies a pack, its index last, or nothing when either is gone.
func (m *maker) copyPack(from, name, to string) error {
	if err := m.copyFile(from, name+".pack", to); err != nil {
		return ignoreGone(err)
	}
	err := m.copyFile(from, name+".idx", to)
	if errors.Is(err, fs.ErrNotExist) {
		return m.root.Remove(path.Join(to, name+".pack"))
	}
	return err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// copyFile copies a file into a directory of the clone. Where the file system can, the
// kernel shares the blocks, never the inode.
func (m *maker) copyFile(from, name, to string) error {
	in, err := git.OpenRegular(from, name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	return copyTo(m.root, path.Join(to, name), in)
}

// copyTo writes a read-only file, as those of objects are.
func copyTo(root *os.Root, name string, in *os.File) error {
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// namesIn returns the names in a directory that match, or none when there is no directory.
func namesIn(dir string, match *regexp.Regexp) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if match.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
