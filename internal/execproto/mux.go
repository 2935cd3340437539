package execproto

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
)

// The link between the proxy and the resident exec server of a sidecar carries
// many calls at once: each message names a call by a number that the proxy
// chooses and that is free again after MuxExit. docs/protocol.md, "The link to a
// sidecar", is the specification. Both ends belong to one build of the program,
// so the link has no versions.

// MuxType tells what a message carries.
type MuxType byte

// Proxy to server: MuxStart, MuxGo, MuxStdin, MuxStdinEOF, MuxSignal, MuxResize,
// MuxEnd. Server to proxy: MuxHello, MuxStdout, MuxStderr, MuxExit, MuxFailed.
// Both: MuxCredit.
const (
	MuxHello    MuxType = 'h' // call 0, first message of a server: ready for calls
	MuxStart    MuxType = 'n' // a part of an encoded Start; parts are joined until MuxGo
	MuxGo       MuxType = 'g' // start the call; payload 1 byte: number of descriptors that came with it, 0 or 3
	MuxStdin    MuxType = 'i'
	MuxStdinEOF MuxType = 'z'
	MuxSignal   MuxType = 's' // wire name of a signal, for the call's process group
	MuxResize   MuxType = 'w' // two uint16, rows and columns, of the call's terminal
	MuxEnd      MuxType = 'k' // end the call: INT, TERM, KILL, with the grace period of its Start between them
	MuxStdout   MuxType = 'o'
	MuxStderr   MuxType = 'e'
	MuxCredit   MuxType = 'c' // uint32: so many more bytes may be sent in the other direction
	MuxExit     MuxType = 'q' // int32 exit code, 128+n after signal n; the call's last message
	MuxFailed   MuxType = 'x' // a message for people: the call could not be run; the call's last message
)

// MuxWindow is how many bytes of a call's input, and of its two outputs
// together, may be under way before the other end grants more. It keeps one slow
// call from holding up the link for all.
const MuxWindow = 256 << 10

// MuxFiles is how many descriptors come with a MuxGo that has any.
const MuxFiles = 3

// MuxHeaderLen is the length of a message without its payload: type, call, and
// the payload's length.
const MuxHeaderLen = 9

// MuxMessage is one message. Payload is valid until the next Read.
type MuxMessage struct {
	Type    MuxType
	Call    uint32
	Payload []byte
}

// MuxReader decodes messages. It is not safe for concurrent use.
type MuxReader struct {
	r   io.Reader
	buf [MuxHeaderLen + MaxPayload]byte
}

// NewMuxReader returns a reader of the messages in r, which should be buffered.
func NewMuxReader(r io.Reader) *MuxReader { return &MuxReader{r: r} }

// Read returns the next message. Its errors are those of FrameReader.Read.
func (mr *MuxReader) Read() (MuxMessage, error) {
	head := mr.buf[:MuxHeaderLen]
	if _, err := io.ReadFull(mr.r, head); err != nil {
		return MuxMessage{}, err
	}
	m := MuxMessage{Type: MuxType(head[0]), Call: binary.BigEndian.Uint32(head[1:5])}
	n := binary.BigEndian.Uint32(head[5:])
	if n > MaxPayload {
		return MuxMessage{}, tooLong(n)
	}
	var err error
	m.Payload, err = readPayload(mr.r, mr.buf[MuxHeaderLen:][:n])
	return m, err
}

// MuxWriter encodes messages, each with one Write. It is safe for concurrent use.
type MuxWriter struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// NewMuxWriter returns a writer of messages to w.
func NewMuxWriter(w io.Writer) *MuxWriter { return &MuxWriter{w: w} }

// Write sends payload as messages of type t, split at MaxPayload. An empty
// payload is one empty message.
func (mw *MuxWriter) Write(t MuxType, call uint32, payload []byte) error {
	for {
		n := min(len(payload), MaxPayload)
		if err := mw.writeOne(t, call, payload[:n]); err != nil {
			return err
		}
		payload = payload[n:]
		if len(payload) == 0 {
			return nil
		}
	}
}

// WriteUint32 sends a message whose payload is one number: MuxCredit, MuxExit.
func (mw *MuxWriter) WriteUint32(t MuxType, call, v uint32) error {
	return mw.Write(t, call, binary.BigEndian.AppendUint32(nil, v))
}

func (mw *MuxWriter) writeOne(t MuxType, call uint32, payload []byte) error {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	mw.encode(t, call, payload)
	_, err := mw.w.Write(mw.buf)
	return err
}

func (mw *MuxWriter) encode(t MuxType, call uint32, payload []byte) {
	mw.buf = append(mw.buf[:0], byte(t))
	mw.buf = binary.BigEndian.AppendUint32(mw.buf, call)
	mw.buf = binary.BigEndian.AppendUint32(mw.buf, uint32(len(payload))) //nolint:gosec // at most MaxPayload
	mw.buf = append(mw.buf, payload...)
}

// WriteInPlace sends one message without copying it: buf has room for a header,
// MuxHeaderLen bytes, and then the payload of at most MaxPayload.
func (mw *MuxWriter) WriteInPlace(t MuxType, call uint32, buf []byte) error {
	buf[0] = byte(t)
	binary.BigEndian.PutUint32(buf[1:], call)
	binary.BigEndian.PutUint32(buf[5:], uint32(len(buf)-MuxHeaderLen)) //nolint:gosec // at most MaxPayload
	mw.mu.Lock()
	defer mw.mu.Unlock()
	_, err := mw.w.Write(buf)
	return err
}

// WriteWith sends one message through send, which writes the encoded bytes and
// whatever goes along with them, such as descriptors.
func (mw *MuxWriter) WriteWith(t MuxType, call uint32, payload []byte, send func([]byte) error) error {
	mw.mu.Lock()
	defer mw.mu.Unlock()
	mw.encode(t, call, payload)
	return send(mw.buf)
}

// Uint32 decodes the payload of MuxCredit and MuxExit.
func (m MuxMessage) Uint32() (uint32, error) {
	return Frame{Payload: m.Payload}.Uint32()
}

// Start describes a call to the exec server.
type Start struct {
	ID    string // exec id
	Kind  string // toolchain kind, for messages
	Cwd   string
	Argv  []string
	Env   []string // NAME=value, beside the sidecar's own
	Stdin bool     // input will be sent; otherwise the tool reads /dev/null

	TTY        TTY    // these streams are a terminal of the tool's own; its output is MuxStdout if that is among them
	Rows, Cols uint16 // of that terminal
	GraceMS    uint32 // between INT, TERM and KILL when the call is ended
}

// Encode returns the Start as bytes, for MuxStart messages. No field may hold a
// NUL byte, which an argument cannot hold anyway.
func (s Start) Encode() []byte {
	head := fmt.Sprintf("%s\x00%s\x00%s\x00%t\x00%d\x00%d\x00%d\x00%d\x00%d\x00",
		s.ID, s.Kind, s.Cwd, s.Stdin, s.TTY, s.Rows, s.Cols, s.GraceMS, len(s.Argv))
	return []byte(head + strings.Join(append(append([]string{}, s.Argv...), s.Env...), "\x00"))
}

// DecodeStart is the inverse of Encode.
func DecodeStart(b []byte) (Start, error) {
	const heads = 9
	words := strings.Split(string(b), "\x00")
	if len(words) <= heads {
		return Start{}, fmt.Errorf("%w: a start of %d fields", ErrFrame, len(words))
	}
	s := Start{ID: words[0], Kind: words[1], Cwd: words[2]}
	var argc int
	_, err := fmt.Sscan(strings.Join(words[3:heads], " "), &s.Stdin, &s.TTY, &s.Rows, &s.Cols, &s.GraceMS, &argc)
	words = words[heads:]
	if err != nil || argc < 1 || argc > len(words) {
		return Start{}, fmt.Errorf("%w: a start that cannot be read", ErrFrame)
	}
	s.Argv, s.Env = words[:argc:argc], words[argc:]
	return s, nil
}
