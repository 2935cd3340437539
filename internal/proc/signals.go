package proc

import (
	"os"
	"os/signal"
	"syscall"
)

// Ends are the signals by which somebody asks a program to end.
var Ends = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// Notify has the signals sent to ch, except for those that are ignored: nohup means it.
func Notify(ch chan<- os.Signal, signals ...os.Signal) {
	for _, s := range signals {
		if !signal.Ignored(s) {
			signal.Notify(ch, s)
		}
	}
}
