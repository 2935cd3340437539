//go:build linux

package e2e

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// manyCalls is how many calls are under way at once.
const manyCalls = 1000

// A call reads a line, says that it has begun, and goes on when all have.
const manyTool = `
test $# = 1 || exit 0
read -r line
: >"begun/$1"
: <gate
echo "$1 got $line"
cat
echo "$1 complains" >&2
exit $(($1 % 200))
`

const manyAgent = `
tsc && echo READY && read -r
for ((i = 0; i < $1; i++)); do tsc $i <in/$i >out/$i 2>err/$i & calls[i]=$!; done
for ((i = 0; i < $1; i++)); do wait ${calls[i]}; echo $?; done >codes
echo DONE; read -r
`

// TestManyCallsAtOnce has a thousand calls under way, which wait for each other,
// and checks input, both outputs and exit code of each, and that nothing is left
// of them.
func TestManyCallsAtOnce(t *testing.T) {
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) {
			c := loaded(t)
			open := c.manyWorkspace()
			s := c.start(append(flags, "--toolchain", "node", "shell", "--", "bash", "-c", manyAgent, "agent", strconv.Itoa(manyCalls))...)
			before := c.heldFirst(s, "node")
			s.line(t)
			eventually(t, func() bool { return c.begun() == manyCalls }, "all calls are under way")
			open()
			eventually(t, func() bool { return strings.Contains(s.out.String(), "DONE") }, "all calls have ended")
			c.requireManyResults()
			c.requireReleased(s, "node", before, manyCalls/10)
			t.Logf("%d KiB of memory at most", peak(t, s.cmd.Process.Pid))
			s.line(t)
			require.Equal(t, 0, s.end(t), s.out.String())
		})
	}
}

// manyWorkspace prepares the calls and returns what lets them go on.
func (c *caller) manyWorkspace() (open func()) {
	c.t.Helper()
	for _, dir := range []string{"begun", "out", "err"} {
		require.NoError(c.t, os.Mkdir(filepath.Join(c.workspace, dir), 0o755))
	}
	for i := range manyCalls {
		c.write(fmt.Sprintf("in/%d", i), fmt.Sprintf("line of %d\n%s", i, rest(i)))
	}
	c.tool(manyTool)
	return c.gate("gate")
}

// rest is what a call reads after its first line.
func rest(i int) string { return strings.Repeat(fmt.Sprintf("more for %d\n", i), 500) }

func (c *caller) begun() int {
	entries, _ := os.ReadDir(filepath.Join(c.workspace, "begun"))
	return len(entries)
}

func (c *caller) requireManyResults() {
	c.t.Helper()
	codes := strings.Fields(c.read("codes"))
	require.Len(c.t, codes, manyCalls)
	for i, code := range codes {
		require.Equal(c.t, strconv.Itoa(i%200), code, "call %d", i)
		require.Equal(c.t, fmt.Sprintf("%d got line of %d\n%s", i, i, rest(i)), c.read(fmt.Sprintf("out/%d", i)))
		require.Equal(c.t, fmt.Sprintf("%d complains\n", i), c.read(fmt.Sprintf("err/%d", i)))
	}
}

// memoryLimit is how much memory aifo-coder may ever need, in KiB.
const memoryLimit = 64 << 10

// load is how much TestSlowReaders lets tools write.
type load struct {
	slow, stopped int64         // bytes of output
	rounds        int           // of 100 kB each, ten a second, by the slow reader
	others        int           // calls beside
	limit         time.Duration // for all of it
}

// loads are chosen by AIFO_TEST_LOAD: "" is what ends in some seconds, and "full"
// what is promised: 10 GiB, a reader of 1 MB/s for a minute, and one that stops.
var loads = map[string]load{
	"":     {slow: 512 << 20, stopped: 64 << 20, rounds: 30, others: 100, limit: wait},
	"full": {slow: 10 << 30, stopped: 1 << 30, rounds: 600, others: 1000, limit: 10 * time.Minute},
}

// Zeros that were enciphered are as good as random, and can be made here too.
// A number is the last byte of the initial counter.
const slowTool = `
case $1 in
other) read -r line && echo "$2 got $line" && exit $(($2 % 200)) ;;
bytes) openssl enc -aes-128-ctr -K 000102030405060708090a0b0c0d0e0f -iv 00000000000000000000000000000$2 \
	-bufsize 65536 -in /dev/zero 2>/dev/null | head -c "$3" ;;
esac
`

// The slow reader goes on being slow until the other calls have been made, and ends
// only when the test lets it. Its sleep is its rate.
const slowAgent = `
set -o pipefail
slowly() { until ((i++ >= $1)) && test -e calls-done; do head -c 100000; : >slowly; sleep 0.1; done; : <slow-gate; cat; }
never() { head -c 100000; : >stopped; : <gate; cat; }
sum() { openssl dgst -r -sha256; }
tsc other 0 <<<first && echo READY && read -r
{ tsc bytes 101 $1 | slowly $2 | sum >slow.sum; echo $? >slow.code; } &
{ tsc bytes 102 $3 | never | sum >stopped.sum; echo $? >stopped.code; } &
until test -e slowly && test -e stopped; do sleep 0.01; done
for ((i = 0; i < $4; i++)); do tsc other $i <<<"line $i"; echo "code $?"; done >others
: >calls-done
echo OTHERS
wait
echo DONE; read -r
`

// TestSlowReaders has a tool write much to a reader that is slow for a while, and
// another to one that stops: nothing is lost, other calls do not notice, and the
// memory of aifo-coder stays small. AIFO_TEST_LOAD=full makes it last minutes.
func TestSlowReaders(t *testing.T) {
	l, known := loads[os.Getenv("AIFO_TEST_LOAD")]
	require.True(t, known, "AIFO_TEST_LOAD is full or not set")
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) {
			c := loaded(t)
			c.tool(slowTool)
			open, openSlow := c.gate("gate"), c.gate("slow-gate")
			s := c.start(append(flags, append([]string{"--toolchain", "node", "shell", "--", "bash", "-c", slowAgent, "agent"}, l.args()...)...)...)
			before := c.heldFirst(s, "node")
			s.line(t)
			s.until(t, "OTHERS", l.limit)
			require.False(t, c.exists("slow.code") || c.exists("stopped.code"), "the readers were slow enough")
			open()
			openSlow()
			s.until(t, "DONE", l.limit)
			c.requireSlowResults(l, s)
			t.Logf("%d KiB of memory at most", peak(t, s.cmd.Process.Pid))
			require.Less(t, peak(t, s.cmd.Process.Pid), memoryLimit)
			c.requireReleased(s, "node", before, fewThreads)
			s.line(t)
			require.Equal(t, 0, s.end(t), s.out.String())
		})
	}
}

// args are the arguments of slowAgent.
func (l load) args() []string {
	return strings.Fields(fmt.Sprint(l.slow, l.rounds, l.stopped, l.others))
}

// until waits until the agent's script has printed the text.
func (s *session) until(t *testing.T, text string, limit time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(s.out.String(), text) }, limit, 50*time.Millisecond, text)
}

func (c *caller) requireSlowResults(l load, s *session) {
	c.t.Helper()
	require.Equal(c.t, "0\n", c.read("slow.code"), s.out.String())
	require.Equal(c.t, "0\n", c.read("stopped.code"), s.out.String())
	require.Contains(c.t, c.read("slow.sum"), checksum(c.t, 0x101, l.slow))
	require.Contains(c.t, c.read("stopped.sum"), checksum(c.t, 0x102, l.stopped))
	var want strings.Builder
	for i := range l.others {
		fmt.Fprintf(&want, "%d got line %d\ncode %d\n", i, i, i%200)
	}
	require.Equal(c.t, want.String(), c.read("others"))
}

// checksum returns that of slowTool's bytes.
func checksum(t *testing.T, number uint16, size int64) string {
	t.Helper()
	key, iv := make([]byte, aes.BlockSize), make([]byte, aes.BlockSize)
	for i := range key {
		key[i] = byte(i)
	}
	iv[aes.BlockSize-2], iv[aes.BlockSize-1] = byte(number>>8), byte(number)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	zeros, err := os.Open("/dev/zero")
	require.NoError(t, err)
	defer zeros.Close()
	h := sha256.New()
	_, err = io.CopyN(h, cipher.StreamReader{S: cipher.NewCTR(block, iv), R: zeros}, size)
	require.NoError(t, err)
	return fmt.Sprintf("%x", h.Sum(nil))
}
