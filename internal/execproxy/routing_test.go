package execproxy

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRoute: docs/protocol.md, "Routing".
func TestRoute(t *testing.T) {
	tests := []struct {
		name    string
		tool    string
		session []string
		offered []string // kinds whose image has the tool
		want    string   // kind; else a refusal's body
		probed  int
	}{
		{"one candidate is not probed", "cargo", []string{"rust", "node"}, nil, "rust", 0},
		{"one candidate, absent", "npm", []string{"rust"}, nil, absent("npm"), 0},
		{"first that offers it", "make", []string{"node", "rust", "c-cpp"}, []string{"node", "rust", "c-cpp"}, "c-cpp", 1},
		{"first lacks it", "make", []string{"c-cpp", "rust", "node"}, []string{"rust", "node"}, "rust", 2},
		{"first is absent", "make", []string{"rust", "node"}, []string{"rust"}, "rust", 1},
		{"one is present", "make", []string{"node"}, nil, "node", 0},
		{"nobody offers it", "make", []string{"node", "rust"}, nil, "rust", 2},
		{"all absent", "make", []string{"python"}, []string{"python"}, absent("make"), 0},
		{"empty session", "make", nil, nil, absent("make"), 0},
		{"unknown tool", "bash", []string{"rust"}, nil, "forbidden\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			probed := 0
			cfg := testConfig(nil)
			cfg.Sidecars = &fakeSidecars{has: tt.session, offers: func(_ context.Context, kind, tool string) (bool, error) {
				assert.Equal(t, tt.tool, tool)
				probed++
				return (&fakeSidecars{has: tt.offered}).Has(kind), nil
			}}
			p := New(cfg)
			for range 2 { // the second time from memory
				kind, ref := p.route(t.Context(), &request{tool: tt.tool, proto: protoBuffered})
				if ref != nil {
					kind = ref.body
				}
				assert.Equal(t, tt.want, kind)
			}
			assert.Equal(t, tt.probed, probed)
		})
	}
}

func absent(tool string) string {
	return "\r\ntool '" + tool + "' not available in running sidecars; " +
		"start an appropriate toolchain (e.g., --toolchain c-cpp or --toolchain rust)\n"
}

// TestFailedProbeIsNoAnswer: it neither counts as a no nor is remembered.
func TestFailedProbeIsNoAnswer(t *testing.T) {
	probes := 0
	cfg := testConfig(nil)
	cfg.Sidecars = &fakeSidecars{has: []string{"c-cpp", "rust"}, offers: func(context.Context, string, string) (bool, error) {
		if probes++; probes == 1 {
			return false, errTest
		}
		return true, nil
	}}
	p := New(cfg)
	_, ref := p.route(t.Context(), &request{tool: "make"})
	require.NotNil(t, ref)
	assert.Equal(t, refused(500, `aifo-coder proxy error: look for "make" in toolchain c-cpp: no such sidecar`), ref)
	kind, ref := p.route(t.Context(), &request{tool: "make"})
	require.Nil(t, ref)
	assert.Equal(t, "c-cpp", kind)
}

// TestProbesAreShared: many calls make one probe, a slow probe holds up nobody
// who asks for something else, and a caller that leaves takes nothing along.
func TestProbesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int32
		release := make(chan struct{})
		o := newOffers(t.Context(), func(ctx context.Context, kind, _ string) (bool, error) {
			probes.Add(1)
			if kind == "slow" {
				<-release
			}
			return kind == "slow", ctx.Err()
		})
		leaving, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := o.get(leaving, "slow", "make")
			left <- err
		}()
		synctest.Wait()
		var yes atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if ok, err := o.get(t.Context(), "slow", "make"); ok && err == nil {
					yes.Add(1)
				}
			})
		}
		synctest.Wait()
		ok, err := o.get(t.Context(), "fast", "make")
		assert.False(t, ok)
		assert.NoError(t, err)
		leave()
		assert.ErrorIs(t, <-left, context.Canceled)
		close(release)
		wg.Wait()
		assert.EqualValues(t, 50, yes.Load())
		assert.EqualValues(t, 2, probes.Load())
	})
}

func TestShutdownEndsProbes(t *testing.T) {
	cfg := testConfig(nil)
	probing := make(chan bool)
	cfg.Sidecars = &fakeSidecars{has: []string{"c-cpp", "rust"}, offers: func(ctx context.Context, _, _ string) (bool, error) {
		probing <- true
		<-ctx.Done()
		return false, context.Cause(ctx)
	}}
	p := New(cfg)
	refs := make(chan *refusal)
	go func() {
		_, ref := p.route(context.Background(), &request{tool: "make"})
		refs <- ref
	}()
	waitFor(t, probing)
	require.NoError(t, p.Shutdown(t.Context()))
	assert.Equal(t, 500, waitFor(t, refs).status)
}
