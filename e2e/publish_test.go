//go:build linux

package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"
)

// descriptor names a part of an OCI image.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

// readTar returns the files of an archive whose digests are their names as sizes, and the
// others with their content. It checks each digest.
func readOCIArchive(t *testing.T, file string) (blobs map[string][]byte, sizes map[string]int64, files map[string][]byte) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	blobs, sizes, files = map[string][]byte{}, map[string]int64{}, map[string][]byte{}
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return blobs, sizes, files
		}
		require.NoError(t, err)
		if header.Typeflag != tar.TypeReg {
			continue
		}
		name, isBlob := strings.CutPrefix(header.Name, "blobs/sha256/")
		hash, head := sha256.New(), &limitedBuffer{}
		size, err := io.Copy(io.MultiWriter(hash, head), r)
		require.NoError(t, err)
		if !isBlob {
			files[header.Name] = head.Bytes()
			continue
		}
		require.Equal(t, name, hex.EncodeToString(hash.Sum(nil)))
		sizes["sha256:"+name], blobs["sha256:"+name] = size, head.Bytes()
	}
}

// limitedBuffer keeps the beginning: a manifest whole, a layer in part.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if room := 1<<20 - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// TestPublishArchive reads the archive by the letter of OCI's specification, and with
// skopeo where it is installed.
func TestPublishArchive(t *testing.T) {
	image := imageTag(t, "shell-slim")
	out, err := publishScript("PUSH=1", "REGISTRY=", "AIFO_CODER_REGISTRY_PREFIX=", "PLATFORMS=").run("shell-slim")
	require.NoError(t, err, out)
	file := filepath.Join("..", out)
	t.Cleanup(func() { require.NoError(t, os.Remove(file)) })
	require.Equal(t, "../dist/"+strings.ReplaceAll(image, ":", "-")+".oci.tar", file)

	blobs, sizes, files := readOCIArchive(t, file)
	require.JSONEq(t, `{"imageLayoutVersion":"1.0.0"}`, string(files["oci-layout"]))
	var index struct {
		SchemaVersion int          `json:"schemaVersion"`
		Manifests     []descriptor `json:"manifests"`
	}
	require.NoError(t, json.Unmarshal(files["index.json"], &index))
	require.Len(t, index.Manifests, 1)
	require.Equal(t, "application/vnd.oci.image.manifest.v1+json", index.Manifests[0].MediaType)
	_, tag, _ := strings.Cut(image, ":")
	require.Equal(t, tag, index.Manifests[0].Annotations["org.opencontainers.image.ref.name"])
	var manifest struct {
		SchemaVersion int          `json:"schemaVersion"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}
	require.NoError(t, json.Unmarshal(blobs[index.Manifests[0].Digest], &manifest))
	require.Equal(t, []int{2, 2}, []int{index.SchemaVersion, manifest.SchemaVersion})
	require.Equal(t, "application/vnd.oci.image.config.v1+json", manifest.Config.MediaType)
	for _, d := range append(manifest.Layers, manifest.Config, index.Manifests[0]) {
		require.Equal(t, d.Size, sizes[d.Digest], d.Digest)
	}
	for _, d := range manifest.Layers {
		require.Equal(t, "application/vnd.oci.image.layer.v1.tar+gzip", d.MediaType)
	}
	require.Equal(t, imageConfig(t, image), configOf(t, blobs[manifest.Config.Digest]))
	readWithSkopeo(t, file)
}

// runConfig is what of an image's configuration a container depends on.
type runConfig struct {
	Env, Cmd, Entrypoint []string
	WorkingDir           string
	Labels               map[string]string
}

func imageConfig(t *testing.T, image string) runConfig {
	t.Helper()
	var c runConfig
	require.NoError(t, json.Unmarshal([]byte(docker(t, "image", "inspect", "--format", "{{json .Config}}", image)), &c))
	return c
}

func configOf(t *testing.T, blob []byte) runConfig {
	t.Helper()
	var c struct {
		Config runConfig `json:"config"`
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	require.NoError(t, json.Unmarshal(blob, &c))
	require.NotEmpty(t, c.Rootfs.DiffIDs)
	return c.Config
}

// readWithSkopeo reads the archive with a program that is not ours.
func readWithSkopeo(t *testing.T, file string) {
	t.Helper()
	t.Run("skopeo", func(t *testing.T) {
		skopeo := hostProgram(t, "skopeo")
		out, err := exec.Command(skopeo, "inspect", "oci-archive:"+file).CombinedOutput()
		require.NoError(t, err, string(out))
		// A copy reads each layer and compares it with its digests.
		out, err = exec.Command(skopeo, "copy", "--insecure-policy", "oci-archive:"+file, "dir:"+t.TempDir()).CombinedOutput()
		require.NoError(t, err, string(out))
	})
}

// publishing is a run of scripts/publish with its variables.
type publishing []string

func publishScript(env ...string) publishing { return append(os.Environ(), env...) }

// run returns what the script printed on standard output, with its messages when it failed.
func (p publishing) run(names ...string) (string, error) {
	cmd := exec.Command("../scripts/publish", names...)
	var out, messages bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = p, &out, &messages
	if err := cmd.Run(); err != nil {
		return out.String() + messages.String(), err
	}
	return strings.TrimSpace(out.String()), nil
}

// TestPublishPush pushes an image to a registry and pulls it back by its digest.
func TestPublishPush(t *testing.T) {
	image := imageTag(t, "shell-slim")
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	out, err := publishScript("PUSH=1", "REGISTRY=", "AIFO_CODER_REGISTRY_PREFIX="+host+"/team/", "PLATFORMS=").run("shell-slim")
	require.NoError(t, err, out)
	require.Equal(t, host+"/team/"+image, out)
	name, tag, _ := strings.Cut(image, ":")
	require.Empty(t, docker(t, "image", "ls", "--quiet", host+"/team/"+name), "the name for the push stays")

	answer, err := http.Head(server.URL + "/v2/team/" + name + "/manifests/" + tag)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	pushed := host + "/team/" + name + "@" + answer.Header.Get("Docker-Content-Digest")
	docker(t, "pull", "--quiet", pushed)
	defer docker(t, "image", "rm", pushed)
	const id = "{{.Id}}"
	require.Equal(t, docker(t, "image", "inspect", "--format", id, image), docker(t, "image", "inspect", "--format", id, pushed))
}

// TestPublishRefuses checks what is refused before anything is built or sent.
func TestPublishRefuses(t *testing.T) {
	imageTag(t, "shell-slim")
	const none = "is not a registry"
	for variable, want := range map[string]string{
		"REGISTRY=team":                                "would be a name on Docker Hub",
		"REGISTRY=team/a":                              "would be a name on Docker Hub",
		"AIFO_CODER_REGISTRY_PREFIX=team":              "would be a name on Docker Hub",
		"REGISTRY=https://registry.example.org":        "is an address",
		"REGISTRY=REG.example.org/Team":                none,
		"REGISTRY=reg.example.org/a b":                 none,
		"REGISTRY=-x.example":                          none,
		"REGISTRY=reg.example.org//":                   none,
		"REGISTRY=x:y":                                 none,
		"REGISTRY=reg.example.org:65536":               none,
		"REGISTRY=reg.example.org/a:tag":               none,
		"REGISTRY=r\u00e9.example":                     none,
		"REGISTRY=user:canary@reg.example.org/team":    "docker login",
		"REGISTRY=https://user:canary@reg.example.org": "docker login",
		"PUSH=yes": "PUSH=yes",
	} {
		t.Run(variable, func(t *testing.T) {
			noDocker := t.TempDir() // which is asked nothing
			require.NoError(t, os.WriteFile(filepath.Join(noDocker, "docker"), []byte("#!/bin/sh\necho docker was asked\nexit 1\n"), 0o755))
			out, err := publishScript("PATH="+noDocker+":"+os.Getenv("PATH"), "PUSH=", "REGISTRY=", "AIFO_CODER_REGISTRY_PREFIX=", variable).run("shell-slim")
			require.Error(t, err)
			require.Contains(t, out, want)
			require.Equal(t, 1, strings.Count(out, "error: "), out)
			require.NotContains(t, out, "canary")
			require.NotContains(t, out, "docker was asked")
		})
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(fakeDocker), 0o755))
	for _, registry := range []string{"localhost", "localhost:5000/a", "[::1]:5000/a", "reg.example.org/team/a-b/", "docker.io/team", "registry:5000"} {
		out, err := publishScript("PATH="+dir+":"+os.Getenv("PATH"), "PUSH=0", "REGISTRY="+registry, "PLATFORMS=linux/arm64").run("shell-slim")
		require.NoError(t, err, out)
		require.Empty(t, out)
	}
	if exec.Command("docker", "buildx", "version").Run() != nil {
		out, err := publishScript("PUSH=1", "REGISTRY=", "PLATFORMS=linux/amd64,linux/arm64").run("shell-slim")
		require.Error(t, err)
		require.Contains(t, out, "needs docker buildx, which is not installed")
	}
	out, err := publishScript("REGISTRY=", "AIFO_CODER_REGISTRY_PREFIX=", "PLATFORMS=").run("shell-slim")
	require.NoError(t, err)
	require.Empty(t, out, "published without PUSH=1")
}

// fakeDocker stands for a docker with buildx that has no images, and notes how it is
// asked to build.
const fakeDocker = `#!/bin/sh
case $1 in
    version) echo linux/amd64 ;;
    context) echo default ;;
    image | manifest) exit 1 ;;
    build) shift; printf '%s\n' "$@" >>"$FAKE_DOCKER_LOG"; cat >/dev/null ;;
esac
`

// TestPublishPlatforms checks what buildx is asked for: an image for other machines
// starts from the ones in the registry, and goes there at once.
func TestPublishPlatforms(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(fakeDocker), 0o755))
	for name, tt := range map[string]struct {
		registry, image, printed string
		args                     []string
	}{
		"a toolchain to a file": {
			"", "c-cpp", "dist/aifo-cpp-toolchain-latest.oci.tar",
			[]string{"BASE=debian:bookworm-slim", "aifo-cpp-toolchain:latest", "type=oci,dest=dist/aifo-cpp-toolchain-latest.oci.tar"},
		},
		"an agent to a registry": {
			"registry.example.org/team", "codex-slim", "registry.example.org/team/aifo-coder-codex-slim:latest",
			[]string{
				"BASE=registry.example.org/team/aifo-coder-shell-slim:latest", "registry.example.org/team/aifo-coder-codex-slim:latest",
				"BUILDER=registry.example.org/team/aifo-coder-toolchain-node:latest", "type=registry",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			out, err := publishScript("PATH="+dir+":"+os.Getenv("PATH"), "FAKE_DOCKER_LOG="+log, "AIFO_CODER_BUILD_CACHE="+t.TempDir(),
				"AIFO_CODER_BUILD_TAG=", "PUSH=1", "REGISTRY="+tt.registry, "AIFO_CODER_REGISTRY_PREFIX=", "PLATFORMS=linux/amd64,linux/arm64",
			).run(tt.image)
			require.NoError(t, err, out)
			require.Equal(t, tt.printed, out)
			args, err := os.ReadFile(log)
			require.NoError(t, err)
			require.Equal(t, append(tt.args, "linux/amd64,linux/arm64"), notable(string(args)))
		})
	}
	out, err := publishScript("PATH="+dir+":"+os.Getenv("PATH"), "PUSH=1", "REGISTRY=", "AIFO_CODER_REGISTRY_PREFIX=", "PLATFORMS=linux/arm64").run("codex")
	require.Error(t, err)
	require.Contains(t, out, "which must be in a registry")
}

// notable returns the values of the options that say what is built from what, and where
// it goes, each kind in its place.
func notable(args string) []string {
	var found []string
	lines := strings.Split(args, "\n")
	for _, wanted := range []struct{ option, prefix string }{
		{"--build-arg", "BASE="}, {"--tag", ""}, {"--build-arg", "BUILDER="}, {"--output", ""}, {"--platform", ""},
	} {
		for i, line := range lines[1:] {
			if lines[i] == wanted.option && strings.HasPrefix(line, wanted.prefix) {
				found = append(found, line)
			}
		}
	}
	return found
}
