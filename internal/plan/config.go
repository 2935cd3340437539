package plan

import (
	"path"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// configFile is a file in which a user configures an agent.
type configFile struct {
	name  string   // relative to HOME, in the container
	hosts []string // where it may be on the host; the first that is there counts
}

// source is where the boot program finds the host's file.
func (c configFile) source() string { return path.Join(execproto.ConfigDir, path.Base(c.name)) }

// ConfigFiles returns every file of the host that a session of the agent may copy.
func ConfigFiles(a *agent.Agent, f hostfacts.Facts) []string {
	var files []string
	for _, c := range configFiles(a, f) {
		files = append(files, c.hosts...)
	}
	return files
}

// configFiles returns the agent's configuration files. Those in a directory of ours
// come before the ones that the agent has on the host itself.
func configFiles(a *agent.Agent, f hostfacts.Facts) []configFile {
	if a == nil || f.Env.Get("AIFO_CONFIG_ENABLE") == "0" {
		return nil
	}
	var list []configFile
	for _, name := range a.Config {
		own := hostJoin(f, f.Home, name)
		if rest, ok := strings.CutPrefix(name, ".config/"); ok {
			own = hostJoin(f, f.ConfigHome, rest)
		}
		list = append(list, configFile{name, []string{hostJoin(f, f.ConfigDir, a.Name, path.Base(name)), own}})
	}
	return list
}

// config returns the mounts of the host's configuration files, and the arguments
// with which the boot program copies them.
func (b planner) config() (mounts []dockerargs.Mount, args []string) {
	for _, c := range configFiles(b.o.Agent, b.f) {
		for _, host := range c.hosts {
			if real, ok := b.f.Files[host]; ok {
				mounts = append(mounts, dockerargs.BindRO(real, c.source()))
				args = append(args, "--config", c.source()+":"+path.Join(execproto.Home, c.name))
				break
			}
		}
	}
	return mounts, args
}
