// Package telemetry exports a session and its tool calls as OpenTelemetry spans, by
// OTLP over HTTP, where the usual variables of OpenTelemetry name a collector, and never
// otherwise. Nothing waits for a collector: what it does not take is left out, and its
// absence is told once, at the end.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/aifo-coder/aifo-coder/internal/buildinfo"
	"github.com/aifo-coder/aifo-coder/internal/calltrace"
)

// closeTime is how long the end of a session waits for the collector at most.
const closeTime = 2 * time.Second

// Config says what is exported, and where to.
type Config struct {
	Wanted bool // the zero Config exports nothing
	Args   bool // spans have the arguments of tools
	// Parent is the trace context, as in the variables TRACEPARENT and TRACESTATE, of which
	// the session is a part; may be empty.
	Parent, State string
}

// Variables of OpenTelemetry that are read here; the library reads more.
const (
	endpointVariable       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpointVariable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocolVariable       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	tracesProtocolVariable = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	httpProtocol           = "http/protobuf"
)

// FromEnv returns what the variables ask for. An error says which of them cannot be
// followed; then nothing is exported.
func FromEnv(get func(string) string) (Config, error) {
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") || !exportsOTLP(get("OTEL_TRACES_EXPORTER")) {
		return Config{}, nil
	}
	name := tracesEndpointVariable
	if get(name) == "" {
		name = endpointVariable
	}
	endpoint := get(name)
	if endpoint == "" {
		return Config{}, nil
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Config{}, fmt.Errorf("%s is no http:// or https:// URL", name) // which may hold a password
	}
	for _, name := range []string{tracesProtocolVariable, protocolVariable} {
		if p := get(name); p != "" && p != httpProtocol {
			return Config{}, fmt.Errorf("%s=%q: spans are exported by %s alone; name its endpoint, which often has the port 4318", name, p, httpProtocol)
		} else if p != "" {
			break
		}
	}
	return Config{Wanted: true, Parent: get("TRACEPARENT"), State: get("TRACESTATE")}, nil
}

// exportsOTLP reports whether a list of exporters has OTLP, which is the default.
func exportsOTLP(list string) bool {
	if list == "" {
		return true
	}
	for e := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(e) == "otlp" {
			return true
		}
	}
	return false
}

// Session describes the session of an Exporter.
type Session struct {
	ID        string
	Agent     string // empty: none
	Workspace string
}

// Exporter exports the spans of one session. A nil one exports nothing. It is a
// calltrace.Sink.
type Exporter struct {
	args     bool
	watched  *watched
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	ctx      context.Context // has the session's span
	session  trace.Span
}

// Start begins the session's span. It does not connect to the collector yet.
func Start(ctx context.Context, cfg Config, s Session) (*Exporter, error) {
	if !cfg.Wanted {
		return nil, nil
	}
	otel.SetLogger(logr.Discard()) // it would write to the agent's screen
	client, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("export spans: %w", err)
	}
	return start(cfg, s, client)
}

func start(cfg Config, s Session, exporter sdktrace.SpanExporter) (*Exporter, error) {
	about, err := resource.New(context.Background(),
		resource.WithAttributes(semconv.ServiceName("aifo-coder"), semconv.ServiceVersion(buildinfo.Version())),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("export spans: %w", err)
	}
	e := &Exporter{args: cfg.Args, watched: &watched{SpanExporter: exporter}}
	e.provider = sdktrace.NewTracerProvider(sdktrace.WithBatcher(e.watched), sdktrace.WithResource(about))
	e.tracer = e.provider.Tracer("github.com/aifo-coder/aifo-coder", trace.WithInstrumentationVersion(buildinfo.Version()))
	parent := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": cfg.Parent, "tracestate": cfg.State})
	e.ctx, e.session = e.tracer.Start(parent, "session", trace.WithAttributes(
		semconv.SessionID(s.ID), attribute.String("aifo.agent", s.Agent), semconv.ProcessWorkingDirectory(s.Workspace)))
	return e, nil
}

// Phase begins the span of a part of the session's start, and returns what ends it.
func (e *Exporter) Phase(name string) (end func(error)) {
	if e == nil {
		return func(error) {}
	}
	_, span := e.tracer.Start(e.ctx, name)
	return func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// Record implements calltrace.Sink.
func (e *Exporter) Record(r calltrace.Record) {
	if r.State == calltrace.Running {
		return
	}
	_, span := e.tracer.Start(e.ctx, path.Base(r.Tool), trace.WithTimestamp(r.Time), trace.WithAttributes(e.attributes(r)...))
	if r.Failed() {
		span.SetStatus(codes.Error, r.Reason)
		span.SetAttributes(semconv.ErrorTypeKey.String(errorType(r)))
	}
	span.End(trace.WithTimestamp(r.Time.Add(r.Duration())))
}

// Missed implements calltrace.Sink.
func (e *Exporter) Missed(n int64) { e.session.SetAttributes(attribute.Int64("aifo.calls_missed", n)) }

func (e *Exporter) attributes(r calltrace.Record) []attribute.KeyValue {
	list := []attribute.KeyValue{
		semconv.ProcessExecutableName(path.Base(r.Tool)), semconv.ProcessCommand(r.Tool), semconv.ProcessWorkingDirectory(r.Cwd),
		attribute.String("aifo.toolchain", r.Kind), attribute.String("aifo.exec_id", r.ID), attribute.String("aifo.streams", r.Streams),
		attribute.String("aifo.protocol", r.Protocol), attribute.Float64("aifo.wait_ms", r.WaitMS),
	}
	if e.args && r.Args != nil {
		list = append(list, semconv.ProcessCommandArgs(append([]string{r.Tool}, r.Args...)...))
	}
	if r.ExitCode != nil {
		list = append(list, semconv.ProcessExitCode(*r.ExitCode))
	}
	for name, n := range map[string]*int64{"aifo.stdin_bytes": r.StdinBytes, "aifo.stdout_bytes": r.StdoutBytes, "aifo.stderr_bytes": r.StderrBytes} {
		if n != nil {
			list = append(list, attribute.Int64(name, *n))
		}
	}
	return list
}

// errorType says in a word why a call did not come to a good end.
func errorType(r calltrace.Record) string {
	if r.Code == "" && r.ExitCode != nil {
		return strconv.Itoa(*r.ExitCode)
	}
	return r.Code
}

// Close ends the session's span, with its exit code or why it could not be run, and waits
// some time for the collector. It returns why spans could not be exported.
func (e *Exporter) Close(code int, failed error) error {
	if e == nil {
		return nil
	}
	e.session.SetAttributes(semconv.ProcessExitCode(code))
	if failed != nil {
		e.session.SetStatus(codes.Error, failed.Error())
	}
	e.session.End()
	ctx, cancel := context.WithTimeoutCause(context.Background(), closeTime, fmt.Errorf("the collector did not take them within %v", closeTime))
	defer cancel()
	err := e.provider.Shutdown(ctx)
	if first := e.watched.failure(); first != nil {
		err = first
	} else if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("export spans: %w", err)
	}
	return nil
}

// watched remembers that spans could not be exported: the library would tell nobody, or
// each time.
type watched struct {
	sdktrace.SpanExporter

	mu    sync.Mutex
	first error
}

// ExportSpans implements sdktrace.SpanExporter.
func (w *watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := w.SpanExporter.ExportSpans(ctx, spans)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.first = err
	}
	return nil
}

func (w *watched) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}
