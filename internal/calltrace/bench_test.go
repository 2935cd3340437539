package calltrace

import (
	"testing"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

// BenchmarkObserve is what a call pays for its trace.
func BenchmarkObserve(b *testing.B) {
	l, err := OpenLog(Logs(b.TempDir()), "s1234567", "/home/ann/project")
	if err != nil {
		b.Fatal(err)
	}
	r := NewRecorder(Config{Session: "s1234567", Sinks: []Sink{l}})
	o := observed("cargo", "build", "--release", "--message-format=json")
	b.ReportAllocs()
	for b.Loop() {
		r.Observe(o)(execproxy.Ended{Streams: execproxy.StreamsFiles})
	}
	b.StopTimer()
	r.Close()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
