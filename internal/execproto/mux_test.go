package execproto

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// docs/protocol.md, "The link to a sidecar".

func TestMuxWire(t *testing.T) {
	var b bytes.Buffer
	w := NewMuxWriter(&b)
	require.NoError(t, w.Write(MuxStdin, 0x01020304, []byte("hi")))
	require.NoError(t, w.Write(MuxStdinEOF, 5, nil))
	require.NoError(t, w.WriteUint32(MuxExit, 6, 0xfffffffe))
	require.NoError(t, w.WriteInPlace(MuxStdout, 7, []byte("=========abc")))
	require.NoError(t, w.WriteWith(MuxGo, 8, []byte{3}, func(p []byte) error {
		_, err := b.Write(append(p, "+files"...))
		return err
	}))
	assert.Equal(t, "i\x01\x02\x03\x04\x00\x00\x00\x02hi"+"z\x00\x00\x00\x05\x00\x00\x00\x00"+
		"q\x00\x00\x00\x06\x00\x00\x00\x04\xff\xff\xff\xfe"+"o\x00\x00\x00\x07\x00\x00\x00\x03abc"+
		"g\x00\x00\x00\x08\x00\x00\x00\x01\x03+files", b.String())
}

// TestMuxRoundTrip also reads byte by byte, as a slow link gives them.
func TestMuxRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, MaxPayload - 1, MaxPayload, MaxPayload + 1, 3*MaxPayload + 7} {
		payload := []byte(strings.Repeat("xyz", size)[:size])
		var b bytes.Buffer
		require.NoError(t, NewMuxWriter(&b).Write(MuxStderr, 9, payload))
		r := NewMuxReader(iotest.OneByteReader(&b))
		got, messages := []byte{}, 0
		for {
			m, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			assert.Equal(t, MuxStderr, m.Type)
			assert.Equal(t, uint32(9), m.Call)
			got = append(got, m.Payload...)
			messages++
		}
		assert.True(t, bytes.Equal(payload, got))
		assert.Equal(t, max(1, (size+MaxPayload-1)/MaxPayload), messages)
	}
}

func TestMuxReaderErrors(t *testing.T) {
	for in, want := range map[string]error{
		"":                                     io.EOF,
		"o":                                    io.ErrUnexpectedEOF,
		"o\x00\x00\x00\x01\x00\x00\x00":        io.ErrUnexpectedEOF,
		"o\x00\x00\x00\x01\x00\x00\x00\x01":    io.ErrUnexpectedEOF,
		"o\x00\x00\x00\x01\x00\x00\x00\x02x":   io.ErrUnexpectedEOF,
		"o\x00\x00\x00\x01\x00\x01\x00\x01":    ErrFrame,
		"o\x00\x00\x00\x01\xff\xff\xff\xffxxx": ErrFrame,
	} {
		_, err := NewMuxReader(strings.NewReader(in)).Read()
		assert.ErrorIs(t, err, want, "%q", in)
	}
	_, err := MuxMessage{Payload: []byte("abc")}.Uint32()
	assert.ErrorIs(t, err, ErrFrame)
}

func TestStart(t *testing.T) {
	for _, s := range []Start{
		{ID: "a", Argv: []string{"true"}, Env: []string{}},
		{ID: "a", Argv: []string{""}, Env: []string{}},
		{
			ID: "id-1", Kind: "rust", Cwd: "/work space/\xff", Argv: []string{"sh", "", "a b\n", "\xfe"}, Env: []string{"A=", "B=1=2", "C=\xff"},
			Stdin: true, TTY: TTYOut | TTYErr, Rows: 65535, Cols: 1, GraceMS: 1<<32 - 1,
		},
	} {
		got, err := DecodeStart(s.Encode())
		require.NoError(t, err)
		assert.Equal(t, s, got)
	}
}

func TestStartErrors(t *testing.T) {
	good := string(Start{ID: "a", Argv: []string{"x", "y"}}.Encode())
	for _, in := range []string{
		"", "a", strings.Repeat("\x00", 20), strings.Replace(good, "false", "maybe", 1),
		strings.Replace(good, "\x002\x00", "\x003\x00", 1), strings.Replace(good, "\x002\x00", "\x000\x00", 1),
		strings.Replace(good, "\x002\x00", "\x00-1\x00", 1), strings.Replace(good, "\x000\x00", "\x0070000\x00", 1),
	} {
		_, err := DecodeStart([]byte(in))
		assert.ErrorIs(t, err, ErrFrame, "%q", in)
	}
}

func FuzzMuxReader(f *testing.F) {
	f.Add([]byte("o\x00\x00\x00\x01\x00\x00\x00\x02hiz\x00\x00\x00\x01\x00\x00\x00\x00"))
	f.Add([]byte("c\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x01\x00w"))
	f.Add([]byte("o\x00\x00\x00\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewMuxReader(bytes.NewReader(in))
		var again bytes.Buffer
		w := NewMuxWriter(&again)
		for {
			m, err := r.Read()
			if err != nil {
				whole := errors.Is(err, io.EOF)
				if !whole && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrFrame) {
					t.Fatal(err)
				}
				if !bytes.HasPrefix(in, again.Bytes()) || whole && again.Len() != len(in) {
					t.Fatalf("%q became %q", in, again.Bytes())
				}
				return
			}
			_, _ = m.Uint32()
			_, _, _ = DecodeSize(m.Payload)
			_ = w.Write(m.Type, m.Call, m.Payload)
		}
	})
}

func FuzzDecodeStart(f *testing.F) {
	f.Add(Start{ID: "a", Argv: []string{"true"}}.Encode())
	f.Add(Start{ID: "a", Cwd: "/", Argv: []string{"a", ""}, Env: []string{"A=b"}, TTY: TTYAll, Rows: 3}.Encode())
	f.Add([]byte("\x00\x00\x00true\x00false\x001\x002\x003\x00-4\x00x"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := DecodeStart(in)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatal(err)
			}
			return
		}
		if len(s.Argv) == 0 {
			t.Fatal("no tool")
		}
		again, err := DecodeStart(s.Encode())
		if err != nil {
			t.Fatalf("%q: %v", s.Encode(), err)
		}
		assert.Equal(t, s, again)
	})
}
