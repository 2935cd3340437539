//go:build linux

package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stranger is a user that no image knows.
const stranger = "4321:4321"

// imageTag returns the name of an image that this project builds.
func imageTag(t *testing.T, name string) string {
	t.Helper()
	needEngine(t)
	out, err := exec.Command("../scripts/images", "tag", name).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// inImage runs a shell script in a container without a network, as a user that the image
// does not know, and returns what it printed.
func inImage(t *testing.T, image, script string) string {
	t.Helper()
	return docker(t, "run", "--rm", "--network", "none", "--user", stranger, "--entrypoint", "sh", image, "-euc", helpers+script)
}

// helpers are functions for the scripts: what must fail, and what must not be there. With
// a plain "!" the shell would go on.
const helpers = `
fails() { if "$@"; then echo "this should fail: $*"; return 1; fi; }
absent() { for program; do fails command -v "$program"; done; }
`

// imageScripts use each tool of an image.
var imageScripts = map[string]string{
	"rust": `
cargo init --quiet --vcs none --name tiny /tmp/tiny && cd /tmp/tiny
cargo run --quiet --offline && cargo test --quiet --offline
cargo clippy --quiet --offline -- -D warnings && cargo fmt --check
for ld in lld mold; do RUSTFLAGS="-C link-arg=-fuse-ld=$ld" cargo build --quiet --offline --target-dir $ld; done
test -z "${RUSTC_WRAPPER:-}"
RUSTC_WRAPPER=sccache cargo build --quiet --offline --target-dir sccache
sccache --stop-server >/dev/null
rust-analyzer analysis-stats --skip-inference . >/dev/null`,
	"node": `
cd /tmp && mkdir tiny && cd tiny && echo '{"license":"MIT"}' >package.json
yarn --version && pnpm --version && corepack --version
npm install --silent && { npm --version && npx --version && npm ci --no-audit; } 2>said; cat said && test ! -s said
yarn install --silent && pnpm install --silent
echo 'const n: number = 3; console.log(n)' >n.ts && ts-node n.ts && tsc n.ts && node n.js
echo '{"targets":[{"target_name":"native","sources":["n.cc"]}]}' >binding.gyp
printf '#include <node_api.h>\nNAPI_MODULE_INIT() { return exports; }\n' >n.cc
"$(npm root --global)/npm/node_modules/node-gyp/bin/node-gyp.js" rebuild && node -e 'require("./build/Release/native.node")'`,
	"python": `
cd /tmp && python -m venv .venv && .venv/bin/pip --version && pip --version
python -c 'import ssl, sqlite3, ctypes, lzma, readline'`,
	"c-cpp": `
cd /tmp && echo 'int main(void) { return 0; }' >a.c && cp a.c a.cpp
cc a.c && c++ a.cpp && clang a.c && clang++ a.cpp && ccache gcc -c a.c
printf 'cmake_minimum_required(VERSION 3.10)\nproject(a C)\nadd_executable(a a.c)\n' >CMakeLists.txt
cmake -G Ninja -B build . && cmake --build build && build/a && make --version
clangd --version && gdb --version && pkg-config --version`,
	"go": `
mkdir /tmp/tiny && cd /tmp/tiny && go mod init tiny && printf 'package main\n\nfunc main() {}\n' >main.go
go build && ./tiny && go vet && test -z "$(gofmt -l .)" && gopls version
printf 'package main\n\nimport "C"\n' >c.go && CGO_ENABLED=1 go build`,
	"shell": `
git --version && rg --version && ssh -V && curl --version && jq --version && tmux -V && ps && vi --version
absent python3 node cc`,
	"shell-slim": `
git --version && rg --version && ssh -V && less --version && patch --version
absent curl vi tmux python3 node cc`,
	"codex":         `codex --version; absent node python3`,
	"codex-slim":    `codex --version; absent node python3 curl`,
	"opencode":      `opencode --version; absent node python3 bun`,
	"opencode-slim": `opencode --version; absent node python3 bun curl`,
}

// TestImages uses the tools of each image as a user that it does not know, without a
// network: nothing is fetched at the first call.
func TestImages(t *testing.T) {
	for name, script := range imageScripts {
		t.Run(name, func(t *testing.T) {
			t.Log(inImage(t, imageTag(t, name), `test -w "$HOME" && test -w /workspace`+"\n"+script))
		})
	}
}

func TestImageLabels(t *testing.T) {
	for name := range imageScripts {
		t.Run(name, func(t *testing.T) {
			var labels map[string]string
			out := docker(t, "image", "inspect", "--format", "{{json .Config.Labels}}", imageTag(t, name))
			require.NoError(t, json.Unmarshal([]byte(out), &labels))
			for _, label := range []string{"title", "description", "version", "source", "licenses", "base.name"} {
				require.NotEmpty(t, labels["org.opencontainers.image."+label], label)
			}
		})
	}
}

// TestLookAlikes checks that what stands for the official images has their layout, and
// not that of our own.
func TestLookAlikes(t *testing.T) {
	for name, script := range map[string]string{
		"test-rust": `
test "$(command -v cargo)" = /usr/local/cargo/bin/cargo && test "$CARGO_HOME:$RUSTUP_HOME" = /usr/local/cargo:/usr/local/rustup
cd /tmp && cargo init --quiet --vcs none --name tiny tiny && cd tiny && cargo run --quiet --offline
fails cargo clippy && fails cargo fmt
rustup component add clippy rustfmt && cargo clippy --quiet --offline && cargo fmt --check
rustup component list --installed | grep -x "clippy-$(uname -m)-unknown-linux-gnu"
test "$(CARGO_HOME=/nowhere rustup which --toolchain 1.80.0 cargo-fmt)" = "$(echo /usr/local/rustup/toolchains/1.80.0-*/bin/cargo-fmt)"
fails cargo +1.79 fmt && fails rustup which rust-analyzer && fails rustup component add rust-analyzer
fails rust-analyzer --version; absent git`,
		"test-node": `
test "$(command -v node)" = /usr/local/bin/node && node --version && npm --version && npx --version && yarn --version
docker-entrypoint.sh --version && docker-entrypoint.sh true
absent git python3 cc`,
		"test-python": `
test "$(command -v python3)" = /usr/local/bin/python3 && pip --version && python3 -m venv /tmp/v && /tmp/v/bin/pip --version
python -c 'import ssl, sqlite3, ctypes, lzma, readline'
fails ls /usr/bin/python3; absent git`,
		"test-go": `
test "$(command -v go)" = /usr/local/go/bin/go && test "$(go env GOROOT)" = /usr/local/go && test -w /go
mkdir /tmp/tiny && cd /tmp/tiny && HOME=/tmp go mod init tiny && printf 'package main\n\nfunc main() {}\n' >main.go
HOME=/tmp go build && HOME=/tmp go vet && ./tiny
absent gopls; fails ls /usr/bin/go`,
	} {
		t.Run(name, func(t *testing.T) {
			image := imageTag(t, name)
			t.Log(inImage(t, image, script))
			require.Equal(t, "/root root", docker(t, "run", "--rm", "--entrypoint", "sh", image, "-c", `echo "$HOME" $(stat -c %U /root)`))
			inImage(t, image, `absent curl wget; test ! -e /home/coder; test ! -e /workspace; fails touch /root/x`)
		})
	}
}

// privateTag lets scripts/images build under a tag of the test's own, and removes what
// was built. It returns the environment for that.
func privateTag(t *testing.T) []string {
	t.Helper()
	needEngine(t)
	tag := fmt.Sprintf("e2e-%x", time.Now().UnixNano())
	t.Cleanup(func() {
		images := strings.Fields(docker(t, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=*:"+tag))
		if len(images) != 0 {
			docker(t, append([]string{"image", "rm"}, images...)...)
		}
	})
	return append(os.Environ(), "AIFO_CODER_BUILD_TAG="+tag)
}

// script runs a script of the project and returns what it printed.
func projectScript(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command("../scripts/"+name, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func requireScript(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := projectScript(env, name, args...)
	require.NoError(t, err, out)
	return out
}

// printsItself is a program of a Python package that prints its name and its interpreter.
const printsItself = "import os, sys\nprint(os.path.basename(sys.argv[0]), sys.executable)\n"

// wheel returns a Python package with the programs, by name.
func wheel(t *testing.T, name, version string, programs map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	add := func(file, content string) {
		header := &zip.FileHeader{Name: file}
		header.SetMode(0o755)
		f, err := w.CreateHeader(header)
		require.NoError(t, err)
		_, err = io.WriteString(f, content)
		require.NoError(t, err)
	}
	info := name + "-" + version + ".dist-info/"
	add(info+"METADATA", fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version))
	add(info+"WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
	add(info+"RECORD", "")
	for program, content := range programs {
		add(name+"-"+version+".data/scripts/"+program, "#!python\n"+content)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// packageIndex serves Python packages, by the names of their files, as PyPI does.
func packageIndex(wheels map[string][]byte) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		for file := range wheels {
			project, _, _ := strings.Cut(file, "-")
			if r.URL.Path == "/simple/"+strings.ReplaceAll(project, "_", "-")+"/" {
				fmt.Fprintf(w, `<a href="/files/%[1]s">%[1]s</a>`, file)
			}
		}
	})
	mux.HandleFunc("/files/{file}", func(w http.ResponseWriter, r *http.Request) {
		file := r.PathValue("file")
		http.ServeContent(w, r, file, time.Time{}, bytes.NewReader(wheels[file]))
	})
	return mux
}

// TestBuildBehindPrivateCA builds an image from a registry whose certificate only the
// host's bundle vouches for. The build trusts it, the image does not know of it, and its
// key does not depend on it.
func TestBuildBehindPrivateCA(t *testing.T) {
	env := privateTag(t)
	server := httptest.NewTLSServer(packageIndex(map[string][]byte{
		"uv-0.0.1-py3-none-any.whl": wheel(t, "uv", "0.0.1", map[string]string{"uv": printsItself, "uvx": printsItself}),
	}))
	defer server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	require.NoError(t, os.WriteFile(bundle, certificate, 0o600))
	env = append(env, "PIP_INDEX_URL="+server.URL+"/simple", "no_proxy=127.0.0.1")
	build := []string{"build", "--build-arg", "UV_VERSION=0.0.1", "python"}

	for _, none := range []string{"off", filepath.Join(t.TempDir(), "absent.pem")} {
		out, err := projectScript(append(env, "SSL_CERT_FILE="+bundle, "AIFO_CODER_CA_BUNDLE="+none), "images", build...)
		require.Error(t, err, out)
	}
	requireScript(t, append(env, "AIFO_CODER_CA_BUNDLE="+bundle), "images", build...)
	requireScript(t, append(env, "AIFO_CODER_CA_BUNDLE=", "SSL_CERT_FILE="+bundle), "images", build...)

	image := requireScript(t, env, "images", "tag", "python")
	require.Equal(t, "uv", strings.Fields(inImage(t, image, "uv"))[0])
	requireNotInImage(t, image, strings.Split(string(certificate), "\n")[3])
	list := requireScript(t, env, "images", "list")
	require.Regexp(t, `(?m)^python +`+image+` +present$`, list)
}

// TestBuildBehindProxy builds an image from a registry that only a proxy on the host's
// loopback reaches. The image does not know of the proxy.
func TestBuildBehindProxy(t *testing.T) {
	index := packageIndex(map[string][]byte{
		"uv-0.0.2-py3-none-any.whl": wheel(t, "uv", "0.0.2", map[string]string{"uv": printsItself, "uvx": printsItself}),
	})
	elsewhere := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "index.invalid" {
			index.ServeHTTP(w, r)
			return
		}
		elsewhere.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	env := append(privateTag(t), "http_proxy="+proxy.URL, "no_proxy=", "PIP_INDEX_URL=http://index.invalid/simple",
		"PIP_TRUSTED_HOST=index.invalid")
	requireScript(t, env, "images", "build", "--build-arg", "UV_VERSION=0.0.2", "python")
	image := requireScript(t, env, "images", "tag", "python")
	inImage(t, image, `uv; test -z "${http_proxy:-}"`)
	require.NotContains(t, docker(t, "image", "history", "--no-trunc", image), proxy.URL)
	require.NotContains(t, docker(t, "image", "inspect", image), proxy.URL)
}

// requireNotInImage checks that no layer, nor the configuration, holds the text.
func requireNotInImage(t *testing.T, image, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	docker(t, "save", "--output", file, image)
	out, err := exec.Command("grep", "--text", "--count", "--fixed-strings", text, file).Output()
	require.Error(t, err, "the image holds the text")
	require.Equal(t, "0", strings.TrimSpace(string(out)))
}

// standInUV does of uv what a Dockerfile asks of it, with the interpreter that runs it.
const standInUV = `
import os, subprocess, sys
args = sys.argv[1:]
if args[0] == "venv":
    os.makedirs(os.environ["UV_PYTHON_INSTALL_DIR"])
    subprocess.check_call(["/usr/bin/python3", "-m", "venv", "--copies", args[-1]])
else:
    python = args[args.index("--python") + 1]
    subprocess.check_call([python, "-m", "pip", "install", "--index-url", os.environ["UV_DEFAULT_INDEX"], args[-1]])
`

// TestPythonAgentImages builds the images of the agents that are written in Python from a
// package index with stand-ins for them: an agent starts with an interpreter of its own,
// and there is no other.
func TestPythonAgentImages(t *testing.T) {
	server := httptest.NewServer(packageIndex(map[string][]byte{
		"aider_chat-0.86.2-py3-none-any.whl": wheel(t, "aider_chat", "0.86.2", map[string]string{"aider": printsItself}),
		"openhands-1.16.0-py3-none-any.whl":  wheel(t, "openhands", "1.16.0", map[string]string{"openhands": printsItself}),
		"uv-0.13.8-py3-none-any.whl":         wheel(t, "uv", "0.13.8", map[string]string{"uv": standInUV}),
	}))
	defer server.Close()
	env := append(privateTag(t), "PIP_INDEX_URL="+server.URL+"/simple", "UV_PYTHON_INSTALL_MIRROR="+server.URL, "no_proxy=127.0.0.1")
	requireScript(t, env, "images", "build", "aider-slim", "openhands-slim")
	for agent, script := range map[string]string{
		"aider":     `/opt/venv/bin/aider; /opt/venv/bin/python -c 'import ssl, sqlite3, ctypes, lzma, readline, dbm.ndbm'`,
		"openhands": `head -n 1 /opt/venv-openhands/bin/openhands`,
	} {
		out := inImage(t, requireScript(t, env, "images", "tag", agent+"-slim"), script+`
absent python python3; fails ls /usr/bin/python3 && fails ls /usr/local/bin/python3`)
		require.Regexp(t, `/opt/venv(-openhands)?/bin/python`, out)
	}
}

// TestPlandexImage compiles a stand-in for Plandex that is cloned from a server of the
// test's own.
func TestPlandexImage(t *testing.T) {
	env := privateTag(t)
	root := t.TempDir()
	command := exec.Command("sh", "-euc", `
git init --quiet plandex && cd plandex && mkdir -p app/cli/version && cd app/cli
printf 'module plandex-cli\n\ngo 1.23\n' >go.mod
printf 'package version\n\nvar Version = "source"\n' >version/version.go
printf 'package main\n\nimport "plandex-cli/version"\n\nfunc main() { println(version.Version) }\n' >main.go
git add . && git -c user.name=a -c user.email=a@example.org commit --quiet --message first && git tag cli/v2.2.1`)
	command.Dir = root
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
	out, err = exec.Command("git", "--exec-path").Output()
	require.NoError(t, err)
	server := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
	})
	defer server.Close()
	env = append(env, "PLANDEX_REPOSITORY="+server.URL+"/plandex/.git", "no_proxy=127.0.0.1")
	requireScript(t, env, "images", "build", "plandex-slim")
	require.Equal(t, "2.2.1", inImage(t, requireScript(t, env, "images", "tag", "plandex-slim"), "absent go; plandex"))
}

// TestUnreachableSource checks that nothing is built of an image whose source is out of
// reach, and that the message says which source that is.
func TestUnreachableSource(t *testing.T) {
	env := append(privateTag(t), "PIP_INDEX_URL=http://127.0.0.1:1/simple", "no_proxy=127.0.0.1")
	out, err := projectScript(env, "images", "build", "shell-slim", "aider")
	require.Error(t, err)
	require.Contains(t, out, "PyPI (http://127.0.0.1:1/simple/) cannot be reached: the image 'aider' cannot be built here")
	require.Regexp(t, `(?m)^shell-slim .* missing$`, requireScript(t, env, "images", "list"))
}
