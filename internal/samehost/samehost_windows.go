package samehost

import "os"

// bootID is none: containers are on another kernel.
func bootID() string { return "" }

// identify names no file: what it says could not be compared.
func identify(path string) (string, error) {
	_, err := os.Stat(path)
	return "file", err
}
