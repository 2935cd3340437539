//go:build unix

package plan_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// TestHintsNameRealTargets checks that what a message tells the user to make is
// a target of the Makefile, and that it builds the image that is missing.
func TestHintsNameRealTargets(t *testing.T) {
	images := map[string]string{} // by target
	for _, k := range (toolchain.Set{}).Kinds() {
		images[k.MakeTarget] = k.FirstParty + ":latest"
	}
	for _, a := range agent.All() {
		for _, slim := range []bool{false, true} {
			images[a.MakeTarget(slim)] = a.Image(agent.ImageOptions{Slim: slim})
		}
	}
	for target, image := range images {
		for verb, want := range map[string]string{"": "scripts/images build ", "re": "scripts/images build --no-cache "} {
			name, found := strings.CutPrefix(recipe(t, verb+target), want)
			require.True(t, found, verb+target)
			require.Equal(t, image, tag(t, name), verb+target)
		}
	}
}

// TestPublishTargets checks that each image that can be built can be published.
func TestPublishTargets(t *testing.T) {
	all := strings.Fields(recipe(t, "publish"))[1:]
	var names []string
	for _, a := range agent.All() {
		for _, slim := range []bool{false, true} {
			names = append(names, strings.TrimPrefix(a.MakeTarget(slim), "build-"))
		}
	}
	for _, k := range (toolchain.Set{}).Kinds() {
		names = append(names, strings.TrimPrefix(k.MakeTarget, "build-"))
	}
	require.Len(t, all, len(names))
	for _, name := range names {
		published, found := strings.CutPrefix(recipe(t, "publish-"+name), "scripts/publish ")
		require.True(t, found, name)
		require.Contains(t, all, published)
	}
}

// recipe returns the last command that a target would run.
func recipe(t *testing.T, target string) string {
	t.Helper()
	out, err := exec.Command("make", "--dry-run", "--no-print-directory", "--directory", "../..", target).CombinedOutput()
	require.NoError(t, err, string(out))
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// tag returns the image that scripts/images builds under a name.
func tag(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.Command("../../scripts/images", "tag", name)
	cmd.Env = append(cmd.Environ(), "AIFO_CODER_BUILD_TAG=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return strings.TrimSpace(string(out))
}
