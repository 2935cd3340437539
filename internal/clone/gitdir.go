package clone

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

const originHEAD = "refs/remotes/origin/HEAD"

// leftOut are the branches of the base that clones do not get: other clones' work.
var leftOut = []string{"refs/heads/fork/", "refs/heads/merge/"}

// cloneRefs returns the refs that a clone gets of a base's: its branches as those of a remote
// "origin", and its tags, as git clone does.
func cloneRefs(base []git.Ref) []git.Ref {
	var refs []git.Ref
	for _, r := range base {
		branch, isBranch := strings.CutPrefix(r.Name, "refs/heads/")
		other := slices.ContainsFunc(leftOut, func(prefix string) bool { return strings.HasPrefix(r.Name, prefix) })
		switch {
		case other, branch == "HEAD":
		case isBranch:
			refs = append(refs, git.Ref{Name: "refs/remotes/origin/" + branch, Object: r.Object})
		case strings.HasPrefix(r.Name, "refs/tags/"):
			refs = append(refs, r)
		}
	}
	return refs
}

// moduleRefs returns the refs that the clone of a submodule gets: what its own remote has.
func moduleRefs(base []git.Ref) []git.Ref {
	return slices.DeleteFunc(base, func(r git.Ref) bool { return r.Name == originHEAD })
}

// refsAt returns the refs of a repository whose branch is made at the commit, sorted by name.
func (t tree) refsAt(branch string) []git.Ref {
	refs := slices.Clone(t.refs)
	if branch != "" {
		refs = append(refs, git.Ref{Name: branch, Object: t.commit})
	}
	for _, r := range t.refs {
		if r.Name == t.originHead {
			refs = append(refs, git.Ref{Name: originHEAD, Object: r.Object})
		}
	}
	slices.SortFunc(refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs
}

// packedRefs returns the content of a file packed-refs. Without its first line git
// would sort the file whenever it reads it.
func packedRefs(refs []git.Ref) []byte {
	var b strings.Builder
	b.WriteString("# pack-refs with: sorted \n")
	for _, r := range refs {
		if r.Name != originHEAD { // a symbolic ref
			fmt.Fprintf(&b, "%s %s\n", r.Object, r.Name)
		}
	}
	return []byte(b.String())
}

// config returns the settings of the clone.
func (t tree) config(p place) git.Settings {
	version := "0"
	if t.repo.Format != "sha1" {
		version = "1"
	}
	words := []string{"core.repositoryformatversion=" + version, "core.filemode=true", "core.bare=false", "core.logallrefupdates=true"}
	if p.workTree != "" {
		words = append(words, "core.worktree="+relative(p.gitDir, p.workTree))
	}
	// The user's own way with line ends holds here, and must hold in a container as well.
	words = append(words, t.settings.Data(git.Effective)...)
	if version == "1" {
		words = append(words, "extensions.objectformat="+t.repo.Format)
	}
	if t.origin != "" {
		words = append(words, "remote.origin.url="+t.origin, "remote.origin.fetch=+refs/heads/*:refs/remotes/origin/*")
	}
	if t.lfs.used {
		words = append(words, "filter.lfs.clean=git-lfs clean -- %f", "filter.lfs.smudge=git-lfs smudge -- %f",
			"filter.lfs.process=git-lfs filter-process", "filter.lfs.required=true")
	}
	return append(git.ParseSettings(words), t.moduleSettings()...)
}

// moduleSettings are what git submodule init writes.
func (t tree) moduleSettings() git.Settings {
	var list git.Settings
	for _, sub := range t.subs {
		list = append(list, git.Setting{Key: "submodule." + sub.name + ".active", Value: "true"})
		if sub.origin != "" {
			list = append(list, git.Setting{Key: "submodule." + sub.name + ".url", Value: sub.origin})
		}
	}
	return list
}

// relative returns the path of to as seen from the directory from, both below one directory.
func relative(from, to string) string {
	rel, err := filepath.Rel(filepath.FromSlash(from), filepath.FromSlash(to))
	if err != nil {
		return to // not reached: both are relative
	}
	return filepath.ToSlash(rel)
}

// writeGitDir writes the git directory but for its objects.
func (m *maker) writeGitDir(t tree, p place, refs []git.Ref) error {
	if err := m.at("write the git directory %s", p.gitDir); err != nil {
		return err
	}
	for _, dir := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags", "info"} {
		if err := m.root.MkdirAll(path.Join(p.gitDir, dir), 0o777); err != nil {
			return err
		}
	}
	for name, content := range t.files(p, refs) {
		if err := m.writeFile(path.Join(p.gitDir, name), content); err != nil {
			return err
		}
	}
	return nil
}

func (t tree) files(p place, refs []git.Ref) map[string][]byte {
	head := t.commit
	if p.branch != "" {
		head = "ref: " + p.branch
	}
	files := map[string][]byte{
		"HEAD": []byte(head + "\n"), "config": git.FormatConfig(t.config(p)), "packed-refs": packedRefs(refs),
		"info/exclude": t.exclude, "index": t.index,
	}
	if len(t.shallow) > 0 {
		files["shallow"] = t.shallow
	}
	if slices.ContainsFunc(refs, func(r git.Ref) bool { return r.Name == originHEAD }) {
		files[originHEAD] = []byte("ref: " + t.originHead + "\n")
	}
	return files
}

func (m *maker) writeFile(name string, content []byte) error {
	if err := m.root.MkdirAll(path.Dir(name), 0o777); err != nil {
		return err
	}
	return m.root.WriteFile(name, content, 0o666)
}

// originURL returns the address to which the repository pushes, without what lets one in,
// or "" when there is none.
func originURL(list git.Settings, root string) string {
	for _, key := range []string{"remote.origin.pushurl", "remote.origin.url"} {
		if urls := list.Get(key, git.Local); len(urls) > 0 {
			return absoluteURL(stripUserinfo(urls[0]), root)
		}
	}
	return ""
}

// stripUserinfo removes passwords and tokens from an address. The user name of an ssh
// address lets nobody in, and is needed.
func stripUserinfo(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address // a path, or HOST:PATH, which has no password
	}
	authority, path, hasPath := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return address
	}
	userinfo, host := authority[:at], authority[at+1:]
	if strings.Contains(scheme, "ssh") {
		user, _, _ := strings.Cut(userinfo, ":")
		host = user + "@" + host
	}
	if hasPath {
		host += "/" + path
	}
	return scheme + "://" + host
}

// absoluteURL returns the address of a relative path as seen from elsewhere.
func absoluteURL(address, root string) string {
	if u, err := url.Parse(address); err != nil || u.Scheme != "" || strings.Contains(address, ":") || filepath.IsAbs(address) {
		return address
	}
	return filepath.Join(root, address)
}
