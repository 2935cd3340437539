package execproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// FrameType tells what a frame carries. Client to proxy: FrameStdin, FrameStdinEOF,
// FrameSignal, FrameResize, FrameFiles. Proxy to client: FrameStdout, FrameStderr,
// FrameCredit, FrameError, FrameExit (docs/protocol.md, "Frames").
type FrameType byte

// The frames of protocol version 3.
const (
	FrameStdin    FrameType = 'i' // bytes for the tool's standard input
	FrameStdinEOF FrameType = 'z' // no more input; no payload
	FrameSignal   FrameType = 's' // wire name of a signal
	FrameResize   FrameType = 'w' // two uint16: rows and columns of the client's terminal
	FrameFiles    FrameType = 'f' // no payload; the client's three files come along with it
	FrameStdout   FrameType = 'o' // bytes the tool wrote to standard output
	FrameStderr   FrameType = 'e' // bytes the tool wrote to standard error
	FrameCredit   FrameType = 'c' // uint32: so many more bytes of input may be sent
	FrameError    FrameType = 'x' // a message for people: the call failed outside the tool
	FrameExit     FrameType = 'q' // int32 exit code; the last frame
)

// MaxPayload is the largest payload of one frame, in bytes, but for FrameStdout
// and FrameStderr, which have up to MaxOutput.
const (
	MaxPayload = 64 << 10
	MaxOutput  = 1 << 20
)

// InitialCredit is how many bytes of input a client may send before the first
// FrameCredit. Input is credited so that a tool which does not read cannot
// keep a signal behind it from being seen.
const InitialCredit = 256 << 10

const headerLen = 5 // type, then the payload's length as a big-endian uint32

// ErrFrame is wrapped by every error that means the peer broke the protocol,
// as opposed to the connection having failed.
var ErrFrame = errors.New("malformed frame")

// Frame is one message. Payload is valid until the next Read.
type Frame struct {
	Type    FrameType
	Payload []byte
}

// FrameReader decodes frames. It is not safe for concurrent use.
type FrameReader struct {
	r    io.Reader
	head [headerLen]byte
	buf  []byte
}

// NewFrameReader returns a reader of the frames in r, which should be buffered.
func NewFrameReader(r io.Reader) *FrameReader { return &FrameReader{r: r} }

// Read returns the next frame. It returns io.EOF at a clean end between
// frames, io.ErrUnexpectedEOF inside one, and an error wrapping ErrFrame for a
// payload that is too large or an unknown type.
func (fr *FrameReader) Read() (Frame, error) {
	t, n, err := fr.Next()
	if err != nil {
		return Frame{}, err
	}
	payload, err := fr.Payload(n)
	return Frame{Type: t, Payload: payload}, err
}

// Next reads the head of the next frame and returns its type and the length of
// its payload, which the caller has to read, by Payload or otherwise, before the
// next call. Its errors are those of Read.
func (fr *FrameReader) Next() (FrameType, int, error) {
	if _, err := io.ReadFull(fr.r, fr.head[:]); err != nil {
		return 0, 0, err
	}
	t, n := FrameType(fr.head[0]), binary.BigEndian.Uint32(fr.head[1:])
	if !t.known() {
		return 0, 0, fmt.Errorf("%w: unknown type %q", ErrFrame, byte(t))
	}
	if n > uint32(t.limit()) { //nolint:gosec // a constant
		return 0, 0, tooLong(n)
	}
	return t, int(n), nil
}

// Payload reads the payload of n bytes that Next announced.
func (fr *FrameReader) Payload(n int) ([]byte, error) {
	if cap(fr.buf) < n {
		fr.buf = make([]byte, max(n, MaxPayload))
	}
	return readPayload(fr.r, fr.buf[:n])
}

func tooLong(n uint32) error { return fmt.Errorf("%w: payload of %d bytes", ErrFrame, n) }

// readPayload fills payload. Its errors are those of FrameReader.Read inside a frame.
func readPayload(r io.Reader, payload []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return payload, nil
}

// limit is how long a payload may be.
func (t FrameType) limit() int {
	if t == FrameStdout || t == FrameStderr {
		return MaxOutput
	}
	return MaxPayload
}

func (t FrameType) known() bool {
	switch t {
	case FrameStdin, FrameStdinEOF, FrameSignal, FrameResize, FrameFiles, FrameStdout, FrameStderr, FrameCredit, FrameError, FrameExit:
		return true
	}
	return false
}

// VectorWriter is a writer that takes several buffers as one write, or fails.
type VectorWriter interface {
	WriteVector(b net.Buffers) error
}

// worthVector is the length of a payload from which on copying it costs more
// than writing it by itself.
const worthVector = 8 << 10

// FrameWriter encodes frames, each with one write, so frames of concurrent
// callers never mix. To a VectorWriter it writes payloads without copying them.
type FrameWriter struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// NewFrameWriter returns a writer of frames to w.
func NewFrameWriter(w io.Writer) *FrameWriter { return &FrameWriter{w: w} }

// Write sends payload as frames of type t, split at the largest payload. An
// empty payload is one empty frame.
func (fw *FrameWriter) Write(t FrameType, payload []byte) error {
	for {
		n := min(len(payload), t.limit())
		if err := fw.writeOne(t, payload[:n]); err != nil {
			return err
		}
		payload = payload[n:]
		if len(payload) == 0 {
			return nil
		}
	}
}

func (fw *FrameWriter) writeOne(t FrameType, payload []byte) error {
	fw.mu.Lock()
	defer fw.mu.Unlock()
	fw.buf = append(fw.buf[:0], byte(t))
	fw.buf = binary.BigEndian.AppendUint32(fw.buf, uint32(len(payload))) //nolint:gosec // at most MaxOutput
	if v, ok := fw.w.(VectorWriter); ok && len(payload) >= worthVector {
		return v.WriteVector(net.Buffers{fw.buf, payload})
	}
	fw.buf = append(fw.buf, payload...)
	_, err := fw.w.Write(fw.buf)
	return err
}

// WriteUint32 sends a frame whose payload is one number: FrameCredit, FrameExit.
func (fw *FrameWriter) WriteUint32(t FrameType, v uint32) error {
	return fw.Write(t, binary.BigEndian.AppendUint32(nil, v))
}

// Uint32 decodes the payload of FrameCredit and FrameExit.
func (f Frame) Uint32() (uint32, error) {
	if len(f.Payload) != 4 {
		return 0, fmt.Errorf("%w: %d bytes where a number was expected", ErrFrame, len(f.Payload))
	}
	return binary.BigEndian.Uint32(f.Payload), nil
}

// EncodeSize is the payload of FrameResize and MuxResize.
func EncodeSize(rows, cols uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, rows), cols)
}

// DecodeSize is the inverse of EncodeSize.
func DecodeSize(p []byte) (rows, cols uint16, err error) {
	if len(p) != 4 {
		return 0, 0, fmt.Errorf("%w: %d bytes where a size was expected", ErrFrame, len(p))
	}
	return binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]), nil
}

// Stream is an io.Writer that sends what is written to it as frames of one type.
type Stream struct {
	W    *FrameWriter
	Type FrameType
}

// Write implements io.Writer.
func (s Stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.W.Write(s.Type, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
