//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// lookAlike has programs in the places where the images of the examples have
// them, which print their names and what they were given.
const lookAlike = `FROM debian:bookworm-slim
RUN for p in /opt/java/openjdk/bin/java /usr/share/maven/bin/mvn /opt/gradle/bin/gradle /usr/local/bin/ruby /usr/local/bin/bundle \
        /usr/local/bin/php /usr/bin/composer /usr/share/dotnet/dotnet /usr/local/bin/terraform; do \
        mkdir -p "$(dirname "$p")"; \
        printf '#!/bin/sh\necho "$0 $*; ${GRADLE_USER_HOME}${GEM_HOME}${COMPOSER_CACHE_DIR}${NUGET_PACKAGES}${TF_PLUGIN_CACHE_DIR}"\n' > "$p"; \
        chmod 755 "$p"; \
    done
ENV PATH=/opt/java/openjdk/bin:/usr/share/maven/bin:/opt/gradle/bin:/usr/local/bin:/usr/bin:/bin:/usr/share/dotnet
`

// TestToolchainsOfOnesOwn runs the tools that the examples define, by their names
// and by their places, next to a built-in toolchain.
func TestToolchainsOfOnesOwn(t *testing.T) {
	const image = "aifo-test-look-alike:latest"
	c := self(t)
	build := exec.Command("docker", "build", "--quiet", "--force-rm", "--tag", image, "-")
	build.Env, build.Stdin = append(os.Environ(), "DOCKER_BUILDKIT=0"), strings.NewReader(lookAlike)
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() { docker(t, "rmi", "--force", image) })

	flags := toolchains("python")
	for _, kind := range []string{"java", "ruby", "php", "dotnet", "terraform"} {
		file, err := filepath.Abs(filepath.Join("..", "examples", "toolchains", kind+".yaml"))
		require.NoError(t, err)
		flags = append(flags, "--toolchain-define", file, "--toolchain", kind+"="+image)
	}
	defer docker(t, "volume", "rm", "aifo-maven", "aifo-gradle", "aifo-gems", "aifo-composer", "aifo-nuget", "aifo-terraform")
	r := c.script(`
mvn test; gradle build; bundle exec x; composer install; dotnet test; terraform plan
/opt/java/openjdk/bin/java -jar x; /usr/share/dotnet/dotnet run; /bin/terraform plan
python -c 'print("python as ever")'
aifo-run tf sh -c 'echo "in $PWD"; touch here'
`, flags...)
	require.Equal(t, 0, r.code)
	uid := strconv.Itoa(c.uid)
	require.Equal(t, `/usr/share/maven/bin/mvn test; /var/cache/aifo/gradle/UID
/opt/gradle/bin/gradle build; /var/cache/aifo/gradle/UID
/usr/local/bin/bundle exec x; /var/cache/aifo/gems/UID
/usr/bin/composer install; /var/cache/aifo/composer/UID
/usr/share/dotnet/dotnet test; /var/cache/aifo/nuget/UID
/usr/local/bin/terraform plan; /var/cache/aifo/terraform/UID
/opt/java/openjdk/bin/java -jar x; /var/cache/aifo/gradle/UID
/usr/share/dotnet/dotnet run; /var/cache/aifo/nuget/UID
/usr/local/bin/terraform plan; /var/cache/aifo/terraform/UID
python as ever
in /workspace
`, strings.ReplaceAll(r.stdout, "/"+uid+"\n", "/UID\n"))
	c.requireOwned(c.workspace)
}

// TestExampleDefinitions reads all examples, each by itself and all together.
func TestExampleDefinitions(t *testing.T) {
	files, err := filepath.Glob("../examples/toolchains/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all toolchain.Set
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		_, err = toolchain.Set{}.With(file, data)
		require.NoError(t, err)
		all, err = all.With(file, data)
		require.NoError(t, err)
	}
}
