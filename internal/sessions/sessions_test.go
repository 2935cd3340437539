package sessions_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/publish"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

const details = `["{{.Id}}",` + "{{json .Config.Labels}},{{json .Name}},{{json .Config.Image}},{{json .State.Status}}," +
	"{{json .State.Pid}},{{json .Created}},{{json .HostConfig.LogConfig.Type}},{{json .Config.Cmd}},{{json .Mounts}}]"

// line is what docker inspect prints of a container.
func line(t *testing.T, id, name, kind, created string, owner hostfacts.Owner) string {
	t.Helper()
	labels := map[string]string{
		plan.LabelSession: "s1", plan.LabelWorkspace: "/ws", plan.LabelKind: kind,
		plan.LabelOwnerHost: owner.Host, plan.LabelOwnerPID: fmt.Sprint(owner.PID), plan.LabelOwnerStart: owner.Start,
	}
	data, err := json.Marshal([]any{
		id, labels, "/" + name, kind + ":latest", "running", 0, created, "local",
		[]string{"boot", "--user", "7:8", "--home", "/home/coder"},
		[]map[string]string{{"Type": "bind", "Source": "/ws", "Destination": "/workspace"}},
	})
	require.NoError(t, err)
	return string(data) + "\n"
}

func TestFind(t *testing.T) {
	self := hostfacts.Self()
	dead := hostfacts.Owner{Host: self.Host, PID: noPID, Start: "x"}
	other := hostfacts.Owner{Host: self.Host + "x", PID: 1, Start: "x"}
	runtime := t.TempDir()
	since := time.Now().Add(-time.Hour).Truncate(time.Second)
	published := []publish.Port{{Host: netip.MustParseAddrPort("127.0.0.1:3000"), Container: 80}}
	for id, workspace := range map[string]string{"young": "/ws2", "s1": "/ws", "fork-abc": "fork session abc"} {
		path, _ := lock.Session(runtime, id)
		l, err := lock.Acquire(path, lock.Holder{PID: self.PID, Start: self.Start, Since: since, Workspace: workspace, Ports: published})
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Release() })
	}
	fakedocker.Install(t,
		fakedocker.Answer{Argv: fakedocker.Words("container ls --all --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}"), Out: "a b c d e"},
		fakedocker.Answer{
			Argv: []string{"container", "inspect", "--format", details, "a", "b", "c", "d", "e"},
			Out: line(t, "a", "aifo-tc-rust-s1", "rust", "2026-01-02T00:00:02Z", self) +
				line(t, "b", "aifo-coder-aider-s1", "agent", "2026-01-02T00:00:01Z", self) +
				line(t, "c", "aifo-tc-go-s1", "go", "2026-01-01T00:00:00Z", dead) +
				line(t, "d", "aifo-tc-go-s1", "go", "2026-01-03T00:00:00Z", other) +
				"[\"e\",{\"dev.aifo-coder.session\":\"s1\"},\"/e\",\"i\",\"running\",0,\"2026-01-03T00:00:00Z\",\"none\",null,[]]\n",
		},
		fakedocker.Answer{Argv: fakedocker.Words("network ls --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}"), Out: "n"},
		inspect("network", "{{json .Labels}}", "n", labelsOf(self.Host, noPID, "x")),
	)
	list, err := sessions.Finder{Self: self, RuntimeDir: runtime, Panes: map[string]sessions.Pane{"s1": {SID: "s", Index: 1}}}.Find(t.Context())
	require.NoError(t, err)

	type row struct {
		id, agent, workspace string
		state                sessions.State
		kinds                []string
		networks             int
		ports                []publish.Port
	}
	var got []row
	for _, s := range list {
		got = append(got, row{s.ID, s.Agent, s.Workspace, s.State, s.Kinds(), len(s.Networks), s.Ports})
	}
	require.ElementsMatch(t, []row{
		{"x", "", "", sessions.Dead, nil, 1, []publish.Port{}},
		{"s1", "", "/ws", sessions.Dead, []string{"go"}, 0, []publish.Port{}},
		{"s1", "", "/ws", sessions.Elsewhere, []string{"go"}, 0, nil},
		{"s1", "aider", "/ws", sessions.Running, []string{"agent", "rust"}, 0, published},
		{"young", "", "/ws2", sessions.Running, nil, 0, published},
	}, got, "what has no owner is no session, nor is another lock one")

	s, err := sessions.Choose(list, "s1", "")
	require.NoError(t, err)
	require.True(t, since.Equal(s.Since), "the lock knows better than the containers when it began")
	require.Equal(t, os.Getuid(), *s.UID)
	require.Equal(t, "s", s.Pane.SID)
	rust, ok := s.Container("rust")
	require.True(t, ok)
	user, ok := rust.User()
	require.True(t, ok)
	require.Equal(t, "7:8", user)
	require.Equal(t, "/workspace", rust.Workspace("/ws", "/other"))
	require.Equal(t, "/other", rust.Workspace("/elsewhere", "/other"))
	require.True(t, rust.Logged())
}

// TestFindChangesNothing: a listing leaves even the locks of the dead where they are.
func TestFindChangesNothing(t *testing.T) {
	runtime := t.TempDir()
	path, dir := lock.Session(runtime, "killed")
	require.NoError(t, os.WriteFile(path, []byte(`{"pid":1}`), 0o600))
	require.NoError(t, os.Mkdir(dir, 0o700))
	none := []fakedocker.Answer{
		{Argv: fakedocker.Words("container ls --all --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}")},
		{Argv: fakedocker.Words("network ls --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}")},
	}
	fakedocker.Install(t, none...)
	c := sessions.Cleaner{Finder: sessions.Finder{Self: hostfacts.Self(), RuntimeDir: runtime}}
	list, err := c.Find(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
	left, err := c.Left(t.Context())
	require.NoError(t, err)
	require.Len(t, left, 2)
	require.FileExists(t, path)
	require.DirExists(t, dir)

	require.NoError(t, c.Remove(t.Context(), left))
	require.NoFileExists(t, path)
	require.NoDirExists(t, dir)
	require.True(t, left[0].Removed && left[1].Removed)
}

// TestEmptyLogs: those of the living stay, and whatever has an entry.
func TestEmptyLogs(t *testing.T) {
	runtime, logs := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"killed": "", "lives": "", "told": "{}\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(logs, name+".jsonl"), []byte(text), 0o600))
	}
	self := hostfacts.Self()
	path, _ := lock.Session(runtime, "lives")
	l, err := lock.Acquire(path, lock.Holder{PID: self.PID, Start: self.Start, Since: time.Now(), Workspace: "/ws"})
	require.NoError(t, err)
	defer l.Release()
	fakedocker.Install(t,
		fakedocker.Answer{Argv: fakedocker.Words("container ls --all --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}")},
		fakedocker.Answer{Argv: fakedocker.Words("network ls --no-trunc --filter label=dev.aifo-coder.session --format {{.ID}}")},
	)
	c := sessions.Cleaner{Finder: sessions.Finder{Self: self, RuntimeDir: runtime}, Logs: []jsonlog.Store{{Dir: logs, Name: "log", Keep: 9}}}
	left, err := c.Left(t.Context())
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, sessions.TypeLog, left[0].Type)
	require.NoError(t, c.Remove(t.Context(), left))
	require.NoFileExists(t, filepath.Join(logs, "killed.jsonl"))
	require.FileExists(t, filepath.Join(logs, "lives.jsonl"))
	require.FileExists(t, filepath.Join(logs, "told.jsonl"))
}

func TestChoose(t *testing.T) {
	somebody := os.Getuid() + 1
	one := func(id, workspace string, state sessions.State) sessions.Session {
		return sessions.Session{ID: id, Workspace: workspace, State: state, Host: "h2"}
	}
	theirs := one("theirs00", "/their", sessions.Running)
	theirs.UID = &somebody
	pane := one("abc-1", "/repo/.aifo-coder/forks/abc/pane-1", sessions.Running)
	pane.Pane = &sessions.Pane{SID: "abc", Index: 1, Repository: "/repo"}
	list := []sessions.Session{
		one("aa11", "/a", sessions.Running), one("aa22", "/b", sessions.Running), one("aa", "/b", sessions.Running),
		one("dead", "/d", sessions.Dead), one("twice", "/t", sessions.Dead), one("twice", "/t", sessions.Running),
		one("away", "/e", sessions.Elsewhere), theirs, pane,
	}
	for name, tt := range map[string]struct {
		list             []sessions.Session
		asked, workspace string
		want             string
		err              any
	}{
		"exact":                   {list, "aa", "", "aa", nil},
		"prefix":                  {list, "aa1", "", "aa11", nil},
		"ambiguous prefix":        {list, "a", "", "", new(*sessions.AmbiguousError)},
		"unknown":                 {list, "zz", "/a", "", new(*sessions.NotFoundError)},
		"dead":                    {list, "dead", "", "dead", nil},
		"the living of two":       {list, "twice", "", "twice", nil},
		"another host's":          {list, "away", "", "", new(*sessions.ForeignError)},
		"another user's":          {list, "theirs", "", "", new(*sessions.ForeignError)},
		"the workspace's":         {list, "", "/a", "aa11", nil},
		"several in a workspace":  {list, "", "/b", "", new(*sessions.AmbiguousError)},
		"a pane of the workspace": {list, "", "/repo", "abc-1", nil},
		"around the directory":    {list, "", "/a/sub/dir", "aa11", nil},
		"the innermost around it": {append(slices.Clone(list), one("in11", "/a/sub", sessions.Running)), "", "/a/sub/dir", "in11", nil},
		"another with its prefix": {list, "", "/another", "", new(*sessions.AmbiguousError)},
		"several anywhere":        {list, "", "/none", "", new(*sessions.AmbiguousError)},
		"the only one":            {list[:1], "", "/none", "aa11", nil},
		"the only one of mine":    {[]sessions.Session{theirs, list[0], list[6], list[3]}, "", "/none", "aa11", nil},
		"none":                    {[]sessions.Session{theirs, list[3]}, "", "/d", "", new(*sessions.NotFoundError)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sessions.Choose(tt.list, tt.asked, tt.workspace)
			if tt.err != nil {
				require.ErrorAs(t, err, tt.err)
				require.NotEmpty(t, err.(interface{ Hint() string }).Hint())
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got.ID)
			require.True(t, tt.want != "twice" || got.State == sessions.Running)
		})
	}
}

// child is a process that ends by TERM, or only by KILL.
func child(t *testing.T, script string) (hostfacts.Owner, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_, err = out.Read(make([]byte, 1)) // it is ready
	require.NoError(t, err)
	return hostfacts.Owner{Host: hostfacts.Self().Host, PID: cmd.Process.Pid}, cmd
}

func TestStop(t *testing.T) {
	self := hostfacts.Self()
	polite, _ := child(t, "echo; exec sleep 1000")
	deaf, _ := child(t, "trap '' TERM; echo; while :; do sleep 1000; done")
	list := []sessions.Session{{ID: "polite", Owner: polite}, {ID: "deaf", Owner: deaf}}
	killed, err := sessions.Stop(t.Context(), list, self, 100*time.Millisecond)
	require.NoError(t, err)
	require.Contains(t, killed, "deaf")
	require.True(t, polite.Dead(self) && deaf.Dead(self))
	killed, err = sessions.Stop(t.Context(), list, self, time.Minute)
	require.NoError(t, err)
	require.Empty(t, killed, "the dead are nobody to wait for")
}

// TestStopSparesOthers: whoever has got the number of a session's process is not signalled,
// and nobody is when one of the sessions is not ours.
func TestStopSparesOthers(t *testing.T) {
	self := hostfacts.Self()
	owner, cmd := child(t, "echo; exec sleep 1000")
	reused := owner
	reused.Start += "1"
	_, err := sessions.Stop(t.Context(), []sessions.Session{{ID: "reused", Owner: reused}}, self, time.Minute)
	require.NoError(t, err)
	_, err = sessions.Stop(t.Context(), []sessions.Session{{ID: "ours", Owner: owner}, {ID: "away", State: sessions.Elsewhere}}, self, time.Minute)
	var foreign *sessions.ForeignError
	require.ErrorAs(t, err, &foreign)
	require.False(t, owner.Dead(self))
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
}
