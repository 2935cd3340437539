// Package apparmor has the AppArmor profiles of the containers, and decides which one a
// container gets. A profile has to be loaded into the host's kernel by root; what is not
// there is not used, and where none is, the engine's own stays.
package apparmor

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

// The profiles.
const (
	Agent   = "aifo-coder-agent"
	Sidecar = "aifo-coder-sidecar"
)

// File is where a distribution's boot loads profiles from.
const File = "/etc/apparmor.d/aifo-coder"

// profile is what is different between the profiles.
type profile struct {
	Name         string
	Capabilities []string // those that containers are given (docs/security.md, "Containers")
	Peers        []string // whose streams its processes may be handed
}

var profiles = []profile{
	{Name: Agent, Capabilities: []string{"chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setpcap", "setuid"}},
	{Name: Sidecar, Capabilities: []string{"chown", "dac_override", "fowner", "fsetid", "setgid", "setpcap", "setuid"}, Peers: []string{Agent}},
}

//go:embed profiles.tmpl
var text string

// Profiles returns the file of both profiles, as apparmor_parser(8) takes it.
func Profiles() string {
	var b strings.Builder
	if err := template.Must(template.New("profiles").Parse(text)).Execute(&b, profiles); err != nil {
		panic(err) // the template is part of the program, as is what it gets
	}
	return b.String()
}

// Host is what is known of AppArmor where the engine runs.
type Host struct {
	Engine bool // the engine confines containers by it
	Loaded bool // our profiles are loaded, or should be
}

// Choice is a decision about the containers of a session.
type Choice struct {
	// Agent and Sidecar are profiles; empty: the engine's own, if it has any.
	Agent, Sidecar string
	Notice         string // what the user may want to know, a line, or empty
}

// NotConfinedError says that a profile was asked for where there can be none.
type NotConfinedError struct{ Profile string }

func (e *NotConfinedError) Error() string {
	return fmt.Sprintf("the AppArmor profile %q was asked for, and this engine has no AppArmor", e.Profile)
}

// Hint says what to do.
func (e *NotConfinedError) Hint() string {
	return Variable + "=none does without one"
}

// Variable is the environment variable that names a profile for all containers.
const Variable = "AIFO_CODER_APPARMOR_PROFILE"

// none are its values for no profile of ours. They leave the engine's, which protects.
var none = []string{"none", "no", "off", "false", "0", "disabled", "disable"}

// Choose decides by what the variable says. It returns a *NotConfinedError when that
// cannot be had.
func Choose(asked string, h Host) (Choice, error) {
	switch {
	case slices.Contains(none, strings.ToLower(asked)):
		return Choice{}, nil
	case asked != "" && !h.Engine:
		return Choice{}, &NotConfinedError{Profile: asked}
	case asked != "":
		return Choice{Agent: asked, Sidecar: asked}, nil
	case !h.Engine:
		return Choice{Notice: "this engine has no AppArmor, so containers have no profile of it"}, nil
	case !h.Loaded:
		return Choice{Notice: "the AppArmor profiles of aifo-coder are not loaded, so containers have the engine's own; load them: aifo-coder apparmor --help"}, nil
	}
	return Choice{Agent: Agent, Sidecar: Sidecar}, nil
}
