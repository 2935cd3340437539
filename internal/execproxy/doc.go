// Package execproxy is the toolexec proxy: it checks a tool call that comes out
// of a container, chooses the toolchain that serves it and gives it to an
// Executor. docs/protocol.md specifies what it speaks.
//
// It guarantees that a call runs at most once and only if its request arrived
// whole; that no output is dropped, a slow client slowing the tool down
// instead; that a failure outside the tool, the proxy's own end included,
// never looks like exit code 0; and that the memory a client can make it use is
// bounded. It starts no process, knows no container engine and gives no
// fairness between clients that hold the token.
package execproxy
