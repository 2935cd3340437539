package execproxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

const (
	// bodyTimeout is how long the whole body of a request may take to arrive.
	bodyTimeout = 30 * time.Second
	// refusedTimeout is how long what is left of a refused request is read and
	// thrown away: closing at once would be a reset that overtakes the reply.
	refusedTimeout = time.Second
	// pieceSize is how much of a body is read at once, in bytes. A connection that sends
	// nothing has it, too, so it is small.
	pieceSize = 4 << 10
)

// protocol versions, as in the X-Aifo-Proto header.
const (
	protoBuffered = "1"
	protoStreamed = "2"
	protoFrames   = "3"
)

// request is what the client asked for. Everything in it is within the limits
// of execproto; the rest is not checked yet.
type request struct {
	authorized bool
	proto      string
	execID     string
	workspace  string // where it is mounted

	tool, cwd, cmd string
	kind, path     string // version 3: the toolchain, and the tool as it was called, if by a path
	args           []string
	env            []string // without what may not pass
	argBytes       int      // of args and env
	tooLong        bool     // no system runs a program with that much

	files    bool      // the client would hand over its files
	terminal *Terminal // nil: none is asked for

	sigID, sigName string

	held *Held // the memory that it takes
}

// read reads the body of r and decodes it (checks 1, 3 and 4). What the request takes of the
// budget is then in held.
func (p *Proxy) read(w http.ResponseWriter, r *http.Request, c *conn, held *Held) (*request, *refusal) {
	req := p.identify(r)
	if req.authorized {
		c.admit()
	} else {
		held = &Held{budget: &budget{max: math.MaxInt64}} // MaxBodyNoAuth and maxPending bound it
	}
	req.held = held
	head := headWeight(r)
	body, ref := req.readBody(w, r, func(n int) bool { return held.Set(head + int64(n)) })
	if ref == nil {
		ref = req.take(r, c, body)
	}
	if ref == nil && !held.Set(head+req.weight()) {
		ref = refuseMemory
	}
	if ref != nil {
		return nil, ref
	}
	return req, nil
}

// identify returns what the head of r says of the request.
func (p *Proxy) identify(r *http.Request) *request {
	return &request{
		authorized: authorized(r.Header, p.cfg.Token) && p.fromOwner(r.RemoteAddr),
		proto:      strings.TrimSpace(last(r.Header, execproto.HeaderProto)),
		execID:     strings.TrimSpace(last(r.Header, execproto.HeaderExecID)),
		workspace:  p.cfg.Workspace,
		cwd:        p.cfg.Workspace,
		sigName:    "TERM",
		files:      strings.TrimSpace(last(r.Header, execproto.HeaderFiles)) == execproto.FilesStdio,
	}
}

// take takes in a body that has arrived whole.
func (req *request) take(r *http.Request, c *conn, body string) *refusal {
	if req.proto != protoFrames {
		c.seal()
	}
	if c.surplus(r.ContentLength) {
		return refuseRequest
	}
	if req.decode(r.URL.RawQuery, body) {
		return nil
	}
	if req.tooLong && req.proto == protoFrames {
		return refuseTooLong
	}
	return refuseRequest
}

// readBody reads the whole body, so that a request that was cut off is never
// carried out. A client without the token gets a small allowance, because the
// checks before 401 need the form. hold takes the memory.
func (req *request) readBody(w http.ResponseWriter, r *http.Request, hold func(int) bool) (string, *refusal) {
	limit, over := int64(execproto.MaxBodyNoAuth), refuseToken
	if req.authorized {
		limit, over = execproto.MaxBody, refuseRequest
	}
	if r.ContentLength > limit {
		return "", over
	}
	body, err := readHeld(io.LimitReader(r.Body, limit+1), hold)
	if int64(len(body)) > limit {
		return "", over
	}
	if errors.Is(err, errNoRoom) {
		return "", refuseMemory
	}
	if err != nil {
		return "", refuseRequest
	}
	http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, nil
}

var errNoRoom = errors.New(TooMuchHeld)

// readHeld reads r to its end. It takes memory as bytes arrive, whatever length was promised,
// and tells hold how much it has; when that says no, the error is errNoRoom.
func readHeld(r io.Reader, hold func(int) bool) (string, error) {
	var b strings.Builder
	piece := make([]byte, pieceSize)
	for hold(pieceSize + b.Cap()) {
		n, err := r.Read(piece)
		b.Write(piece[:n])
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", errNoRoom
}

// decode fills req from the query and then the body, and reports whether it is
// within the limits.
func (req *request) decode(query, body string) bool {
	fits, size := true, [2]string{"0", "0"}
	var tty execproto.TTY
	set := func(key, value string) bool {
		value = strings.Clone(value) // or a call would keep its whole body in memory
		switch key = strings.ToLower(key); key {
		case execproto.KeyTTY:
			tty = execproto.ParseTTY(value)
		case execproto.KeyRows:
			size[0] = value
		case execproto.KeyCols:
			size[1] = value
		default:
			fits = req.set(key, value)
		}
		return fits
	}
	eachPair(query, set)
	if fits {
		eachPair(body, set)
	}
	if !fits || len(req.tool) > req.maxTool() || len(req.cmd) > execproto.MaxCmdLen {
		return false
	}
	req.decodeSignal(body)
	var ok bool
	req.cwd, ok = cleanCwd(req.cwd, req.workspace)
	return ok && (tty == 0 || req.setTerminal(tty, size))
}

// decodeSignal takes a signal's keys, from the body alone and as they are written.
func (req *request) decodeSignal(body string) {
	eachPair(body, func(key, value string) bool {
		switch key {
		case execproto.KeyExecID:
			req.sigID = strings.Clone(value)
		case execproto.KeySignal:
			req.sigName = strings.Clone(value)
		}
		return true
	})
}

func (req *request) setTerminal(streams execproto.TTY, size [2]string) bool {
	rows, err1 := strconv.ParseUint(size[0], 10, 16)
	cols, err2 := strconv.ParseUint(size[1], 10, 16)
	req.terminal = &Terminal{Streams: streams, Size: Size{uint16(rows), uint16(cols)}}
	return err1 == nil && err2 == nil
}

// set takes one pair of the form and reports whether to go on.
func (req *request) set(key, value string) bool {
	switch key {
	case execproto.KeyTool:
		req.tool = value
	case execproto.KeyCwd:
		req.cwd = value
	case execproto.KeyCmd:
		req.cmd = value
	case execproto.KeyArg:
		req.args = append(req.args, value)
		return req.count(value)
	case execproto.KeyKind:
		if req.proto == protoFrames {
			req.kind = strings.ToLower(value)
		}
	case execproto.KeyPath:
		return req.proto != protoFrames || req.setPath(value)
	case execproto.KeyEnv:
		return req.proto != protoFrames || req.setEnv(value)
	}
	return true
}

// maxTool is how long the tool's name may be.
func (req *request) maxTool() int {
	if req.kind != "" || req.path != "" {
		return execproto.MaxNameLen
	}
	return execproto.MaxToolLen
}

// setPath takes the path by which the tool was called.
func (req *request) setPath(value string) bool {
	req.path = value
	return strings.Contains(value, "/") && !strings.Contains(value, "\x00") && len(value) <= execproto.MaxPathLen
}

// program is what the sidecar is asked to run.
func (req *request) program() string {
	if req.path != "" {
		return req.path
	}
	return req.tool
}

// setEnv takes a variable. That one may not pass is no error: a client need not
// know the rule, and it is here that it is kept.
func (req *request) setEnv(value string) bool {
	if !strings.Contains(value, "=") {
		return false
	}
	if execproto.PassVariable(value, req.workspace) {
		req.env = append(req.env, value)
	}
	return req.count(value)
}

// count takes an argument or a variable into account and reports whether a
// program can still get them all.
func (req *request) count(value string) bool {
	req.argBytes += len(value) + 1 // exec(2) counts the terminating NUL
	req.tooLong = len(value) > execproto.MaxArgLen || len(req.args)+len(req.env) > execproto.MaxArgs ||
		req.argBytes > execproto.MaxArgsTotal
	return !req.tooLong && !strings.Contains(value, "\x00")
}

// checkAccess makes the checks for the token and the protocol version.
func (req *request) checkAccess() *refusal {
	if !req.authorized {
		return refuseToken
	}
	switch req.proto {
	case protoBuffered, protoStreamed, protoFrames:
		return nil
	}
	return refuseProto
}

// versionFits reports whether HTTP can carry the version that the client
// speaks: there are no chunks and no trailers before HTTP/1.1, and version 3
// needs to know where the body ends and the frames begin.
func (req *request) versionFits(r *http.Request) bool {
	switch req.proto {
	case protoStreamed:
		return r.ProtoAtLeast(1, 1)
	case protoFrames:
		return r.ProtoAtLeast(1, 1) && r.ContentLength >= 0
	}
	return true
}

// cleanCwd returns the working directory that p means and whether a tool may
// run there. A path with "." or ".." is refused, not resolved: it would have to
// be resolved by the sidecar, with its links.
func cleanCwd(p, workspace string) (string, bool) {
	if p == "." {
		return workspace, true
	}
	if len(p) > execproto.MaxPathLen || !strings.HasPrefix(p, "/") || strings.Contains(p, "\x00") {
		return "", false
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "." || part == ".." {
			return "", false
		}
	}
	p = path.Clean(p)
	return p, execproto.Within(p, workspace)
}

// authorized reports whether h carries the token. The comparison takes the same
// time wherever the two differ.
func authorized(h http.Header, token string) bool {
	auth := strings.TrimSpace(last(h, "Authorization"))
	i := strings.IndexAny(auth, " \t")
	if token == "" || i < 0 || !strings.EqualFold(auth[:i], "bearer") {
		return false
	}
	got, want := sha256.Sum256([]byte(strings.TrimSpace(auth[i:]))), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// fromOwner reports whether a request with the token comes from where the first did. That
// is the agent's container, which has the token before anybody else can: who has got it out of
// there, and is in another container or elsewhere on this machine, gains nothing.
func (p *Proxy) fromOwner(addr string) bool {
	from := addressOf(addr)
	p.owner.CompareAndSwap(nil, &from)
	if *p.owner.Load() == from {
		return true
	}
	p.strangers.Do(func() {
		p.log.Warn("the token of the session was used from another address; refused", "address", from)
	})
	return false
}

// last is the value of the last header of that name, which is the one that counts.
func last(h http.Header, name string) string {
	v := h.Values(name)
	if len(v) == 0 {
		return ""
	}
	return v[len(v)-1]
}

// headerLines counts the header lines of r; net/http takes Host and
// Transfer-Encoding out of the map.
func headerLines(r *http.Request) int {
	n := len(r.TransferEncoding)
	if r.Host != "" {
		n++
	}
	for _, v := range r.Header {
		n += len(v)
	}
	return n
}

// wantsUpgrade reports whether the client asks for the upgrade to a protocol.
func wantsUpgrade(h http.Header, protocol string) bool {
	return strings.EqualFold(strings.TrimSpace(last(h, "Upgrade")), protocol) &&
		hasToken(h.Values("Connection"), "upgrade")
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
