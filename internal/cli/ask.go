package cli

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/term"
)

// errDeclined says that the user said no.
var errDeclined = errors.New("nothing was done")

// canAsk reports whether there is somebody to answer a question.
func (a *app) canAsk() bool {
	return !a.flags.nonInteractive && term.IsTerminal(int(a.streams.In.Fd())) && term.IsTerminal(int(a.streams.Err.Fd()))
}

// ask returns nil when the user agrees, else errDeclined.
func (a *app) ask(question string) error {
	defer a.printer.Hold().End(nil)
	fmt.Fprint(a.streams.Err, "aifo-coder: "+question+" [y/N] ")
	line, err := bufio.NewReader(a.streams.In).ReadString('\n')
	if err != nil {
		fmt.Fprintln(a.streams.Err)
		return errDeclined
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}
