package sessions

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// NotFoundError says that no session fits what was asked for.
type NotFoundError struct {
	Asked string // the id or its beginning; empty: any of the user's
}

func (e *NotFoundError) Error() string {
	if e.Asked == "" {
		return "no session runs"
	}
	return fmt.Sprintf("there is no session %q", e.Asked)
}

// Hint says where sessions are to be seen.
func (e *NotFoundError) Hint() string {
	if e.Asked == "" {
		return "start one: aifo-coder --toolchain rust shell"
	}
	return "aifo-coder ps lists the sessions of this machine"
}

// AmbiguousError says that several sessions fit what was asked for.
type AmbiguousError struct {
	Asked      string
	Candidates []Session
}

func (e *AmbiguousError) Error() string {
	var list []string
	for _, s := range e.Candidates {
		list = append(list, fmt.Sprintf("%s (%s)", s.ID, s.Title()))
	}
	what := "sessions run"
	if e.Asked != "" {
		what = fmt.Sprintf("sessions have an id that begins with %q", e.Asked)
	}
	return fmt.Sprintf("%d %s: %s", len(list), what, strings.Join(list, ", "))
}

// Hint says what to do.
func (e *AmbiguousError) Hint() string {
	return "name one by its id, as in " + e.Candidates[len(e.Candidates)-1].ID
}

// ForeignError says that a session is not the caller's to work with.
type ForeignError struct{ Session Session }

func (e *ForeignError) Error() string {
	if e.Session.State == Elsewhere {
		return fmt.Sprintf("session %s runs on another host, %s", e.Session.ID, e.Session.Host)
	}
	return fmt.Sprintf("session %s is another user's, %s", e.Session.ID, e.Session.UserName())
}

// Hint says who can.
func (e *ForeignError) Hint() string {
	if e.Session.State == Elsewhere {
		return "use aifo-coder there"
	}
	return "use aifo-coder as that user"
}

// OtherEngineError says that the containers of a session are not those of the engine that was asked.
type OtherEngineError struct{ Session Session }

func (e *OtherEngineError) Error() string {
	return fmt.Sprintf("the containers of session %s are on %s", e.Session.ID, e.Session.OtherEngine)
}

// Hint says how to ask it.
func (e *OtherEngineError) Hint() string {
	return "choose that engine: --engine " + e.Session.OtherEngine
}

// Title says in a few words what a session is.
func (s Session) Title() string {
	what := s.Agent
	switch {
	case what != "":
	case len(s.Containers) > 0:
		what = "toolchain " + strings.Join(s.Kinds(), ", ")
	case s.OtherEngine != "":
		what = "session on " + s.OtherEngine
	default:
		what = "starting"
	}
	return what + " in " + s.Workspace
}

// UserName returns the name of the user whose session it is, a number without one, or ""
// where that is not known.
func (s Session) UserName() string {
	if s.UID == nil {
		return ""
	}
	uid := strconv.Itoa(*s.UID)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return uid
}

// Own returns nil for a session that the caller may work with, else a *ForeignError. A dead
// one is everybody's, as whoever starts a session removes what it left.
func (s Session) Own() error {
	if s.State == Elsewhere || s.UID != nil && *s.UID != os.Getuid() {
		return &ForeignError{Session: s}
	}
	return nil
}

// Choose returns the session that is meant: with asked the one whose id it is, or begins
// with; otherwise the only one that runs in the workspace, or in fork mode on it, or in a
// directory around it, or of the user at all. It returns a *NotFoundError, an *AmbiguousError or a *ForeignError.
func Choose(list []Session, asked, workspace string) (Session, error) {
	fits := named(list, asked)
	if asked == "" {
		fits = meant(list, workspace)
	}
	switch len(fits) {
	case 0:
		return Session{}, &NotFoundError{Asked: asked}
	case 1:
		return fits[0], fits[0].Own()
	}
	return Session{}, &AmbiguousError{Asked: asked, Candidates: fits}
}

// named returns the sessions with the id, or with ids that begin with it. Of several with
// one id the one that runs is meant, and rather one of another host than a dead one.
func named(list []Session, asked string) []Session {
	for _, state := range []State{Running, Elsewhere, Dead} {
		exact := filter(list, func(s Session) bool { return s.ID == asked && s.State == state })
		if len(exact) > 0 {
			return exact[len(exact)-1:]
		}
	}
	return filter(list, func(s Session) bool { return strings.HasPrefix(s.ID, asked) })
}

// meant returns the candidates when none is named: the nearest that there are.
func meant(list []Session, workspace string) []Session {
	own := filter(list, func(s Session) bool { return s.Own() == nil && s.State == Running })
	outer := around(own, workspace)
	for _, near := range []func(Session) bool{
		func(s Session) bool { return s.Workspace == workspace },
		func(s Session) bool { return s.Pane != nil && s.Pane.Repository == workspace },
		func(s Session) bool { return outer != "" && s.Workspace == outer },
	} {
		if here := filter(own, near); len(here) > 0 {
			return here
		}
	}
	return own
}

// around returns the innermost workspace of a session that dir is below, or "".
func around(list []Session, dir string) string {
	inner := ""
	for _, s := range list {
		if len(s.Workspace) > len(inner) && strings.HasPrefix(dir, s.Workspace+string(filepath.Separator)) {
			inner = s.Workspace
		}
	}
	return inner
}

func filter(list []Session, is func(Session) bool) []Session {
	return slices.DeleteFunc(slices.Clone(list), func(s Session) bool { return !is(s) })
}
