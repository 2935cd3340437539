//go:build linux

package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TestOpenTelemetry: a collector gets a session with its start and its calls; without one
// the session is what it was, but for a line.
func TestOpenTelemetry(t *testing.T) {
	var mu sync.Mutex
	spans := map[string]*otlp.Span{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		var export collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(data, &export) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range export.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans[s.Name] = s
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	c := self(t)
	c.env = append(c.env, "AIFO_CODER_TRACE=off", "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL)
	require.Equal(t, 3, c.script("cargo --version; exit 3", "--toolchain", "rust").code)
	session, call := spans["session"], spans["cargo"]
	require.NotNil(t, session)
	require.NotNil(t, call)
	require.Equal(t, session.SpanId, call.ParentSpanId)
	require.Contains(t, spans, "start rust sidecar")
	require.Contains(t, spans, "create network")
	require.NotContains(t, call.String(), "--version", "arguments stay on this machine")

	server.Close()
	r := c.script("cargo --version; exit 3", "--toolchain", "rust")
	require.Equal(t, 3, r.code)
	require.Equal(t, 1, strings.Count(r.stderr, "OpenTelemetry"), r.stderr)
}
