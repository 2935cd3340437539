// Command go-hello prints a greeting with the compiler's version and the host it runs on.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func greeting(host string) string {
	return fmt.Sprintf("Hello from Go (%s): running on %s", runtime.Version(), host)
}

func main() {
	host, err := os.Hostname()
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-hello:", err)
		os.Exit(1)
	}
	fmt.Println(greeting(host))
}
