package foreign

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// staged is an entry of an index: what the next commit would have at a path.
type staged struct {
	path   string
	mode   uint32
	object string
	stage  int // 0, or 1 to 3 of a file that is not merged
}

// parseIndex reads an index (gitformat-index(5), versions 2 to 4). It is done here, and not by
// git, because git maps the file and believes what it says of itself.
func parseIndex(content []byte, format string) ([]staged, error) {
	body, err := checkIndex(content, format)
	if err != nil {
		return nil, err
	}
	version, count := binary.BigEndian.Uint32(body[4:]), binary.BigEndian.Uint32(body[8:])
	p := indexParser{left: body[12:], version: version, sum: hexLen(format) / 2}
	for range count {
		if err := p.entry(); err != nil {
			return nil, err
		}
	}
	return p.list, p.extensions()
}

// checkIndex checks the ends of an index and returns it without its checksum. A checksum of zeros is
// what git writes with index.skipHash.
func checkIndex(content []byte, format string) ([]byte, error) {
	sum := newHash(format)
	at := len(content) - sum.Size()
	if at < 12 || string(content[:4]) != "DIRC" {
		return nil, errors.New("it is no index")
	}
	if version := binary.BigEndian.Uint32(content[4:]); version < 2 || version > 4 {
		return nil, fmt.Errorf("it has version %d", version)
	}
	sum.Write(content[:at])
	if !bytes.Equal(content[at:], sum.Sum(nil)) && !bytes.Equal(content[at:], make([]byte, sum.Size())) {
		return nil, errors.New("its checksum is wrong")
	}
	return content[:at], nil
}

type indexParser struct {
	left    []byte
	version uint32
	sum     int // bytes of an object's name
	path    string
	paths   int // bytes of all of them
	list    []staged
}

var (
	errShortIndex = errors.New("it ends too early")
	errLongPath   = errors.New("its paths are longer than any file's")
)

// maxPaths is how many bytes all paths of an index may have. In version 4 each may be the one
// before and a letter more: without a limit a small index would take any amount of memory.
const maxPaths = 256 << 20

const (
	indexStat     = 40     // bytes about the file, before the object
	indexMode     = 24     // where the mode is in them
	indexExtended = 0x4000 // flag: two more bytes of flags
	indexPad      = 8
)

// entry reads one entry.
func (p *indexParser) entry() error {
	fixed := indexStat + p.sum + 2
	if len(p.left) < fixed {
		return errShortIndex
	}
	flags := binary.BigEndian.Uint16(p.left[fixed-2:])
	e := staged{
		mode:   binary.BigEndian.Uint32(p.left[indexMode:]),
		object: hex.EncodeToString(p.left[indexStat : fixed-2]),
		stage:  int(flags >> 12 & 3),
	}
	if flags&indexExtended != 0 {
		fixed += 2
	}
	n, err := p.name(fixed)
	if err != nil {
		return err
	}
	if e.mode == 0o40000 {
		return errors.New("it is sparse")
	}
	e.path, p.left = p.path, p.left[n:]
	p.list = append(p.list, e)
	return nil
}

// name reads the path of the entry at the start, whose other parts take fixed bytes, and returns
// the length of the whole.
func (p *indexParser) name(fixed int) (length int, err error) {
	keep := 0
	if p.version == 4 { // it says how much of the path before goes away
		strip, n := offset(p.left[min(fixed, len(p.left)):])
		if n == 0 || strip > len(p.path) {
			return 0, errShortIndex
		}
		fixed, keep = fixed+n, len(p.path)-strip
	}
	end := bytes.IndexByte(p.left[min(fixed, len(p.left)):], 0)
	if end < 0 {
		return 0, errShortIndex
	}
	p.paths += keep + end
	if keep+end > maxPath || p.paths > maxPaths {
		return 0, errLongPath
	}
	p.path = p.path[:keep] + string(p.left[fixed:fixed+end])
	length = fixed + end + 1
	if p.version < 4 {
		length = (fixed + end + indexPad) / indexPad * indexPad
	}
	if length > len(p.left) {
		return 0, errShortIndex
	}
	return length, nil
}

// offset reads a number as packs write them (gitformat-pack(5): offset encoding), and
// returns its length, 0 for none.
func offset(b []byte) (value, length int) {
	for i, c := range b[:min(len(b), 4)] {
		value += int(c & 0x7f)
		if c&0x80 == 0 {
			return value, i + 1
		}
		value = (value + 1) << 7
	}
	return 0, 0
}

// extensions checks that nothing follows without which the entries mean something else: those
// that a reader must know start with a lower-case letter.
func (p *indexParser) extensions() error {
	for len(p.left) > 0 {
		if len(p.left) < 8 {
			return errShortIndex
		}
		name, size := p.left[:4], int64(binary.BigEndian.Uint32(p.left[4:]))
		if name[0] >= 'a' {
			return fmt.Errorf("it has an extension %q", name)
		}
		if size > int64(len(p.left)-8) {
			return errShortIndex
		}
		p.left = p.left[8+size:]
	}
	return nil
}
