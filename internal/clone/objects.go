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
// is listed later, and a pack that is gone means another one to look for.
func (m *maker) copyObjects(ctx context.Context, from, to string) error {
	if err := m.at("copy the objects to %s", to); err != nil {
		return err
	}
	if err := m.copyLoose(ctx, from, to); err != nil {
		return fmt.Errorf("copy the objects: %w", err)
	}
	for {
		gone, err := m.copyPacks(ctx, from, to)
		if err != nil {
			return fmt.Errorf("copy the objects: %w", err)
		}
		if !gone {
			return nil
		}
	}
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
		if err := m.copyFile(from, name, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copyPacks copies the packs that the clone has not yet, and says whether one was gone.
func (m *maker) copyPacks(ctx context.Context, from, to string) (gone bool, err error) {
	from, to = filepath.Join(from, "pack"), path.Join(to, "pack")
	indexes, err := namesIn(from, packIndex)
	if err != nil {
		return false, err
	}
	for _, idx := range indexes {
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		if _, err := m.root.Lstat(path.Join(to, idx)); err == nil {
			continue
		}
		err := m.copyPack(from, packIndex.FindStringSubmatch(idx)[1], to)
		if errors.Is(err, fs.ErrNotExist) {
			gone = true
		} else if err != nil {
			return false, err
		}
	}
	return gone, nil
}

// copyPack copies a pack, its index last.
func (m *maker) copyPack(from, name, to string) error {
	for _, ext := range []string{".pack", ".idx"} {
		if err := m.copyFile(from, name+ext, to); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file into a directory of the clone. Where the file system can, the
// kernel shares the blocks, never the inode.
func (m *maker) copyFile(from, name, to string) error {
	in, err := git.OpenRegular(from, name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := m.root.Remove(path.Join(to, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // of an attempt that found the other half gone
	}
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
