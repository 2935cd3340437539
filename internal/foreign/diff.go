package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Format is how a difference is shown.
type Format int

// The formats.
const (
	Patch Format = iota
	Stat         // a line for each file
	Names        // the names of the files
)

// Diff says what to show of a clone's work, and where.
type Diff struct {
	Out    io.Writer
	Format Format
	// Terminal makes control characters visible, and leaves out the content of binary files.
	// Without it a patch is one that git-apply(1) takes.
	Terminal bool
	Color    bool // of a patch for a terminal
}

// Diff writes all that the clone has and its base has not: its commits, and its files that are not
// committed. Of submodules it shows which commit they are on.
func (v *View) Diff(ctx context.Context, d Diff) error {
	u := v.units[0]
	if err := u.readTree(ctx); err != nil {
		return fmt.Errorf("read the commit of its HEAD: %w", err)
	}
	if err := v.addFiles(ctx, u); err != nil {
		return err
	}
	out := &painter{out: d.Out, raw: !d.Terminal, color: d.Color && d.Terminal && d.Format == Patch}
	c := u.q.Git(append([]string{"diff", "--cached", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none"},
		d.args(u.base)...)...)
	c.Stdout = out
	return errors.Join(c.Run(ctx), out.flush())
}

func (d Diff) args(base string) []string {
	switch {
	case d.Format == Stat:
		return []string{"--stat", base}
	case d.Format == Names && d.Terminal:
		return []string{"--name-only", base}
	case d.Format == Names:
		return []string{"--name-only", "-z", base}
	case d.Terminal:
		return []string{"--patch", base}
	}
	return []string{"--patch", "--binary", "--full-index", base}
}

// addFiles puts the files that are not committed into the quarantine's index.
func (v *View) addFiles(ctx context.Context, u *unit) error {
	out, err := u.q.Git("status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all").Output(ctx)
	if err != nil {
		return err
	}
	var files, pointers strings.Builder
	for _, e := range parseStatus(string(out)) {
		if strings.HasSuffix(e.Path, "/") { // a repository of its own
			continue
		}
		info, err := v.newPointer(ctx, u, e)
		if err != nil {
			return err
		}
		if info == "" {
			files.WriteString(e.Path + "\x00")
		}
		pointers.WriteString(info)
	}
	if err := updateIndex(ctx, u, files.String(), "--add", "--remove", "--replace", "-z", "--stdin"); err != nil {
		return err
	}
	return updateIndex(ctx, u, pointers.String(), "-z", "--index-info")
}

func updateIndex(ctx context.Context, u *unit, in string, args ...string) error {
	if in == "" {
		return nil
	}
	c := u.q.Git(append([]string{"update-index"}, args...)...)
	c.Stdin = strings.NewReader(in)
	return c.Run(ctx)
}

// newPointer returns the index's line for a file whose place in HEAD has a pointer of Git LFS,
// "" for any other: its content is compared as such a pointer.
func (v *View) newPointer(ctx context.Context, u *unit, e statusEntry) (string, error) {
	if e.What != "changed" {
		return "", nil
	}
	if _, ok := u.blobPointer(ctx, e.blob); !ok {
		return "", nil
	}
	p, err := pointerOf(v.pane, path.Join(u.tree, e.Path))
	if err != nil {
		return "", nil // no regular file any more: as any other
	}
	c := u.q.Git("hash-object", "-w", "--stdin")
	c.Stdin = bytes.NewReader(p.bytes())
	blob, err := c.Line(ctx)
	return fmt.Sprintf("%s %s\t%s\x00", e.modeTree, blob, e.Path), err
}

// painter makes a patch fit for a terminal, line by line. Its colours are ours, for those of git come
// with settings.
type painter struct {
	out   io.Writer
	raw   bool
	color bool
	line  []byte
}

const (
	red, green, cyan, bold, plain = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[1m", "\x1b[m"
)

func (p *painter) Write(b []byte) (int, error) {
	if p.raw {
		return p.out.Write(b)
	}
	p.line = append(p.line, b...)
	for {
		line, rest, ok := bytes.Cut(p.line, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		if err := p.print(string(line) + "\n"); err != nil {
			return 0, err
		}
		p.line = rest
	}
}

func (p *painter) flush() error {
	if len(p.line) == 0 {
		return nil
	}
	return p.print(string(p.line))
}

func (p *painter) print(line string) error {
	text, end := strings.TrimSuffix(line, "\n"), ""
	if text != line {
		end = "\n"
	}
	color, off := p.colorOf(text), plain
	if color == "" {
		off = ""
	}
	_, err := io.WriteString(p.out, color+visible(text)+off+end)
	return err
}

func (p *painter) colorOf(line string) string {
	switch {
	case !p.color || line == "":
		return ""
	case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
		return bold
	case line[0] == '+':
		return green
	case line[0] == '-':
		return red
	case strings.HasPrefix(line, "@@"):
		return cyan
	}
	return ""
}

// visible is Printable for a line of a file, in which tabs are as they are.
func visible(line string) string {
	parts := strings.Split(line, "\t")
	for i := range parts {
		parts[i] = Printable(parts[i])
	}
	return strings.Join(parts, "\t")
}
