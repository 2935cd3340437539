//go:build unix

package foreign_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

// trap is a command that leaves a mark when anything runs it.
type trap struct{ script, mark string }

func newTrap(t *testing.T) trap {
	t.Helper()
	dir := t.TempDir()
	tr := trap{script: filepath.Join(dir, "trap"), mark: filepath.Join(dir, "mark")}
	gittest.Write(t, tr.script, "#!/bin/sh\necho \"$0 $*\" >> "+tr.mark+"\n[ -t 0 ] || cat\n")
	require.NoError(t, os.Chmod(tr.script, 0o755))
	return tr
}

func (tr trap) unsprung(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile(tr.mark)
	require.ErrorIs(t, err, os.ErrNotExist, "it ran: %s", content)
}

// everything does all that can be done with a clone.
func (f *fixture) everything(t *testing.T) foreign.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := foreign.Look(ctx, f.clone)
	require.NoError(t, err)
	v, err := foreign.Open(ctx, f.clone)
	var refused *foreign.RefusedError
	if errors.As(err, &refused) {
		require.Equal(t, foreign.Unknown, r.Kind)
		return r
	}
	require.NoError(t, err)
	defer v.Close()
	for _, format := range []foreign.Format{foreign.Patch, foreign.Stat, foreign.Names} {
		if err := v.Diff(ctx, foreign.Diff{Out: &bytes.Buffer{}, Format: format, Terminal: true}); err != nil {
			require.Equal(t, foreign.Unknown, r.Kind, "%v", err)
		}
	}
	_, err = v.Fetch(ctx)
	require.NoError(t, err)
	return r
}

// TestHostileConfig: whatever the configuration, the hooks and the attributes of a clone ask for, nothing runs.
func TestHostileConfig(t *testing.T) {
	f := newFixture(t)
	f.commit(t, "new.txt", "new\n")
	tr := newTrap(t)
	cmd := tr.script
	gittest.Write(t, filepath.Join(f.pane, ".gitattributes"), "* filter=evil diff=evil merge=evil\n")
	f.commit(t, "attributes.txt", "x\n")
	included := filepath.Join(f.pane, "included")
	gittest.Write(t, included, "[core]\n\tfsmonitor = "+cmd+"\n[diff]\n\texternal = "+cmd+"\n")
	gittest.Write(t, filepath.Join(f.pane, ".git/config"), `[core]
	repositoryformatversion = 0
	fsmonitor = `+cmd+`
	hooksPath = `+filepath.Join(f.pane, "hooks")+`
	sshCommand = `+cmd+`
	gitProxy = `+cmd+`
	askPass = `+cmd+`
	pager = `+cmd+`
	editor = `+cmd+`
	alternateRefsCommand = `+cmd+`
[filter "evil"]
	clean = `+cmd+`
	smudge = `+cmd+`
	process = `+cmd+`
	required = true
[diff]
	external = `+cmd+`
[diff "evil"]
	command = `+cmd+`
	textconv = `+cmd+`
[merge "evil"]
	driver = `+cmd+`
[credential]
	helper = !`+cmd+`
[uploadpack]
	packObjectsHook = `+cmd+`
[gpg]
	program = `+cmd+`
[log]
	showSignature = true
[include]
	path = `+included+`
[alias]
	status = !`+cmd+`
	rev-list = !`+cmd+`
`)
	for _, dir := range []string{".git/hooks", "hooks"} {
		for _, hook := range []string{"pre-commit", "post-checkout", "post-index-change", "reference-transaction", "post-merge",
			"pre-auto-gc", "post-rewrite", "fsmonitor-watchman", "update", "pre-receive", "post-receive", "post-update", "proc-receive", "push-to-checkout"} {
			require.NoError(t, os.MkdirAll(filepath.Join(f.pane, dir), 0o755))
			require.NoError(t, os.Symlink(tr.script, filepath.Join(f.pane, dir, hook)))
		}
	}
	gittest.Write(t, filepath.Join(f.pane, mainFile), "changed\n")
	require.Equal(t, foreign.HasWork, f.everything(t).Kind)
	tr.unsprung(t)
	require.Len(t, f.refs(t), 1)
}

// TestTrap: the trap of these tests does spring.
func TestTrap(t *testing.T) {
	f := newFixture(t)
	tr := newTrap(t)
	run(t, f.pane, "config", "core.fsmonitor", tr.script)
	run(t, f.pane, "status")
	require.FileExists(t, tr.mark)
}

// TestRefused: clones that are not as we made them are not looked at.
func TestRefused(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, f *fixture){
		"commondir": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, ".git/commondir"), filepath.Join(f.root, ".git")+"\n")
		},
		"alternates": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, ".git/objects/info/alternates"), f.clone.Repo.Objects()+"\n"+t.TempDir()+"\n")
		},
		"alternates, link": func(t *testing.T, f *fixture) {
			file := filepath.Join(f.pane, ".git/objects/info/alternates")
			require.NoError(t, os.Rename(file, file+".x"))
			require.NoError(t, os.Symlink("alternates.x", file))
		},
		".git a file": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Rename(filepath.Join(f.pane, ".git"), filepath.Join(f.pane, "elsewhere")))
			gittest.Write(t, filepath.Join(f.pane, ".git"), "gitdir: elsewhere\n")
		},
		".git a link": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Rename(filepath.Join(f.pane, ".git"), filepath.Join(f.pane, "elsewhere")))
			require.NoError(t, os.Symlink("elsewhere", filepath.Join(f.pane, ".git")))
		},
		"no .git":  func(t *testing.T, f *fixture) { require.NoError(t, os.RemoveAll(filepath.Join(f.pane, ".git"))) },
		"no clone": func(t *testing.T, f *fixture) { require.NoError(t, os.RemoveAll(f.pane)) },
		"clone a link": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Rename(f.pane, f.pane+"-x"))
			require.NoError(t, os.Symlink(f.pane+"-x", f.pane))
		},
		"session a link": func(t *testing.T, f *fixture) {
			dir := filepath.Dir(f.pane)
			require.NoError(t, os.Rename(dir, dir+"x"))
			require.NoError(t, os.Symlink("ab12x", dir))
		},
		"outside":        func(t *testing.T, f *fixture) { f.clone.Dir = filepath.Join(f.root, "..", "x") },
		"the repository": func(t *testing.T, f *fixture) { f.clone.Dir = f.root },
		"objects a link": func(t *testing.T, f *fixture) {
			require.NoError(t, os.RemoveAll(filepath.Join(f.pane, ".git/objects")))
			require.NoError(t, os.Symlink(f.clone.Repo.Objects(), filepath.Join(f.pane, ".git/objects")))
		},
		"packs a link": func(t *testing.T, f *fixture) {
			require.NoError(t, os.RemoveAll(filepath.Join(f.pane, ".git/objects/pack")))
			require.NoError(t, os.Symlink(filepath.Join(f.clone.Repo.Objects(), "pack"), filepath.Join(f.pane, ".git/objects/pack")))
		},
		"refs a link": func(t *testing.T, f *fixture) {
			require.NoError(t, os.RemoveAll(filepath.Join(f.pane, ".git/refs")))
			require.NoError(t, os.Symlink(filepath.Join(f.root, ".git/refs"), filepath.Join(f.pane, ".git/refs")))
		},
		"reftable": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, ".git/reftable/tables.list"), "")
		},
		"HEAD to elsewhere": func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.pane, ".git/HEAD"), "ref: ../../x\n") },
		"HEAD is nothing":   func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.pane, ".git/HEAD"), "x\n") },
		"HEAD a pipe": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Remove(filepath.Join(f.pane, ".git/HEAD")))
			require.NoError(t, syscall.Mkfifo(filepath.Join(f.pane, ".git/HEAD"), 0o600))
		},
		".gitignore a pipe": func(t *testing.T, f *fixture) {
			require.NoError(t, syscall.Mkfifo(filepath.Join(f.pane, "dir/.gitignore"), 0o600))
		},
		".gitattributes a pipe": func(t *testing.T, f *fixture) {
			require.NoError(t, syscall.Mkfifo(filepath.Join(f.pane, ".gitattributes"), 0o600))
		},
		".gitmodules a link to what never ends": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Symlink("/dev/zero", filepath.Join(f.pane, ".gitmodules")))
		},
		"pipe in a nested repository": func(t *testing.T, f *fixture) {
			run(t, f.pane, "init", "-q", "nested")
			require.NoError(t, os.Remove(filepath.Join(f.pane, "nested/.git/HEAD")))
			require.NoError(t, syscall.Mkfifo(filepath.Join(f.pane, "nested/.git/HEAD"), 0o600))
		},
		"huge packed-refs": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Truncate(filepath.Join(f.pane, ".git/packed-refs"), 65<<20))
		},
		"format": func(t *testing.T, f *fixture) { f.clone.Repo.Format = "md5" },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			do(t, f)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := foreign.Open(ctx, f.clone)
			var refused *foreign.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Contains(t, err.Error(), "cannot be looked at")
			require.NotEmpty(t, refused.Hint())
			r := f.look(t)
			require.Equal(t, foreign.Unknown, r.Kind)
			require.NotEmpty(t, r.Reasons)
		})
	}
}

// TestUnknown: what does not keep a clone from being looked at, but from being taken for clean.
func TestUnknown(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, f *fixture){
		"index is nothing": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, ".git/index"), strings.Repeat("DIRC", 1000))
		},
		"index, truncated": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Truncate(filepath.Join(f.pane, ".git/index"), 100))
		},
		"index, huge": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Truncate(filepath.Join(f.pane, ".git/index"), 1<<40))
		},
		"index, split": func(t *testing.T, f *fixture) { run(t, f.pane, "update-index", "--split-index") },
		"index a link": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Rename(filepath.Join(f.pane, ".git/index"), filepath.Join(f.pane, ".git/x")))
			require.NoError(t, os.Symlink("x", filepath.Join(f.pane, ".git/index")))
		},
		"ref is nothing": func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.pane, ".git/refs/heads/x"), "") },
		"ref a link": func(t *testing.T, f *fixture) {
			require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(f.pane, ".git/refs/heads/x")))
		},
		"ref to a missing object": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, ".git/refs/heads/x"), strings.Repeat("1", 40)+"\n")
		},
		"packed ref is nothing": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, ".git/packed-refs"), "x\n")
		},
		"HEAD to a missing object": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, ".git/HEAD"), strings.Repeat("1", 40)+"\n")
		},
		"blob missing": func(t *testing.T, f *fixture) {
			f.commit(t, "x", "x")
			removeObject(t, f, "HEAD:x")
		},
		"shallow lies": func(t *testing.T, f *fixture) {
			f.commit(t, "x", "x")
			removeObject(t, f, "HEAD")
			head := strings.Repeat("2", 40)
			gittest.Write(t, filepath.Join(f.pane, ".git/shallow"), head+"\n")
		},
		"grafts lie": func(t *testing.T, f *fixture) {
			f.commit(t, "x", "x")
			f.commit(t, "y", "y")
			head := run(t, f.pane, "rev-parse", "HEAD")
			removeObject(t, f, "HEAD~1")
			gittest.Write(t, filepath.Join(f.pane, ".git/info/grafts"), head+" "+f.base+"\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			do(t, f)
			r := f.everything(t)
			require.Equal(t, foreign.Unknown, r.Kind, "%+v", r)
			require.NotEmpty(t, r.Reasons)
			f.leavesNothing(t)
		})
	}
}

func objectFile(t *testing.T, dir, rev string) string {
	t.Helper()
	id := run(t, dir, "rev-parse", rev)
	return filepath.Join(dir, ".git/objects", id[:2], id[2:])
}

func removeObject(t *testing.T, f *fixture, rev string) {
	t.Helper()
	require.NoError(t, os.Remove(objectFile(t, f.pane, rev)))
}

// TestDamageElsewhere: what is damaged and not needed is told, and keeps nothing else back.
func TestDamageElsewhere(t *testing.T) {
	f := newFixture(t)
	head := f.commit(t, "x", "x")
	id := strings.Repeat("ab", 20)
	gittest.Write(t, filepath.Join(f.pane, ".git/objects", id[:2], id[2:]), "nothing")
	gittest.Write(t, filepath.Join(f.pane, ".git/objects/pack/pack-"+id+".pack"), "PACK nothing")
	require.NoError(t, syscall.Mkfifo(filepath.Join(f.pane, ".git/objects/12"), 0o600))
	r := f.look(t)
	require.Equal(t, foreign.Unknown, r.Kind, "a pipe in place of a directory is more than damage")
	require.NoError(t, os.Remove(filepath.Join(f.pane, ".git/objects/12")))
	r = f.look(t)
	require.Equal(t, foreign.HasWork, r.Kind)
	require.Len(t, r.Notes, 2)
	f.fetch(t)
	require.Equal(t, map[string]string{branch: head}, f.refs(t))
}

// TestForgedObject: an object whose content is another than its name says, which would make
// changed files look as if they were committed, or let the user's repository have it.
func TestForgedObject(t *testing.T) {
	f := newFixture(t)
	gittest.Write(t, filepath.Join(f.pane, mainFile), "evil\n")
	forge := func(id, kind string, content []byte) {
		var b bytes.Buffer
		w := zlib.NewWriter(&b)
		fmt.Fprintf(w, "%s %d\x00%s", kind, len(content), content)
		require.NoError(t, w.Close())
		gittest.Write(t, filepath.Join(f.pane, ".git/objects", id[:2], id[2:]), b.String())
	}
	forge(run(t, f.pane, "rev-parse", "HEAD:"+mainFile), "blob", []byte("evil\n"))
	r := f.look(t)
	require.Equal(t, foreign.HasWork, r.Kind)
	require.Equal(t, []foreign.Change{{Path: mainFile, What: "changed"}}, r.Changes)
	require.Len(t, r.Notes, 1)
}

// TestForgedPackIndex: the index of a pack says where an object is; ours does.
func TestForgedPackIndex(t *testing.T) {
	f := newFixture(t)
	head := f.commit(t, "x", "x")
	run(t, f.pane, "repack", "-q", "-a", "-d", "-l")
	packs, err := filepath.Glob(filepath.Join(f.pane, ".git/objects/pack/*.idx"))
	require.NoError(t, err)
	require.Len(t, packs, 1)
	require.NoError(t, os.Chmod(packs[0], 0o644))
	gittest.Write(t, packs[0], "nothing")
	f.fetch(t)
	require.Equal(t, map[string]string{branch: head}, f.refs(t))
}

// TestLinkedObjects: a link in place of an object is not followed.
func TestLinkedObjects(t *testing.T) {
	f := newFixture(t)
	f.commit(t, "x", "x")
	file := objectFile(t, f.pane, "HEAD")
	outside := filepath.Join(t.TempDir(), "object")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	gittest.Write(t, outside, string(content))
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.Symlink(outside, file))
	require.Equal(t, foreign.Unknown, f.look(t).Kind)
}

// TestDamagedHead: what other refs have is taken over all the same.
func TestDamagedHead(t *testing.T) {
	f := newFixture(t)
	good := f.commit(t, "x", "x")
	run(t, f.pane, "branch", "good")
	f.commit(t, "y", "y")
	removeObject(t, f, "HEAD")
	r := f.look(t)
	require.Equal(t, foreign.Unknown, r.Kind)
	got := f.fetch(t)
	require.Equal(t, map[string]string{branch + "--good": good}, f.refs(t))
	require.Equal(t, []string{"HEAD needs objects that are missing or damaged"}, got.Left)
}

// TestReplaceRefs: what a clone says is to stand for something else does not.
func TestReplaceRefs(t *testing.T) {
	f := newFixture(t)
	head := f.commit(t, "x", "x")
	run(t, f.pane, "replace", head, f.base)
	r := f.look(t)
	require.Equal(t, 1, r.Ahead)
	f.fetch(t)
	require.Equal(t, head, f.refs(t)[branch])
	require.Empty(t, run(t, f.root, "replace", "-l"))
}

// TestMissingAlternates: the clone went on without the user's objects.
func TestMissingAlternates(t *testing.T) {
	f := newFixture(t)
	f.commit(t, "x", "x")
	run(t, f.pane, "repack", "-q", "-a", "-d")
	require.NoError(t, os.Remove(filepath.Join(f.pane, ".git/objects/info/alternates")))
	f.fetch(t)
	require.Equal(t, foreign.Preserved, f.look(t).Kind)
}

// TestUnsafeTrees: git-fsck's refusals hold for what comes into the user's repository.
func TestUnsafeTrees(t *testing.T) {
	for _, name := range []string{".git", "..", ".", ".GIT", "a/b"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			blob := run(t, f.pane, "rev-parse", "HEAD:"+mainFile)
			raw := []byte("100644 " + name + "\x00")
			for i := 0; i < len(blob); i += 2 {
				var b byte
				fmt.Sscanf(blob[i:i+2], "%02x", &b)
				raw = append(raw, b)
			}
			tree := putObject(t, f, "tree", raw)
			commit := run(t, f.pane, "commit-tree", "-p", f.base, "-m", "evil", tree)
			gittest.Write(t, filepath.Join(f.pane, ".git/refs/heads/evil"), commit+"\n")
			_, err := f.tryFetch(t.Context())
			var unsafe *git.UnsafeError
			require.ErrorAs(t, err, &unsafe)
			require.NotEmpty(t, unsafe.Hint())
			require.Empty(t, f.refs(t))
			require.False(t, has(f, commit))
			require.Equal(t, foreign.HasWork, f.look(t).Kind)
			good := f.commit(t, "x", "x")
			got, err := f.tryFetch(t.Context())
			require.ErrorAs(t, err, &unsafe)
			require.ErrorContains(t, err, "refs/heads/evil")
			require.Equal(t, map[string]string{branch: good}, f.refs(t), "it keeps nothing else back")
			require.Len(t, got.Refs, 1)

			gittest.Write(t, filepath.Join(f.pane, ".git/HEAD"), commit+"\n")
			r := f.look(t)
			require.False(t, r.Kind.Safe())
			f.leavesNothing(t)
		})
	}
}

// putObject writes an object that git would not.
func putObject(t *testing.T, f *fixture, kind string, content []byte) string {
	t.Helper()
	plain := append(fmt.Appendf(nil, "%s %d\x00", kind, len(content)), content...)
	id := fmt.Sprintf("%x", sha1.Sum(plain))
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(plain)
	require.NoError(t, w.Close())
	gittest.Write(t, filepath.Join(f.pane, ".git/objects", id[:2], id[2:]), b.String())
	return id
}

func has(f *fixture, object string) bool {
	return f.clone.Repo.Git("cat-file", "-e", object).Run(context.Background()) == nil
}

// TestReplacedWhileRead: files that change while they are read.
func TestReplacedWhileRead(t *testing.T) {
	f := newFixture(t)
	head := f.commit(t, "x", "x")
	file := objectFile(t, f.pane, "HEAD")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			part := file + ".x"
			switch i % 3 {
			case 0:
				_ = os.WriteFile(part, content, 0o644)
			case 1:
				_ = os.WriteFile(part, []byte("nothing"), 0o644)
			case 2:
				_ = os.Symlink("/etc/passwd", part)
			}
			_ = os.Rename(part, file)
		}
	}()
	defer func() { close(stop); <-stopped }()
	for range 30 {
		r := f.look(t)
		require.Contains(t, []foreign.Kind{foreign.HasWork, foreign.Unknown}, r.Kind)
		if r.Kind == foreign.HasWork {
			require.Equal(t, head, r.Head)
		}
	}
}
