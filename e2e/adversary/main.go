//go:build linux

// Command adversary is what an agent that means harm would try. The test in e2e runs it
// in an agent's container, row by row, and compares the answers with those that
// docs/security.md promises. It prints a line of JSON for each row.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// target is what the test tells of the world outside, as a file of the workspace.
type target struct {
	HostPort  string   // a port on which the host listens on its loopback
	Addresses []string // HOST:PORT that must be out of reach: of the host, of another session's container
	Allowed   string   // HOST:PORT that the policy allows
	Yek       string   // the key that the host keeps, backwards
}

// row is one attempt. It returns the answer in a few words.
type row struct {
	name string
	try  func(target) (string, error)
}

var rows = slices.Concat(kernelRows, networkRows, brokerRows, proxyRows, floodRows)

func main() {
	text, err := os.ReadFile("/workspace/target.json")
	var t target
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	out := json.NewEncoder(os.Stdout)
	for _, r := range rows {
		answer, err := r.try(t)
		if err != nil {
			answer = "error: " + err.Error()
		}
		if err := out.Encode(map[string]string{"row": r.name, "answer": answer}); err != nil {
			os.Exit(1)
		}
	}
}
