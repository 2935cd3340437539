package session

import (
	"context"
	"slices"

	"github.com/aifo-coder/aifo-coder/internal/calltrace"
	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/telemetry"
)

// Trace says what is kept of tool calls. The zero value keeps nothing.
type Trace struct {
	File   bool // they are written to the session's trace
	Args   bool // with their arguments
	Export telemetry.Config
}

// openTelemetry begins to export the session's spans. That they cannot be exported is no
// reason not to work.
func (s *Session) openTelemetry(ctx context.Context) {
	about := telemetry.Session{ID: s.Plan.ID, Agent: s.Agent, Workspace: s.Facts.Workspace}
	var err error
	if s.exported, err = telemetry.Start(ctx, s.Trace.Export, about); err != nil {
		s.Log.Warn("nothing is exported to OpenTelemetry", "err", err)
	}
}

// closeTelemetry ends the session's span.
func (s *Session) closeTelemetry(code int, failed error) {
	if err := s.exported.Close(code, failed); err != nil {
		s.Log.Warn("not all was exported to OpenTelemetry", "err", err)
	}
}

// openTrace begins to keep what is known of tool calls.
func (s *Session) openTrace(context.Context) error {
	if !s.hasProxy() {
		return nil
	}
	log := s.openTraceLog()
	var sinks []calltrace.Sink
	if s.Trace.File {
		s.recent = &calltrace.Recent{}
		sinks = append(sinks, s.recent)
	}
	if log != nil {
		sinks = append(sinks, log)
	}
	if s.exported != nil {
		sinks = append(sinks, s.exported)
	}
	if len(sinks) == 0 {
		return nil
	}
	s.traced = calltrace.NewRecorder(calltrace.Config{
		Session: s.Plan.ID, NoArgs: !s.Trace.Args, Secrets: s.secretValues(), Sinks: sinks,
	})
	s.onCleanup(func(context.Context) error {
		s.traced.Close()
		if log == nil {
			return nil
		}
		if err := log.Close(); err != nil {
			s.Log.Warn("the trace is not complete", "err", err) // the agent's work is done all the same
		}
		return nil
	})
	return nil
}

// openTraceLog opens the file of the trace, where there is to be one and it can be had.
func (s *Session) openTraceLog() *calltrace.Log {
	if !s.Trace.File {
		return nil
	}
	log, err := calltrace.OpenLog(calltrace.Logs(s.Facts.TraceDir), s.Plan.ID, s.Facts.Workspace)
	if err != nil {
		s.Log.Warn("tool calls are not traced", "err", err)
		return nil
	}
	return log
}

// hasProxy reports whether the session has a proxy that tools can be called by.
func (s *Session) hasProxy() bool { return len(s.Plan.Sidecars) > 0 && s.Plan.Direct == nil }

// observe returns what is told of tool calls, if anything is.
func (s *Session) observe() func(execproxy.Observed) func(execproxy.Ended) {
	if s.traced == nil {
		return nil
	}
	return s.traced.Observe
}

// secretValues returns the secrets that containers of the session have, by which a tool
// may be called.
func (s *Session) secretValues() []string {
	var list []string
	add := func(variables map[string]string) {
		for name, value := range variables {
			if config.Secret(name) {
				list = append(list, value)
			}
		}
	}
	add(s.Plan.Secrets)
	for _, one := range s.Plan.Sidecars {
		add(one.Secrets)
	}
	slices.Sort(list)
	return list
}
