package execproto

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// docs/protocol.md, "Frames".

func TestFrameWire(t *testing.T) {
	var b bytes.Buffer
	w := NewFrameWriter(&b)
	require.NoError(t, w.Write(FrameStdin, []byte("hi")))
	require.NoError(t, w.Write(FrameStdinEOF, nil))
	require.NoError(t, w.WriteUint32(FrameExit, 0xfffffffe))
	assert.Equal(t, "i\x00\x00\x00\x02hi"+"z\x00\x00\x00\x00"+"q\x00\x00\x00\x04\xff\xff\xff\xfe", b.String())
}

// TestFrameRoundTrip also reads byte by byte, as a slow connection gives them.
func TestFrameRoundTrip(t *testing.T) {
	for frame, limit := range map[FrameType]int{FrameStdin: MaxPayload, FrameStdout: MaxOutput, FrameStderr: MaxOutput} {
		for _, size := range []int{0, 1, limit - 1, limit, limit + 1, 3*limit + 7} {
			var copied bytes.Buffer
			testRoundTrip(t, &copied, &copied, frame, size)
			var whole vectors
			testRoundTrip(t, &whole, &whole.Buffer, frame, size)
			require.Equal(t, size >= worthVector, whole.used, "%q, %d bytes", byte(frame), size)
		}
	}
}

// vectors is a VectorWriter.
type vectors struct {
	bytes.Buffer
	used bool
}

func (v *vectors) WriteVector(b net.Buffers) error {
	v.used = true
	_, err := b.WriteTo(&v.Buffer)
	return err
}

// testRoundTrip writes to w and reads from written.
func testRoundTrip(t *testing.T, w io.Writer, written io.Reader, frame FrameType, size int) {
	t.Helper()
	payload := []byte(strings.Repeat("x", size))
	require.NoError(t, NewFrameWriter(w).Write(frame, payload))
	r := NewFrameReader(iotest.OneByteReader(written))
	var got []byte
	frames := 0
	for {
		f, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.Equal(t, frame, f.Type)
		got = append(got, f.Payload...)
		frames++
	}
	require.Equal(t, payload, append([]byte{}, got...))
	require.Equal(t, max(1, (size+frame.limit()-1)/frame.limit()), frames)
}

func TestFrameReaderErrors(t *testing.T) {
	tests := map[string]error{
		"":                                   io.EOF,
		"o":                                  io.ErrUnexpectedEOF,
		"o\x00\x00\x00":                      io.ErrUnexpectedEOF,
		"o\x00\x00\x00\x01":                  io.ErrUnexpectedEOF,
		"o\x00\x00\x00\x02x":                 io.ErrUnexpectedEOF,
		"o\x00\x10\x00\x01":                  ErrFrame,
		"i\x00\x01\x00\x01":                  ErrFrame,
		"o\xff\xff\xff\xff":                  ErrFrame,
		"\x00\x00\x00\x00\x00":               ErrFrame,
		"HTTP/1.1 200 OK\r\n\r\n":            ErrFrame,
		"z\x00\x00\x00\x00?":                 io.ErrUnexpectedEOF,
		"z\x00\x00\x00\x00?\x00\x00\x00\x00": ErrFrame,
	}
	for in, want := range tests {
		r := NewFrameReader(strings.NewReader(in))
		_, err := r.Read()
		if err == nil {
			_, err = r.Read()
		}
		assert.ErrorIs(t, err, want, "%q", in)
	}
}

func TestUint32(t *testing.T) {
	n, err := Frame{Payload: []byte{0, 0, 1, 2}}.Uint32()
	require.NoError(t, err)
	assert.EqualValues(t, 258, n)
	_, err = Frame{Payload: []byte{0, 0, 1}}.Uint32()
	assert.ErrorIs(t, err, ErrFrame)
}

func TestSize(t *testing.T) {
	assert.Equal(t, "\x00\x18\x01\x00", string(EncodeSize(24, 256)))
	rows, cols, err := DecodeSize(EncodeSize(65535, 0))
	require.NoError(t, err)
	assert.Equal(t, [2]uint16{65535, 0}, [2]uint16{rows, cols})
	for _, bad := range []string{"", "abc", "abcde"} {
		_, _, err := DecodeSize([]byte(bad))
		assert.ErrorIs(t, err, ErrFrame)
	}
}

// TestFrameWriterIsSafe: frames of concurrent writers do not mix.
func TestFrameWriterIsSafe(t *testing.T) {
	pr, pw := io.Pipe()
	w := NewFrameWriter(pw)
	var wg sync.WaitGroup
	for _, s := range []Stream{{w, FrameStdout}, {w, FrameStderr}} {
		wg.Go(func() {
			for range 200 {
				s.Write([]byte(strings.Repeat(string(rune(s.Type)), 1000)))
			}
		})
	}
	go func() {
		wg.Wait()
		pw.Close()
	}()
	r := NewFrameReader(pr)
	for frames := 0; ; frames++ {
		f, err := r.Read()
		if errors.Is(err, io.EOF) {
			assert.Equal(t, 400, frames)
			return
		}
		require.NoError(t, err)
		require.Equal(t, strings.Repeat(string(rune(f.Type)), 1000), string(f.Payload))
	}
}

func TestStream(t *testing.T) {
	var b bytes.Buffer
	s := Stream{NewFrameWriter(&b), FrameStderr}
	n, err := s.Write(nil)
	assert.Zero(t, n)
	assert.NoError(t, err)
	assert.Zero(t, b.Len(), "an empty write is no frame")
	s.W = NewFrameWriter(failingWriter{})
	n, err = s.Write([]byte("x"))
	assert.Zero(t, n)
	assert.Error(t, err)
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

// FuzzFrameReader checks that no input does harm and that what is read is what
// a writer would have written.
func FuzzFrameReader(f *testing.F) {
	f.Add([]byte("i\x00\x00\x00\x02hiz\x00\x00\x00\x00"))
	f.Add([]byte("q\x00\x00\x00\x04\x00\x00\x00\x01"))
	f.Add([]byte("c\x00\x00\x00\x03\x00\x00\x01"))
	f.Add([]byte("o\xff\xff\xff\xff"))
	f.Add([]byte("s\x00\x00\x00\x03INTx"))
	f.Add([]byte("f\x00\x00\x00\x00w\x00\x00\x00\x04\x00\x18\x00\x50"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewFrameReader(bytes.NewReader(in))
		var again bytes.Buffer
		w := NewFrameWriter(&again)
		for {
			fr, err := r.Read()
			if err != nil {
				assert.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrFrame), "%v", err)
				break
			}
			if n, err := fr.Uint32(); err == nil {
				require.NoError(t, w.WriteUint32(fr.Type, n))
			} else {
				require.NoError(t, w.Write(fr.Type, fr.Payload))
			}
		}
		assert.True(t, bytes.HasPrefix(in, again.Bytes()))
	})
}
