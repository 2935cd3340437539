package tunnel

import (
	"bytes"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// peers returns two ends that serve what they are given.
func peers(t *testing.T, host, container PeerConfig) (h, c *Peer) {
	t.Helper()
	here, there := net.Pipe()
	var both sync.WaitGroup
	host.Host = true
	for _, p := range []struct {
		at  **Peer
		cfg PeerConfig
		rwc net.Conn
	}{{&h, host, here}, {&c, container, there}} {
		if p.cfg.Accept == nil {
			p.cfg.Accept = func(_ string, s *Stream) { Join(s, s) }
		}
		p.cfg.Limit, p.cfg.Known = 4, func(name string) bool { return name == "x" }
		peer := NewPeer(p.rwc, p.cfg)
		*p.at = peer
		both.Go(func() { _ = peer.Run() })
	}
	t.Cleanup(func() {
		h.Close()
		both.Wait()
	})
	return h, c
}

// TestBothOpen: both ends open connections at the same time, more than there may be at once.
func TestBothOpen(t *testing.T) {
	echo := PeerConfig{Accept: func(_ string, s *Stream) {
		_, _ = io.Copy(s, s)
		_ = s.CloseWrite()
		_ = s.Close()
	}}
	h, c := peers(t, echo, echo)
	sent := bytes.Repeat([]byte("0123456789"), 50_000)
	var users sync.WaitGroup
	for _, p := range []*Peer{h, c} {
		for range 20 {
			users.Go(func() {
				s, err := p.Open("x")
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				go func() {
					_, _ = s.Write(sent)
					_ = s.CloseWrite()
				}()
				if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
			})
		}
	}
	users.Wait()
}

// TestEnds: who reads can tell an end from a breaking off, whatever is done besides.
func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(s *Stream)
		want error
	}{
		"end":            {func(s *Stream) { _ = s.CloseWrite(); _, _ = io.Copy(io.Discard, s); _ = s.Close() }, nil},
		"end and close":  {func(s *Stream) { _ = s.CloseWrite(); _ = s.Close() }, nil},
		"close":          {func(s *Stream) { _ = s.Close() }, syscall.ECONNRESET},
		"abort":          {func(s *Stream) { s.Abort() }, syscall.ECONNRESET},
		"too late":       {func(s *Stream) { s.Abort(); _ = s.CloseWrite() }, syscall.ECONNRESET},
		"the link broke": {func(s *Stream) { s.link.fail(io.EOF) }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := peers(t, PeerConfig{}, PeerConfig{Accept: func(_ string, s *Stream) {
				if tt.want == nil {
					_, _ = s.Write(bytes.Repeat([]byte("x"), 3*window)) // is still to be sent when the end is said
				}
				tt.do(s)
			}})
			for range 20 {
				s, err := h.Open("x")
				if err != nil {
					return // the link that was to break
				}
				got, err := io.ReadAll(s)
				require.ErrorIs(t, err, tt.want)
				require.Equal(t, tt.want == nil, len(got) == 3*window)
				require.NoError(t, s.Close())
			}
		})
	}
}

// TestTell: what is told arrives, the latest in the end, and takes no memory meanwhile.
func TestTell(t *testing.T) {
	var mu sync.Mutex
	var heard []byte
	h, c := peers(t, PeerConfig{}, PeerConfig{Heard: "w", Hear: func(_ execproto.MuxType, payload []byte) error {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, payload...)
		return nil
	}})
	for i := range byte(200) {
		h.Tell('w', []byte{i})
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(heard) > 0 && heard[len(heard)-1] == 199
	}, time.Minute, time.Millisecond)
	require.LessOrEqual(t, len(h.link.told), 1)
	c.Tell('w', nil) // the host hears nothing of the kind
	require.Eventually(t, func() bool { _, err := h.Open("x"); return err != nil }, time.Minute, time.Millisecond)
}

// frame is one frame as bytes.
func frame(t execproto.MuxType, number uint32, payload string) string {
	var b bytes.Buffer
	_ = execproto.NewMuxWriter(&b).Write(t, number, []byte(payload))
	return b.String()
}

// TestPeerHostile: whoever breaks the rules ends the link.
func TestPeerHostile(t *testing.T) {
	for name, in := range map[string]string{
		"a number of the other end": frame(typeOpen, ownBit, "x"),
		"an unknown name":           frame(typeOpen, 1, "y"),
		"too many":                  frame(typeOpen, 1, "x") + frame(typeOpen, 2, "x") + frame(typeOpen, 3, "x") + frame(typeOpen, 4, "x") + frame(typeOpen, 5, "x"),
		"told of a connection":      frame(typeOpen, 1, "x") + frame('w', 1, ""),
	} {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		go func() { _, _ = io.WriteString(there, in) }()
		p := NewPeer(here, PeerConfig{
			Host: true, Limit: 4, Known: func(name string) bool { return name == "x" }, Accept: func(string, *Stream) {},
			Heard: "w", Hear: func(execproto.MuxType, []byte) error { return nil },
		})
		require.ErrorIs(t, p.Run(), execproto.ErrFrame, name)
	}
}
