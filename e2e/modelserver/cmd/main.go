// Command cmd serves a script of turns, a JSON array, to agents that are tried
// by hand, and prints what each request reports of the tools that were used:
//
//	go run ./e2e/modelserver/cmd 127.0.0.1:8080 turns.json
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/aifo-coder/aifo-coder/e2e/modelserver"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "modelserver:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: ADDRESS FILE")
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	var turns []modelserver.Turn
	if err := json.Unmarshal(text, &turns); err != nil {
		return fmt.Errorf("%s is no list of turns: %w", args[1], err)
	}
	model := modelserver.New(turns...)
	return http.ListenAndServe(args[0], report(model)) //nolint:gosec // by hand, without time limits
}

// report prints each request to the model.
func report(model *modelserver.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		model.ServeHTTP(w, r)
		all := model.Requests()
		if len(all) == 0 {
			return
		}
		last := all[len(all)-1]
		fmt.Printf("%s turn %d, tools %q\n", last.Path, last.Turn, last.Tools)
		if result, ok := last.Results[last.Turn-1]; ok {
			fmt.Println(result)
		}
	})
}
