package cli

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/config"
)

func (a *app) configSchemaCmd() *cobra.Command {
	var project bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of the configuration, for editors",
		Long: `Print the JSON schema of your configuration file, or with --project of .aifo-coder.yaml. Editors that use a language
server for YAML complete and check by it when the first line names the file:

  # yaml-language-server: $schema=FILE`,
		Example: `  aifo-coder config schema >~/.config/aifo-coder/schema.json
  aifo-coder config schema --project`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return encodeJSON(cmd.OutOrStdout(), Schema(cmd.Root(), project))
		},
	}
	cmd.Flags().BoolVar(&project, "project", false, "the schema of "+config.ProjectFile)
	return cmd
}

// Schema returns the JSON schema of the user's file, or of a repository's, described in
// the words of the flags of root.
func Schema(root *cobra.Command, project bool) any {
	from := config.User
	if project {
		from = config.Project
	}
	return config.Schema(from, func(key string) config.Property { return property(root.PersistentFlags().Lookup(key)) })
}

// wordsRE is the form in which the usage of a flag names all its values.
var wordsRE = regexp.MustCompile(`^[a-z-]+(\|[a-z-]+)+$`)

// property describes a key by its flag.
func property(f *pflag.Flag) config.Property {
	placeholder, _ := pflag.UnquoteUsage(f)
	p := config.Property{Description: FlagText(f)}
	if wordsRE.MatchString(placeholder) {
		p.Words = strings.Split(placeholder, "|")
	}
	return p
}
