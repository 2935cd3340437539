// Package samehost tells whether two processes are on the same running kernel and see the
// same files: each says where it is, and the answers are compared. The kernel's boot id is the
// same in all its containers and on no other machine; a file is known by its device and its
// number, which hold on one kernel only.
package samehost

import (
	"fmt"
	"os"
	"strings"
)

// Command is the argument that has the program inside containers say where it is.
const Command = "where"

// Where is a place.
type Where struct {
	Boot  string   // of the kernel; empty where the system tells none
	Files []string // each file's device and number, in the order of the question
}

// Read says where this process is, as to the files.
func Read(paths ...string) (Where, error) {
	w := Where{Boot: bootID()}
	for _, path := range paths {
		file, err := identify(path)
		if err != nil {
			return Where{}, err
		}
		w.Files = append(w.Files, file)
	}
	return w, nil
}

// String returns the place as Parse reads it: a line for each of its parts.
func (w Where) String() string {
	return strings.Join(append([]string{"boot " + w.Boot}, w.Files...), "\n") + "\n"
}

// Parse reads what String returned. It returns an error for anything else.
func Parse(text string) (Where, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	boot, ok := strings.CutPrefix(lines[0], "boot ")
	if !ok {
		return Where{}, fmt.Errorf("%q does not say where it is", text)
	}
	return Where{Boot: boot, Files: lines[1:]}, nil
}

// SameKernel reports whether both are on one running kernel.
func (w Where) SameKernel(other Where) bool { return w.Boot != "" && w.Boot == other.Boot }

// Main is the program inside containers. It returns the exit code.
func Main(paths []string) int {
	w, err := Read(paths...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "aifo-shim where:", err)
		return 1
	}
	fmt.Print(w)
	return 0
}
