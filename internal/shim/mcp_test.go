//go:build linux

package shim

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

const upgradedMCP = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: aifo-mcp/1\r\n\r\n"

func TestMCP(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		p := newProxy(t, network, func(p *peer) {
			h := p.request.Header
			if p.request.URL.Path != "/mcp" || h.Get("Upgrade") != "aifo-mcp/1" || h.Get("Authorization") != "Bearer tok" || h.Get("X-Aifo-Proto") != "3" {
				t.Errorf("%s %v", p.request.URL, h)
			}
			p.say(upgradedMCP)
			line, err := bufio.NewReader(p.conn).ReadString('\n')
			if err != nil || line != "request\n" {
				t.Errorf("%q, %v", line, err)
			}
			p.say("answer\n")
			if rest, err := io.ReadAll(p.conn); err != nil || len(rest) > 0 { // the shim ends its side
				t.Errorf("%q, %v", rest, err)
			}
			p.say("late\n")
		})
		cmd, out, errs := shimCmd(t, p.url, "aifo-mcp")
		cmd.Stdin = strings.NewReader("request\n")
		if c := code(t, cmd); c != 0 || out.String() != "answer\nlate\n" || errs.Len() > 0 {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", network, c, out, errs)
		}
	}
}

func TestMCPFails(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		code   int
		stderr string
	}{
		"refused": {"HTTP/1.1 403 Forbidden\r\nX-Exit-Code: 86\r\nContent-Length: 3\r\n\r\nno\n", 86, "aifo-shim: aifo-mcp: no\n"},
		"lost":    {"", 125, "aifo-shim: aifo-mcp: lost the connection to aifo-coder\n"},
		"ended":   {upgradedMCP, 125, "aifo-shim: aifo-mcp: aifo-coder has ended the connection\n"},
	} {
		p := newProxy(t, "tcp", func(p *peer) { p.say(tt.answer) })
		cmd, _, errs := shimCmd(t, p.url, "aifo-mcp")
		in, err := cmd.StdinPipe() // which stays open
		if err != nil {
			t.Fatal(err)
		}
		if c := code(t, cmd); c != tt.code || errs.String() != tt.stderr {
			t.Errorf("%s: exit %d, stderr %q", name, c, errs)
		}
		in.Close()
	}
	cmd, _, errs := shimCmd(t, "", "aifo-mcp")
	if c := code(t, cmd); c != 86 || !strings.Contains(errs.String(), "no toolchain proxy is configured") {
		t.Errorf("exit %d, stderr %q", c, errs)
	}
	cmd, _, errs = shimCmd(t, "http://127.0.0.1:1/exec", "aifo-mcp", "--nothing")
	if c := code(t, cmd); c != exitUsage || !strings.HasPrefix(errs.String(), "usage: aifo-mcp\n") {
		t.Errorf("exit %d, stderr %q", c, errs)
	}
}
