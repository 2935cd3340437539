package toolchain

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
)

const java = `
kind: java
aliases: [jdk]
image: example.org/java:{version}-jdk
version: "21"
tools: [java, javac, mvn]
shared: [make]
places: [/opt/java/bin]
caches:
  - {volume: aifo-maven, link: /home/coder/.m2, env: MAVEN_HOME}
env: {JAVA_OPTS: "-Dmaven={MAVEN_HOME}"}
user: "1001:1001"
probe: [java, -version]
`

func TestBuiltinKindsAreDefinitions(t *testing.T) {
	require.Len(t, builtin(), 5)
	for _, k := range builtin() {
		require.NoError(t, definition{Kind: k}.check(), k.Name)
	}
}

func TestDefine(t *testing.T) {
	set, err := Set{}.With("java.yaml", []byte(java))
	require.NoError(t, err)
	require.Equal(t, []string{"rust", "node", "python", "c-cpp", "go", "java"}, set.Names())
	k, ok := set.Lookup("JDK")
	require.True(t, ok)
	require.Empty(t, cmp.Diff(Kind{
		Name: "java", Aliases: []string{"jdk"}, Official: "example.org/java:{version}-jdk", DefaultVersion: "21",
		Tools: []string{"java", "javac", "mvn"}, Shared: []string{"make"}, Places: []string{"/opt/java/bin"},
		Caches: []Cache{{Volume: "aifo-maven", Link: "/home/coder/.m2", Env: "MAVEN_HOME"}},
		Env:    map[string]string{"JAVA_OPTS": "-Dmaven={MAVEN_HOME}"}, User: "1001:1001", Probe: []string{"java", "-version"},
	}, k))
	require.Equal(t, []string{"java"}, set.Candidates("mvn"))
	require.Equal(t, []string{"c-cpp", "rust", "go", "node", "python", "java"}, set.Candidates("make"))
	require.Contains(t, set.Tools(), "javac")
	require.Contains(t, set.Volumes(), "aifo-maven")

	s, err := set.ParseOne("java@17")
	require.NoError(t, err)
	require.Equal(t, "example.org/java:17-jdk", s.Kind.VersionImage(s.Version))
	require.NotContains(t, Set{}.Names(), "java", "the built-in kinds are as they were")
}

func TestDefineMany(t *testing.T) {
	set, err := Set{}.With("many.yaml", []byte("- {kind: a, image: a, tools: [x]}\n- {kind: b, image: b, tools: [z]}\n- {extends: a, tools: [w]}\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, set.Candidates("w"))
	require.Equal(t, []string{"b"}, set.Candidates("z"))
	_, err = set.ParseOne("a@1")
	require.ErrorContains(t, err, "the kind a has one image, a, and no versions")
}

func TestExtend(t *testing.T) {
	set, err := Set{}.With("more.yaml", []byte(`
extends: rust
aliases: [rs]
tools: [wasm-pack]
env: {CARGO_HOME: /home/coder/other, RUSTFLAGS: -g}
caches: [{volume: aifo-wasm, link: /home/coder/.wasm}]
`))
	require.NoError(t, err)
	k, _ := set.Lookup("rs")
	require.Equal(t, []string{"rust"}, set.Candidates("wasm-pack"))
	require.Equal(t, []string{"rust"}, set.Candidates("cargo"))
	require.Equal(t, map[string]string{"CARGO_HOME": "/home/coder/other", "RUSTFLAGS": "-g"}, k.Env)
	require.Len(t, k.Caches, 3)
	require.Equal(t, "aifo-coder-toolchain-rust", k.FirstParty)
	require.Equal(t, []string{"rust", "node", "python", "c-cpp", "go"}, set.Names())

	set, err = set.With("image.yaml", []byte("{extends: rust, image: 'me/rust:{version}', version: nightly}"))
	require.NoError(t, err)
	k, _ = set.Lookup("rust")
	require.Equal(t, "me/rust:nightly", k.VersionImage(k.DefaultVersion))
	require.Empty(t, k.FirstParty, "another image stands in for ours")
	old, _ := Set{}.Lookup("rust")
	require.NotContains(t, old.Env, "RUSTFLAGS", "the built-in kind is as it was")
}

func TestDefineRefuses(t *testing.T) {
	base := "kind: java\nimage: j\ntools: [java]\n"
	for name, tt := range map[string]struct{ file, want string }{
		"nothing":              {"", "the file defines nothing"},
		"no YAML":              {"a: [", "did not find"},
		"unknown key":          {base + "colour: red\n", `unknown key "colour" in line 4`},
		"key twice":            {base + "image: k\n", `key "image" already defined`},
		"text for a list":      {"{kind: java, image: j, tools: java}", `line 1: "java" cannot stand there: it takes a list`},
		"list for a text":      {base + "user: [1, 2]\n", "line 4: a list cannot stand there: it takes text"},
		"text for a number":    {base + "rank: first\n", `line 4: "first" cannot stand there: it takes a number`},
		"text for a cache":     {base + "caches: [aifo-x]\n", `line 4: "aifo-x" cannot stand there: it takes keys with values`},
		"no definition":        {"java", `line 1: "java" cannot stand there: it takes keys with values`},
		"two documents":        {base + "---\n" + base, "more than one document"},
		"no kind":              {"image: j\ntools: [java]\n", `kind ""`},
		"kind and extends":     {base + "extends: rust\n", `either "kind" or "extends"`},
		"odd kind":             {"{kind: Java, image: j, tools: [java]}", `kind "Java"`},
		"kind like a flag":     {"{kind: -x, image: j, tools: [java]}", `kind "-x"`},
		"known kind":           {"{kind: rust, image: j, tools: [java]}", `"rust" is a name of the kind rust`},
		"known alias":          {"{kind: golang, image: j, tools: [java]}", `"golang" is a name of the kind go`},
		"odd alias":            {base + "aliases: [a@b]\n", `alias "a@b"`},
		"alias of another":     {"{extends: rust, aliases: [node]}", `"node" is a name of the kind node`},
		"name of the agent":    {"{kind: agent, image: j, tools: [java]}", `"agent" is not for a toolchain`},
		"alias of the agent":   {base + "aliases: [agent]\n", `"agent" is not for a toolchain`},
		"extends to the agent": {"{extends: rust, aliases: [agent]}", `"agent" is not for a toolchain`},
		"no image":             {"{kind: java, tools: [java]}", `"image" is missing`},
		"image like a flag":    {"{kind: java, image: --privileged, tools: [java]}", "is not an image reference"},
		"own image with a tag": {"{kind: java, own-image: 'a:b', tools: [java]}", "without a tag"},
		"no default version":   {"{kind: java, image: 'j:{version}', tools: [java]}", `so "version" is needed`},
		"odd version":          {"{kind: java, image: 'j:{version}', version: a/b, tools: [java]}", `"a/b" is not a version`},
		"no tools":             {"{kind: java, image: j}", `no "tools"`},
		"tool with a slash":    {"{kind: java, image: j, tools: [a/b]}", `the tool "a/b"`},
		"tool with a comma":    {"{kind: java, image: j, tools: ['a,b']}", `the tool "a,b"`},
		"shell":                {"{kind: java, image: j, tools: [sh]}", `the tool "sh"`},
		"ours":                 {"{kind: java, image: j, tools: [aifo-run]}", `the tool "aifo-run"`},
		"program of an agent":  {"{kind: java, image: j, tools: [codex]}", `the tool "codex" is an agent's program`},
		"shared with an agent": {"{extends: rust, shared: [aider]}", `the tool "aider" is an agent's program`},
		"tool of another":      {"{kind: java, image: j, tools: [cargo]}", `belongs to the kind rust`},
		"shared tool as own":   {"{kind: java, image: j, tools: [make]}", `the tool "make" is one that several kinds have; it goes under "shared"`},
		"extends with shared":  {"{extends: go, tools: [make]}", `it goes under "shared"`},
		"extends with another": {"{extends: go, tools: [cargo]}", `belongs to the kind rust`},
		"extends nothing":      {"{extends: haskell, tools: [ghc]}", "no such kind to extend; kinds are rust"},
		"relative place":       {base + "places: [bin]\n", `place "bin"`},
		"place in workspace":   {base + "places: [/workspace/bin]\n", `place "/workspace/bin"`},
		"place in a cache":     {base + "places: [/var/cache/aifo/x]\n", `place "/var/cache/aifo/x"`},
		"place with dots":      {base + "places: [/opt/../workspace]\n", `place "/opt/../workspace"`},
		"place with a comma":   {base + "places: ['/a,b']\n", `place "/a,b"`},
		"volume of another":    {base + "caches: [{volume: mysql, link: /home/coder/x}]\n", `cache volume "mysql"`},
		"volume like a path":   {base + "caches: [{volume: aifo-/etc, link: /home/coder/x}]\n", `cache volume "aifo-/etc"`},
		"link to the kernel":   {base + "caches: [{volume: aifo-x, link: /proc/x}]\n", `cache link "/proc/x"`},
		"link to the root":     {base + "caches: [{volume: aifo-x, link: /}]\n", `cache link "/"`},
		"link to the system":   {base + "caches: [{volume: aifo-x, link: /etc}]\n", `cache link "/etc": takes a path below /home/coder`},
		"link to HOME":         {base + "caches: [{volume: aifo-x, link: /home/coder}]\n", `cache link "/home/coder"`},
		"link beside HOME":     {base + "caches: [{volume: aifo-x, link: /home/coder2/x}]\n", `cache link "/home/coder2/x"`},
		"link with dots":       {base + "caches: [{volume: aifo-x, link: /home/coder/../x}]\n", `cache link "/home/coder/../x"`},
		"one volume twice":     {base + "caches: [{volume: aifo-x, link: /home/coder/x}, {volume: aifo-x, link: /home/coder/y}]\n", `two caches have the volume aifo-x`},
		"one link twice":       {base + "caches: [{volume: aifo-x, link: /home/coder/x}, {volume: aifo-y, link: /home/coder/x}]\n", `the cache links /home/coder/x and /home/coder/x are in each other's way`},
		"link in a link":       {base + "caches: [{volume: aifo-x, link: /home/coder/x/y}, {volume: aifo-y, link: /home/coder/x}]\n", "in each other's way"},
		"extends its volume":   {"{extends: go, caches: [{volume: aifo-go, link: /home/coder/x}]}", `two caches have the volume aifo-go`},
		"extends its link":     {"{extends: go, caches: [{volume: aifo-x, link: /home/coder/go}]}", "in each other's way"},
		"cache variable":       {base + "caches: [{volume: aifo-x, link: /home/coder/x, env: LD_PRELOAD}]\n", `"LD_PRELOAD" cannot be set`},
		"cache as PATH":        {base + "caches: [{volume: aifo-x, link: /home/coder/x, env: PATH}]\n", `"PATH" cannot be set`},
		"path":                 {base + "env: {PATH: /x}\n", `"PATH" cannot be set`},
		"user":                 {base + "env: {USER: x}\n", `"USER" cannot be set`},
		"login":                {base + "env: {LOGNAME: x}\n", `"LOGNAME" cannot be set`},
		"runtime directory":    {base + "env: {XDG_RUNTIME_DIR: /x}\n", `"XDG_RUNTIME_DIR" cannot be set`},
		"no such variable":     {base + "env: {A: 'x{NOPE}'}\n", "the variable A has {NOPE}, which no cache of the kind names; none names any"},
		"no such in extends":   {"{extends: go, env: {A: '{NOPE_2}'}}", "has {NOPE_2}, which no cache of the kind names; there is {GOPATH}"},
		"fetch for no tool":    {base + "fetch: [{calls: [java x, mvn y], have: [a], get: [b]}]\n", `"fetch" is for the call "mvn y", but the kind has no tool "mvn"`},
		"variable of ours":     {base + "env: {AIFO_EXEC_ID: x}\n", `"AIFO_EXEC_ID" cannot be set`},
		"home":                 {base + "env: {HOME: /}\n", `"HOME" cannot be set`},
		"root":                 {base + "user: '0:0'\n", `user "0:0"`},
		"group root":           {base + "user: '1:0'\n", `user "1:0"`},
		"user by name":         {base + "user: root\n", `user "root"`},
		"probe of another":     {base + "probe: [rm, -rf]\n", "probe"},
		"host of ours":         {base + "hosts: [127.0.0.1]\n", "hosts"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Set{}.With("my.yaml", []byte(tt.file))
			require.ErrorContains(t, err, tt.want)
			require.True(t, strings.HasPrefix(err.Error(), "my.yaml: "), err)
		})
	}
}

// TestDefineTakes: what is near to something refused.
func TestDefineTakes(t *testing.T) {
	for _, file := range []string{
		"{extends: node, aliases: [ts, js]}",
		"{extends: go, tools: [go, dlv]}",
		"{extends: go, caches: [{volume: aifo-x, link: /home/coder/gopher, env: X}], env: {A: '{GOPATH}/a', B: '{X}'}}",
		`{extends: go, env: {A: '{"a": {}}', B: '{lower}', C: '[0-9]{3}', D: '{ A }'}}`,
		"{extends: go, env: {SHELL: /bin/sh}}",
		"{extends: go, fetch: [{calls: [dlv, go vet, make x], have: [a], get: [b]}], tools: [dlv]}",
	} {
		_, err := Set{}.With("f", []byte(file))
		require.NoError(t, err, file)
	}
}

func TestProgramsOfAllAgents(t *testing.T) {
	for _, a := range agent.All() {
		_, err := Set{}.With("f", []byte("{extends: rust, tools: ["+path.Base(a.Argv[0])+"]}"))
		require.Error(t, err, a.Name)
	}
}
