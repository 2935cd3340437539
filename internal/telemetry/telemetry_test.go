package telemetry

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/aifo-coder/aifo-coder/internal/calltrace"
)

func env(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}

func TestFromEnv(t *testing.T) {
	const endpoint = "http://localhost:4318"
	wanted := Config{Wanted: true}
	for _, tt := range []struct {
		env    map[string]string
		want   Config
		refuse string
	}{
		{nil, Config{}, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, Config{}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, wanted, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint, "TRACEPARENT": "x", "TRACESTATE": "y"}, Config{Wanted: true, Parent: "x", State: "y"}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "TRUE"}, Config{}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "false"}, wanted, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "none"}, Config{}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "console, otlp"}, wanted, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, Config{}, "OTEL_EXPORTER_OTLP_ENDPOINT is no http"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "grpc://x"}, Config{}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no http"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Config{}, `OTEL_EXPORTER_OTLP_PROTOCOL="grpc": spans are exported by http/protobuf alone`},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, wanted, ""},
	} {
		got, err := FromEnv(env(tt.env))
		require.Equal(t, tt.want, got, "%v", tt.env)
		if tt.refuse == "" {
			require.NoError(t, err, "%v", tt.env)
			continue
		}
		require.ErrorContains(t, err, tt.refuse)
	}
}

// receiver is a collector that keeps the spans it gets.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	spans    map[string]*otlp.Span
	resource map[string]string
	header   http.Header
}

func receive(t *testing.T) *receiver {
	r := &receiver{spans: map[string]*otlp.Span{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := r.take(req); err != nil {
			t.Errorf("%s: %v", req.URL, err)
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(req *http.Request) error {
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(req.Body); err != nil {
			return err
		}
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &export); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.header = req.Header.Clone()
	for _, rs := range export.ResourceSpans {
		r.resource = texts(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				r.spans[s.Name] = s
			}
		}
	}
	return nil
}

func texts(attributes []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		default:
			m[a.Key] = a.Value.String()
		}
	}
	return m
}

func pointer[T any](v T) *T { return &v }

var began = time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)

func TestExport(t *testing.T) {
	r := receive(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "team=tools")
	e, err := Start(t.Context(), Config{Wanted: true, Args: true, Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, Session{ID: "s1", Agent: "shell", Workspace: "/home/ann/project"})
	require.NoError(t, err)
	e.Phase("create network")(nil)
	e.Phase("start rust sidecar")(io.ErrUnexpectedEOF)
	e.Record(calltrace.Record{State: calltrace.Running, Tool: "never"})
	e.Record(calltrace.Record{
		Time: began, ID: "x1", State: calltrace.Ended, Tool: "/usr/bin/cargo", Args: []string{"build"}, Kind: "rust", Cwd: "/workspace/a", Protocol: "3", Streams: "pipes",
		DurationMS: 1500, StdinBytes: pointer(int64(0)), StdoutBytes: pointer(int64(7)), ExitCode: pointer(101),
	})
	e.Record(calltrace.Record{Time: began, State: calltrace.Refused, Tool: "npm", Code: "refused", Reason: "no such toolchain", ExitCode: pointer(86)})
	e.Record(calltrace.Record{Time: began, State: calltrace.Ended, Tool: "go", ExitCode: pointer(0)})
	e.Missed(3)
	require.NoError(t, e.Close(7, nil))

	require.Equal(t, "abc", r.header.Get("X-Key"))
	require.Equal(t, "aifo-coder", r.resource["service.name"])
	require.Equal(t, "tools", r.resource["team"])
	require.NotContains(t, r.spans, "never")
	session, cargo, npm := r.spans["session"], r.spans["cargo"], r.spans["npm"]
	require.Equal(t, "\xb7\xad\x6b\x71\x69\x20\x33\x31", string(session.ParentSpanId))
	for name, s := range r.spans {
		require.Equal(t, session.TraceId, s.TraceId, name)
		if s != session {
			require.Equal(t, session.SpanId, s.ParentSpanId, name)
		}
	}
	about := texts(session.Attributes)
	require.Equal(t, "s1", about["session.id"])
	require.Equal(t, "/home/ann/project", about["process.working_directory"])
	require.Contains(t, about["process.exit.code"], "7")
	require.Contains(t, about["aifo.calls_missed"], "3")
	require.Equal(t, uint64(began.UnixNano()), cargo.StartTimeUnixNano)
	require.Equal(t, uint64(began.Add(1500*time.Millisecond).UnixNano()), cargo.EndTimeUnixNano)
	call := texts(cargo.Attributes)
	require.Equal(t, "/usr/bin/cargo", call["process.command"])
	require.Equal(t, "cargo", call["process.executable.name"])
	require.Equal(t, "rust", call["aifo.toolchain"])
	require.Equal(t, "/workspace/a", call["process.working_directory"])
	require.Equal(t, "101", call["error.type"])
	require.Contains(t, call["process.exit.code"], "101")
	require.Contains(t, call["process.command_args"], "build")
	require.Contains(t, call["aifo.stdout_bytes"], "7")
	require.NotContains(t, call, "aifo.stderr_bytes", "what is unknown is not 0")
	require.Equal(t, otlp.Status_STATUS_CODE_ERROR, cargo.Status.Code)
	require.Equal(t, "no such toolchain", npm.Status.Message)
	require.Equal(t, "refused", texts(npm.Attributes)["error.type"])
	require.Equal(t, otlp.Status_STATUS_CODE_UNSET, r.spans["go"].Status.GetCode())
	require.NotContains(t, texts(r.spans["go"].Attributes), "error.type")
	require.Equal(t, otlp.Status_STATUS_CODE_ERROR, r.spans["start rust sidecar"].Status.Code)
	require.Contains(t, r.spans, "create network")
}

// TestExportWithoutArgs: arguments leave the machine only when that was asked for.
func TestExportWithoutArgs(t *testing.T) {
	r := receive(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", r.URL+"/v1/traces")
	e, err := Start(t.Context(), Config{Wanted: true}, Session{ID: "s1"})
	require.NoError(t, err)
	e.Record(calltrace.Record{State: calltrace.Ended, Tool: "cargo", Args: []string{"secret"}, ExitCode: pointer(0)})
	require.NoError(t, e.Close(0, nil))
	require.NotContains(t, r.spans["cargo"].String(), "secret")
}

// TestNobodyListens: the end of a session waits for a collector for a bounded time, and
// says once that it was not there.
func TestNobodyListens(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for name, l := range map[string]net.Listener{"silent": silent, "gone": gone} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
			e, err := Start(t.Context(), Config{Wanted: true}, Session{ID: "s1"})
			require.NoError(t, err)
			began := time.Now()
			for range 10000 { // more than are kept
				e.Record(calltrace.Record{State: calltrace.Ended, Tool: "cargo", ExitCode: pointer(0)})
			}
			require.ErrorContains(t, e.Close(0, nil), "export spans: ")
			require.Less(t, time.Since(began), closeTime+patience)
		})
	}
}

// patience is how much longer a busy machine may take for what takes no time.
const patience = 20 * time.Second

func TestNothingWanted(t *testing.T) {
	e, err := Start(t.Context(), Config{}, Session{})
	require.NoError(t, err)
	require.Nil(t, e)
	e.Phase("x")(nil)
	require.NoError(t, e.Close(1, io.EOF))
}
