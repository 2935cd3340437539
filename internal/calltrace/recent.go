package calltrace

import "sync"

// recentCalls is how many calls a Recent keeps.
const recentCalls = 100

// Recent keeps the latest calls that have ended in memory. It is a Sink.
type Recent struct {
	mu    sync.Mutex
	calls []Record
}

// Record implements Sink.
func (r *Recent) Record(rec Record) {
	if rec.State == Running {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) == recentCalls {
		r.calls = append(r.calls[:0], r.calls[1:]...)
	}
	r.calls = append(r.calls, rec)
}

// Missed implements Sink.
func (r *Recent) Missed(int64) {}

// Calls returns the latest calls, at most so many, oldest first.
func (r *Recent) Calls(most int) []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Record{}, r.calls[max(len(r.calls)-most, 0):]...)
}
