package sessions_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// labelsOf returns labels in JSON as docker inspect prints them.
func labelsOf(host string, pid int, start string) string {
	return `{"dev.aifo-coder.session":"x","dev.aifo-coder.owner-host":"` + host +
		`","dev.aifo-coder.owner-pid":"` + strconv.Itoa(pid) + `","dev.aifo-coder.owner-start":"` + start + `"}`
}

const noPID = 1 << 22 // above any pid of Linux

// inspect is the answer about all objects at once: pairs of id and labels.
func inspect(noun, format string, pairs ...string) fakedocker.Answer {
	a := fakedocker.Answer{Argv: []string{noun, "inspect", "--format", "{{.Id}} " + format}}
	for i := 0; i < len(pairs); i += 2 {
		a.Argv = append(a.Argv, pairs[i])
		a.Out += pairs[i] + " " + pairs[i+1] + "\n"
	}
	return a
}

func TestSweep(t *testing.T) {
	self := hostfacts.Self()
	fakedocker.Install(t,
		fakedocker.Answer{Argv: fakedocker.Words("container ls --all --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}"), Out: "dead live elsewhere nobody garbled dead2"},
		inspect("container", "{{json .Config.Labels}}",
			"dead", labelsOf(self.Host, noPID, "x"),
			"live", labelsOf(self.Host, os.Getpid(), self.Start),
			"elsewhere", labelsOf(self.Host+"x", noPID, "x"),
			"nobody", `{"dev.aifo-coder.session":"x"}`,
			"garbled", `{"dev.aifo-coder.owner-host":"`+self.Host+`","dev.aifo-coder.owner-pid":"12x"}`,
			"dead2", labelsOf(self.Host, noPID, "y")),
		fakedocker.Answer{Argv: fakedocker.Words("rm --force --volumes dead dead2")},
		fakedocker.Answer{Argv: fakedocker.Words("network ls --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}"), Out: "net live-net"},
		inspect("network", "{{json .Labels}}", "net", labelsOf(self.Host, noPID, "x"), "live-net", labelsOf(self.Host, os.Getpid(), self.Start)),
		fakedocker.Answer{Argv: fakedocker.Words("network rm net")},
	)
	require.NoError(t, sessions.Sweep(t.Context(), docker.Client{}, self))
}

func TestSweepOfNothing(t *testing.T) {
	fakedocker.Install(t,
		fakedocker.Answer{Argv: fakedocker.Words("container ls --all --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}")},
		fakedocker.Answer{Argv: fakedocker.Words("network ls --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}")},
	)
	require.NoError(t, sessions.Sweep(t.Context(), docker.Client{}, hostfacts.Self()))
}

func TestSweepThatFails(t *testing.T) {
	self := hostfacts.Self()
	fakedocker.Install(t,
		fakedocker.Answer{Argv: fakedocker.Words("container ls --all --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}"), Out: "dead"},
		inspect("container", "{{json .Config.Labels}}", "dead", labelsOf(self.Host, noPID, "x")),
		fakedocker.Answer{Argv: fakedocker.Words("rm --force --volumes dead"), Err: "device is busy", Code: 1},
	)
	require.ErrorContains(t, sessions.Sweep(t.Context(), docker.Client{}, self), "remove left containers: device is busy")
}
