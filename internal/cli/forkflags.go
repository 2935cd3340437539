package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// forkFlags are the flags of fork mode, as given.
type forkFlags struct {
	panes         int
	includeDirty  bool
	dissociate    bool
	sessionName   string
	layout        string
	keepOnFailure bool
	strategy      string
	noAutoclean   bool
	runner        string
}

// The values of fork mode's flags; the first is the default.
var (
	layouts    = []string{"tiled", "even-h", "even-v"}
	strategies = []string{"octopus", "fetch", "none"}
	runners    = []string{"auto", "tmux", "plain"}
)

const strategyNone = "none"

// mostPanes is far more than a machine bears; more is a slip of the hand.
const mostPanes = 64

func (f *forkFlags) register(fs *pflag.FlagSet) {
	fs.IntVar(&f.panes, "fork", 0, "run the agent `N` times at once, each on a clone of the repository")
	fs.BoolVar(&f.includeDirty, "fork-include-dirty", false, "let the clones begin with what is not committed yet")
	fs.BoolVar(&f.dissociate, "fork-dissociate", false, "give each clone all objects instead of borrowing the repository's")
	fs.StringVar(&f.sessionName, "fork-session-name", "", "`NAME` of the tmux session (default: aifo-SID)")
	fs.StringVar(&f.layout, "fork-layout", layouts[0], "arrange the panes `"+strings.Join(layouts, "|")+"`")
	fs.BoolVar(&f.keepOnFailure, "fork-keep-on-failure", true, "keep the clones when the panes cannot be started")
	fs.StringVar(&f.strategy, "fork-merge-strategy", strategies[0], "when all agents have ended: `"+strings.Join(strategies, "|")+"`")
	fs.BoolVar(&f.noAutoclean, "fork-merge-no-autoclean", false, "keep the clones whose work was merged")
	fs.StringVar(&f.runner, "fork-runner", runners[0], "run the panes by `"+strings.Join(runners, "|")+"`; plain: in the background, with logs")
}

// check refuses what cannot be meant. Every error is the user's to mend.
func (f *forkFlags) check(fs *pflag.FlagSet) error {
	if !fs.Changed("fork") {
		return f.checkAlone(fs)
	}
	if f.panes < 1 || f.panes > mostPanes {
		return fmt.Errorf("--fork %d: takes a number of panes from 1 to %d", f.panes, mostPanes)
	}
	return errors.Join(
		checkWord("--fork-layout", f.layout, layouts),
		checkWord("--fork-merge-strategy", f.strategy, strategies),
		checkWord("--fork-runner", f.runner, runners),
	)
}

// checkAlone refuses the other flags without --fork.
func (f *forkFlags) checkAlone(fs *pflag.FlagSet) error {
	var err error
	fs.Visit(func(g *pflag.Flag) {
		if strings.HasPrefix(g.Name, "fork-") {
			err = fmt.Errorf("--%s goes with --fork N", g.Name)
		}
	})
	return err
}

func checkWord(flag, value string, words []string) error {
	if !slices.Contains(words, value) {
		return fmt.Errorf("%s %q: takes %s", flag, value, strings.Join(words, ", "))
	}
	return nil
}

// notForPanes are the global flags that the command which starts the panes has
// carried out.
var notForPanes = []string{"workspace", "dry-run", "profile"}

// paneArgv returns the command line of a pane: the global flags that were given, but for
// those of fork mode, the agent and its words. Files are named from anywhere: a
// pane's working directory is another one.
func paneArgv(fs *pflag.FlagSet, agent string, args []string) ([]string, error) {
	var argv []string
	var err error
	cwd, cwdErr := os.Getwd() // which only relative names need
	fs.Visit(func(f *pflag.Flag) {
		if f.Name == "fork" || strings.HasPrefix(f.Name, "fork-") || slices.Contains(notForPanes, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			if f.Name == "toolchain-define" || f.Name == "env-file" {
				var absErr error
				v, absErr = filepath.Abs(v)
				err = errors.Join(err, absErr)
			}
			if abs := absoluteMount(v, cwd); f.Name == mountFlag && abs != v {
				v, err = abs, errors.Join(err, cwdErr)
			}
			argv = append(argv, "--"+f.Name+"="+v)
		}
	})
	argv = append(argv, agent)
	if len(args) > 0 {
		argv = append(append(argv, "--"), args...)
	}
	return argv, err
}
