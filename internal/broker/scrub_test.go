package broker

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// scrubbed reads a stream to its end through a scrubber.
func scrubbed(r io.Reader, s secrets) ([]byte, error) {
	return io.ReadAll(&scrubber{r: r, secrets: s, ended: func() {}})
}

func TestSecretsForms(t *testing.T) {
	s := newSecrets("a+b/c\"d-secret-word", "short")
	for _, form := range []string{`a+b/c"d-secret-word`, "a%2Bb%2Fc%22d-secret-word", `a+b/c\"d-secret-word`} {
		require.True(t, s.in("x"+form+"y"), form)
	}
	require.False(t, s.in("short"))
	require.Empty(t, newSecrets("", "ollama"))
}

func TestScrubberError(t *testing.T) {
	failed := errors.New("failed")
	got, err := scrubbed(io.MultiReader(bytes.NewReader([]byte("0123456789a0123456789")), iotest.ErrReader(failed)), newSecrets("0123456789ab"))
	require.ErrorIs(t, err, failed)
	require.Equal(t, "0123456789a0123456789", string(got))
}

// FuzzScrubber wants the same of a stream in any pieces as of the whole: no secret, and
// nothing else changed.
func FuzzScrubber(f *testing.F) {
	f.Add([]byte("aaaaaaaaaaaaab"), "aaaaaaaaaaab", 1)
	f.Add([]byte("x abababababab abababababababab"), "abababababab", 3)
	f.Add(bytes.Repeat([]byte("secret-secret-"), 6000), "secret-secret", 7)
	f.Fuzz(func(t *testing.T, data []byte, word string, size int) {
		s := newSecrets(word)
		want := bytes.Clone(data)
		s.blank(want)
		got, err := scrubbed(&pieces{data: data, size: size}, s)
		if err != nil || len(got) != len(data) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(data), err)
		}
		if len(s) == 1 && !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for i := range got {
			if got[i] != data[i] && got[i] != '*' {
				t.Fatalf("byte %d became %q", i, got[i])
			}
		}
		for _, w := range s {
			if bytes.Contains(got, w) && !bytes.Contains(w, []byte("*")) {
				t.Fatalf("%q holds %q", got, w)
			}
		}
	})
}

// pieces reads at most size bytes at a time.
type pieces struct {
	data []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), max(1, p.size&0xff))], p.data)
	p.data = p.data[n:]
	return n, nil
}

func FuzzPlainPath(f *testing.F) {
	for _, s := range []string{"/broker/openai/v1", "/a/../b", "/a%2fb", "/a%2", "/%", "//", "/a/", "/a%41"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		m := &model{upstream: mustParse("https://a.example/base")}
		if !plainPath(escaped) {
			return
		}
		u, err := m.target(escaped)
		if err != nil {
			t.Fatalf("%q: %v", escaped, err)
		}
		again := mustParse(u.String())
		if again.Host != "a.example" || again.Path != u.Path {
			t.Fatalf("%q leads to %s", escaped, u)
		}
		if clean := again.JoinPath(); len(clean.Path) < len("/base/") || clean.Path[:6] != "/base/" {
			t.Fatalf("%q leads to %s", escaped, clean)
		}
	})
}

func mustParse(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}
