package doctor

import (
	"fmt"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// ImageFacts are what was found out about the image of an agent or a toolchain.
type ImageFacts struct {
	What    string // "agent" or "toolchain"
	Name    string
	Ref     string
	Present bool
	Asked   bool               // somebody asked for this one
	Missing *plan.MissingImage // what can be done when it is absent; nil: it is pulled

	OS, Arch   string // the image's
	EngineArch string
	Emulated   bool // the engine runs programs of other processors

	Program    string // that a session starts in it
	HasProgram bool
	HasShell   bool
	Err        error // why it could not be looked into
}

// imageResult decides about an image. One that is absent matters when somebody asks for it.
func imageResult(f ImageFacts) Result {
	name := f.What + " " + f.Name
	if !f.Present {
		return absentImage(name, f)
	}
	again := "build it again in a checkout of aifo-coder: make build-" + f.Name
	if f.What == "toolchain" {
		again = "name another image: --toolchain " + f.Name + "=IMAGE"
	}
	switch {
	case f.OS == "" && f.Err != nil:
		return result(name, Warn, f.Ref+" could not be looked into: "+oneLine(f.Err), tryAgain)
	case f.Arch != f.EngineArch && !f.Emulated, f.OS != "linux":
		return result(name, Fail, fmt.Sprintf("%s is for %s/%s, and the engine runs linux/%s", f.Ref, f.OS, f.Arch, f.EngineArch), again)
	case f.Err != nil:
		return result(name, Warn, f.Ref+" could not be looked into: "+oneLine(f.Err), tryAgain)
	case !f.HasProgram:
		return result(name, Fail, f.Ref+" does not have the program "+f.Program, again)
	case !f.HasShell && f.What == "agent":
		return result(name, Fail, f.Ref+" has no shell (sh), which agents run commands with", again)
	case f.Arch != f.EngineArch:
		return result(name, Warn, fmt.Sprintf("%s is for %s, which this machine emulates slowly", f.Ref, f.Arch), again)
	}
	return result(name, Pass, f.Ref+" is present and has "+f.Program)
}

func absentImage(name string, f ImageFacts) Result {
	if f.Missing == nil {
		return result(name, Skip, f.Ref+" is not on this machine; the first session pulls it")
	}
	r := result(name, Skip, f.Missing.Reason(), f.Missing.Hint())
	if f.Asked {
		r.Status = Fail
	}
	return r
}

// someAgent adds that no agent can run.
func someAgent(facts []ImageFacts) []Result {
	for _, f := range facts {
		if f.What == "agent" && (f.Present || f.Missing == nil) {
			return nil
		}
	}
	return []Result{result("images", Fail, "no agent has an image on this machine", "build one in a checkout of aifo-coder: make build-shell build-codex")}
}

// CredentialFacts are what an agent would have to reach its models. They hold no key.
type CredentialFacts struct {
	Agent     string
	Asked     bool     // somebody asked for this one
	Needs     bool     // it uses any credential
	Variables []string // names of keys that are set
	Stored    []string // providers whose keys are kept for the broker
	Brokered  bool     // it gets placeholders
	Unfit     string   // why the broker cannot serve it; empty: it can
}

// credentialResult decides about an agent's keys.
func credentialResult(f CredentialFacts) Result {
	name := "agent " + f.Agent
	have := append([]string{}, f.Variables...)
	for _, p := range f.Stored {
		have = append(have, "the key of "+p)
	}
	switch {
	case !f.Needs:
		return result(name, Pass, "it takes no key")
	case f.Brokered && f.Unfit != "":
		return result(name, f.grave(), "the credential broker cannot serve it: "+f.Unfit, "pass keys on: --credentials pass")
	case f.Brokered && len(have) == 0:
		return result(name, f.grave(), "the credential broker has no key for it", "keep one: aifo-coder credentials set PROVIDER")
	case f.Brokered:
		return result(name, Pass, "the credential broker has "+list(have)+"; the agent gets placeholders")
	case len(f.Variables) > 0:
		return result(name, Pass, "it gets "+list(f.Variables))
	case len(f.Stored) > 0:
		return result(name, f.grave(), "keys are kept for the broker only ("+list(f.Stored)+"), and it is not used", "use it: --credentials broker")
	}
	return result(name, f.grave(), "no key of a model provider is set; a login that the agent made itself is not looked at",
		"set one, as in: export ANTHROPIC_API_KEY=…, or log in in the agent")
}

// grave returns Warn for an agent that somebody asked for, and Skip for others: most people
// use one of them.
func (f CredentialFacts) grave() Status {
	if f.Asked {
		return Warn
	}
	return Skip
}

// ConfigFacts are what reading the configuration came to.
type ConfigFacts struct {
	Err     error    // of the first file that cannot be used
	Hint    string   // what to do about it
	Files   []string // that were read
	Waiting []string // settings that do not count yet
}

func configResult(f ConfigFacts) Result {
	const name = "configuration"
	switch {
	case f.Err != nil && f.Hint != "":
		return result(name, Fail, oneLine(f.Err), f.Hint)
	case f.Err != nil:
		return result(name, Fail, oneLine(f.Err), "mend it, then: aifo-coder config validate")
	case len(f.Waiting) > 0:
		return result(name, Warn, "the repository sets what does not count without your word: "+list(f.Waiting), "look at it: aifo-coder trust")
	case len(f.Files) == 0:
		return result(name, Pass, "there is none, so all is as usual")
	}
	return result(name, Pass, "it is in order: "+strings.Join(f.Files, ", "))
}
