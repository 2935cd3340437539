//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

const asksAndSleeps = `#include <stdio.h>
#include <unistd.h>
int main(void) {
	char name[80];
	printf("your name? ");
	fflush(stdout);
	if (fgets(name, sizeof name, stdin))
		printf("hello %s", name);
	for (;;)
		sleep(1);
}
`

// TestDebugger: gdb shares its terminal with the program that it runs, and gets it
// back by Ctrl-C.
func TestDebugger(t *testing.T) {
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			require.NoError(t, os.WriteFile(filepath.Join(c.workspace, "p.c"), []byte(asksAndSleeps), 0o644))
			tty := c.onTerminal(pty.Winsize{Rows: 40, Cols: 120}, append(flags, "--toolchain", "c-cpp", "shell")...)
			tty.prompt()
			tty.say("gcc -g -o p p.c && gdb -q -ex 'set style enabled off' ./p")
			tty.see("(gdb) ")
			tty.say("run")
			tty.see("your name? ")
			tty.say("Ann")
			tty.see("hello Ann")
			tty.write("\x03")
			tty.see("SIGINT")
			tty.say("up 100")
			tty.see("main () at p.c:10")
			tty.say("kill")
			tty.see("(y or n)")
			tty.say("y")
			tty.see("killed]")
			tty.write("\x04") // Ctrl-D
			tty.prompt()
			tty.say("exit 6")
			require.Equal(t, 6, tty.end())
		})
	}
}
