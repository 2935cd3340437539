package proc

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// Conn is a running program whose standard input and output are a connection to
// it. Reads and writes may be made at once; each is safe for one goroutine.
type Conn struct {
	program string
	in, out *os.File // our ends
	stop    context.CancelFunc
	ended   chan struct{} // closed when err is final
	err     error
	closing sync.Once
}

// Connect starts c, whose Stdin and Stdout must be nil. The program runs until
// it ends by itself or Close ends it.
func Connect(c Cmd) (*Conn, error) {
	ctx, stop := context.WithCancel(context.Background())
	tail := &tailWriter{}
	cmd, err := command(ctx, c, tail)
	if err != nil {
		stop()
		return nil, err
	}
	conn := &Conn{program: c.Argv[0], stop: stop, ended: make(chan struct{})}
	if err := conn.start(cmd); err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	go func() {
		defer close(conn.ended)
		err := cmd.Wait()
		if ctx.Err() != nil && c.Detached {
			killGroup(cmd.Process) // Wait has killed the leader only
		}
		conn.err = result(context.Background(), conn.program, err, tail)
	}()
	return conn, nil
}

// start starts the program on pipes of our own: those of exec.Cmd are closed when
// it ends, with what it wrote last still in them.
func (c *Conn) start(cmd *exec.Cmd) error {
	childIn, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = childIn.Close() }()
	out, childOut, err := os.Pipe()
	if err != nil {
		_ = in.Close()
		return err
	}
	defer func() { _ = childOut.Close() }()
	cmd.Stdin, cmd.Stdout = childIn, childOut
	if err := cmd.Start(); err != nil {
		_, _ = in.Close(), out.Close()
		return err
	}
	c.in, c.out = in, out
	return nil
}

// Read implements io.Reader. At the end of the program's output it waits for the
// program and returns what Run would, or io.EOF.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if err != io.EOF {
		return n, err
	}
	if err := c.Wait(); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) { return c.in.Write(p) }

// Wait waits for the end of the program and returns what Run would.
func (c *Conn) Wait() error {
	<-c.ended
	return c.err
}

// Ended is closed when the program has ended.
func (c *Conn) Ended() <-chan struct{} { return c.ended }

// Close asks the program to end, kills it if it does not, and waits until it is gone.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		c.stop()
		_ = c.in.Close()
		_ = c.out.Close()
	})
	<-c.ended
	return nil
}
