package cli

import "os"

// foreground reports whether we are in front on a terminal; there are no jobs.
func foreground(*os.File) bool { return true }
