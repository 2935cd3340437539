package cli

import (
	"fmt"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/imageref"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// checkRegistries checks the registries that variables name: an error about the
// image that they become part of would not name them.
func checkRegistries(env hostfacts.Env) error {
	for _, name := range []string{plan.EnvInternalRegistry, plan.EnvMirrorRegistry} {
		registry := strings.TrimSuffix(plan.RegistryPrefix(env, name), "/")
		if registry == "" {
			continue
		}
		if err := imageref.CheckRegistry(registry); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// deprecated returns what is to be said about variables that do nothing any more.
func deprecated(env hostfacts.Env) []string {
	if env.Get("AIFO_GLOBAL_TAG") == "" || env.Get("AIFO_CODER_SUPPRESS_DEPRECATION") == "1" {
		return nil
	}
	return []string{"AIFO_GLOBAL_TAG has no effect; the tag of all images is AIFO_TAG, that of agents AIFO_CODER_IMAGE_TAG, that of toolchains AIFO_TOOLCHAIN_TAG"}
}
