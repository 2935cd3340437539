package cli

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/trust"
)

// configTemplate is what a new configuration file begins with.
//
//go:embed config.template.yaml
var configTemplate []byte

func (a *app) configEditCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "edit",
		Short: "Edit your configuration file, and check it before it counts",
		Long: `Open your configuration file in the editor of VISUAL or EDITOR. A new file begins with a commented template. What you
write is checked when the editor ends, and replaces the file only when nothing is wrong with it; on a terminal
you are asked whether to go on editing otherwise.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.configEdit(cmd.Context()) },
	}
}

// editorError says that no editor could do its work. It has no Unwrap: that an editor is missing does
// not mean what it means of docker.
type editorError struct {
	Command string // empty: there is none
	Err     error
}

func (e *editorError) Error() string {
	if e.Command == "" {
		return "there is no editor"
	}
	if exit, ok := asType[*proc.ExitError](e.Err); ok { // the program in it is the shell
		return fmt.Sprintf("the editor %q ended with exit code %d", e.Command, exit.Code)
	}
	return fmt.Sprintf("the editor %q failed: %v", e.Command, e.Err)
}

// Hint says how one is chosen.
func (e *editorError) Hint() string { return "name one in VISUAL or EDITOR, as in EDITOR=nano" }

// draftError says that what was written did not become the configuration, and where it is.
type draftError struct {
	Draft string
	Err   error
}

func (e *draftError) Error() string { return "your configuration is as it was: " + e.Err.Error() }
func (e *draftError) Unwrap() error { return e.Err }

// Hint says where the work is.
func (e *draftError) Hint() string { return "what you wrote is in " + e.Draft }

// editing is the user's file and the draft that is to replace it.
type editing struct {
	name   string // as the user knows it
	path   string // what is replaced: a link stays one
	draft  string
	before []byte // nil: there was no file
	mode   fs.FileMode
}

func (a *app) configEdit(ctx context.Context) error {
	e, err := a.openEditing()
	if err != nil {
		return err
	}
	if a.flags.dryRun {
		_, err := fmt.Fprintln(a.streams.Out, "would edit "+e.name)
		return err
	}
	undo, err := e.makeDraft()
	if err != nil {
		return err
	}
	changed, err := a.editUntilValid(ctx, e)
	if worthKeeping := changed || is[*draftError](err); !worthKeeping {
		err = errors.Join(err, undo())
	}
	if err != nil {
		return err
	}
	if !changed {
		a.printer.Notice("nothing was changed in " + e.name)
		return nil
	}
	if err := e.save(); err != nil {
		return &draftError{Draft: e.draft, Err: err}
	}
	a.printer.Notice("saved " + e.name)
	return nil
}

// openEditing reads the user's file, which need not exist.
func (a *app) openEditing() (*editing, error) {
	f, err := hostfacts.User()
	if err != nil {
		return nil, err
	}
	e := &editing{name: userFile(f), path: canonical(userFile(f)), mode: 0o600}
	e.before, err = trust.ReadOwn(e.path, config.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read your configuration: %w", err)
	}
	info, err := os.Stat(e.path)
	if err != nil {
		return nil, fmt.Errorf("read your configuration: %w", err)
	}
	e.mode = info.Mode().Perm()
	return e, nil
}

// text is what the editor begins with.
func (e *editing) text() []byte {
	if e.before == nil {
		return configTemplate
	}
	return e.before
}

// makeDraft makes the draft beside the file, so that it can take its place in one step. undo
// removes what was made.
func (e *editing) makeDraft() (undo func() error, err error) {
	dir := filepath.Dir(e.path)
	_, missing := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("edit your configuration: %w", err)
	}
	undo = func() error {
		err := os.Remove(e.draft)
		if missing != nil {
			_ = os.Remove(dir) // unless something is in it by now
		}
		return err
	}
	f, err := os.CreateTemp(dir, ".config-*.yaml") // of mode 0600
	if err != nil {
		return nil, fmt.Errorf("edit your configuration: %w", err)
	}
	e.draft = f.Name()
	_, err = f.Write(e.text())
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("edit your configuration: %w", err), undo())
	}
	return undo, nil
}

// editUntilValid runs the editor until nothing is wrong with the draft or the user gives up. It
// returns a *draftError when there is a draft that is worth keeping.
func (a *app) editUntilValid(ctx context.Context, e *editing) (changed bool, err error) {
	for {
		if err := a.runEditor(ctx, e.draft); err != nil {
			return false, err
		}
		data, err := trust.ReadOwn(e.draft, config.MaxFile)
		if err == nil && bytes.Equal(data, e.text()) {
			return false, nil
		}
		if err == nil {
			err = a.checkText(e.name, data)
		}
		if err == nil {
			return true, nil
		}
		if !a.canAsk() {
			return true, &draftError{Draft: e.draft, Err: err}
		}
		for _, one := range parts(err) {
			a.printer.Error(one, hint(one))
		}
		if a.ask("go on editing?") != nil {
			return true, &draftError{Draft: e.draft, Err: errDeclined}
		}
	}
}

// checkText checks what is to become the user's file.
func (a *app) checkText(name string, data []byte) error {
	settings, err := config.Parse(name, data, config.User)
	if err != nil {
		return suggestKey(err)
	}
	return a.validateOwn(settings)
}

// save puts the draft in the file's place, unless somebody else has changed the file.
func (e *editing) save() error {
	now, err := trust.ReadOwn(e.path, config.MaxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(now, e.before) {
		return fmt.Errorf("%s has been changed meanwhile", e.name)
	}
	f, err := os.OpenFile(e.draft, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = errors.Join(f.Chmod(e.mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(e.draft, e.path)
	}
	return err
}

// runEditor lets the user edit the file.
func (a *app) runEditor(ctx context.Context, file string) error {
	command := a.editor()
	if command == "" {
		return &editorError{}
	}
	// Ctrl-C is the editor's: were it to end us, the draft would stay without a word.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGQUIT)
	defer signal.Stop(interrupts)
	err := proc.Run(ctx, proc.Cmd{
		Argv: editorArgv(runtime.GOOS, command, file), Stdin: a.streams.In, Stdout: a.streams.Out, Stderr: a.streams.Err,
	})
	if err != nil {
		return &editorError{Command: command, Err: err}
	}
	return nil
}

// editor returns the command of the user's editor, or "".
func (a *app) editor() string {
	usual := []string{"sensible-editor", "editor", "nano", "vi"}
	if runtime.GOOS == "windows" {
		usual = []string{"notepad"}
	}
	if command := cmp.Or(a.env.Get("VISUAL"), a.env.Get("EDITOR")); command != "" {
		return command
	}
	return proc.FirstOf(usual...)
}

// editorArgv returns the vector of an editor. Its command may have arguments and quotes, as in
// "code --wait", so the shell takes it apart, as git has it done.
func editorArgv(goos, command, file string) []string {
	if goos == "windows" {
		return []string{"cmd", "/c", command + ` "` + file + `"`}
	}
	return []string{"sh", "-c", command + ` "$@"`, command, file}
}
