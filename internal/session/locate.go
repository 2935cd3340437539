package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/samehost"
	"github.com/aifo-coder/aifo-coder/shims"
)

// RemoteError says that the engine does not have this machine's files, without which there is
// nothing for an agent to work on.
type RemoteError struct {
	Endpoint docker.Endpoint
	Reason   string
}

func (e *RemoteError) Error() string {
	engine := "the engine at " + e.Endpoint.String()
	if e.Endpoint.Host == "" {
		engine = "podman's engine"
	}
	return engine + " is on another machine than your files: " + e.Reason
}

// Hint says what works.
func (e *RemoteError) Hint() string {
	return "run aifo-coder on that machine, in a checkout there; or use an engine of this one: unset DOCKER_HOST, docker context use default, or --engine podman"
}

// Locate finds out by a container where an engine is of which there is doubt. It reports whether
// the engine is on another kernel than this process, and returns a *RemoteError when it does
// not mount the files of this machine. The image must be present, or "" when none is. tools are
// those of the session's shims.
func Locate(ctx context.Context, c docker.Client, f hostfacts.Facts, image string, tools []string) (otherKernel bool, err error) {
	if image == "" {
		return false, &RemoteError{Endpoint: f.Endpoint, Reason: f.EngineDoubt() + ", and it has none of the session's images, with which a container could tell more"}
	}
	if _, err := shims.Install(f.CacheDir, f.Engine.GOARCH(), tools); err != nil {
		return false, err
	}
	// A directory that no other machine has: docker refuses to mount what is not there.
	nonce, err := os.MkdirTemp(f.CacheDir, "engine-")
	if err != nil {
		return false, fmt.Errorf("make a directory to find the engine by: %w", err)
	}
	defer func() { _ = os.Remove(nonce) }()
	here, err := samehost.Read(f.Workspace, nonce)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the engine did not finish within %s", startTimeout))
	defer cancel()
	argv := plan.Where(f, filepath.Base(nonce), image, nonce).Argv()
	c.Traced(c.Cmd(argv).Argv)
	out, err := proc.Output(ctx, c.Cmd(argv))
	var refused *proc.ExitError
	if errors.As(err, &refused) {
		return false, &RemoteError{Endpoint: f.Endpoint, Reason: refusal(refused.Stderr)}
	}
	if err != nil {
		return false, err
	}
	there, err := samehost.Parse(string(out))
	if err != nil {
		return false, fmt.Errorf("find out where the engine is: %w", err)
	}
	return located(f, here, there)
}

// located compares this process's place with that of a container. On another kernel only the
// mount of a directory that no other machine has tells that the files are the same.
func located(f hostfacts.Facts, here, there samehost.Where) (otherKernel bool, err error) {
	switch {
	case !here.SameKernel(there):
		return true, nil
	case here.String() != there.String():
		return false, &RemoteError{Endpoint: f.Endpoint, Reason: "what it has at " + f.Workspace + " is something else"}
	}
	return false, nil
}

// refusal returns the reason in what docker says, which comes after its warnings.
func refusal(text string) string {
	text = docker.WithoutAdvice(text)
	return strings.TrimSpace(strings.TrimPrefix(text[strings.LastIndex(text, "\n")+1:], "docker:"))
}
