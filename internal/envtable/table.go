package envtable

const meaning = "Meaning"

// read is what aifo-coder reads.
var read = []Group{
	{Title: "Images of agents", Heading: meaning, Variables: []Variable{
		{Names: []string{"AIFO_CODER_IMAGE", "AIFO_CODER_AGENT_IMAGE"}, Flag: "image"},
		{Names: []string{"AIFO_CODER_ENGINE"}, Flag: "engine"},
		{Names: []string{"AIFO_CODER_IMAGE_FLAVOR"}, Flag: "flavor", Default: "`full`"},
		{Names: []string{"AIFO_CODER_IMAGE_PREFIX"}, Meaning: "first part of the agents' image names", Default: "`aifo-coder`"},
		{Names: []string{"AIFO_CODER_IMAGE_TAG", "AIFO_TAG", "AIFO_CODER_AGENT_TAG"}, Meaning: "tag of the agents' images", Default: "`latest`"},
	}},
	{Title: "Images of toolchains", Heading: meaning, Variables: []Variable{
		{
			Names:   []string{"AIFO_RUST_TOOLCHAIN_VERSION", "AIFO_NODE_TOOLCHAIN_VERSION", "AIFO_PYTHON_TOOLCHAIN_VERSION", "AIFO_CPP_TOOLCHAIN_VERSION", "AIFO_CCPP_TOOLCHAIN_VERSION", "AIFO_GO_TOOLCHAIN_VERSION"},
			Each:    true,
			Meaning: "version of a toolchain for which the flags give neither version nor image",
		},
		{
			Names:   []string{"AIFO_RUST_TOOLCHAIN_IMAGE", "AIFO_NODE_TOOLCHAIN_IMAGE", "AIFO_PYTHON_TOOLCHAIN_IMAGE", "AIFO_CPP_TOOLCHAIN_IMAGE", "AIFO_CCPP_TOOLCHAIN_IMAGE", "AIFO_GO_TOOLCHAIN_IMAGE"},
			Each:    true,
			Meaning: "the same for its image",
		},
		{
			Names:   []string{"AIFO_RUST_TOOLCHAIN_USE_OFFICIAL", "AIFO_NODE_TOOLCHAIN_USE_OFFICIAL", "AIFO_PYTHON_TOOLCHAIN_USE_OFFICIAL", "AIFO_GO_TOOLCHAIN_USE_OFFICIAL"},
			Each:    true,
			Meaning: "`1`: the official image although ours is present",
		},
		{
			Names:   []string{"RUST_TOOLCHAIN_TAG", "NODE_TOOLCHAIN_TAG", "PYTHON_TOOLCHAIN_TAG", "CPP_TOOLCHAIN_TAG", "CCPP_TOOLCHAIN_TAG", "GO_TOOLCHAIN_TAG"},
			Each:    true,
			Meaning: "our image of the toolchain, with this tag; then `AIFO_TOOLCHAIN_TAG`, then `AIFO_TAG`",
		},
		{Names: []string{"AIFO_TOOLCHAIN_TAG", "AIFO_TAG"}, Meaning: "our images of all toolchains, with this tag"},
		{Names: []string{"AIFO_CODER_INTERNAL_REGISTRY_PREFIX"}, Meaning: "the registry of our own images, `HOST[:PORT][/PATH]`; without it they are never pulled. The host has a dot or a port, or is `localhost`: a name without one would be on Docker Hub, and is refused"},
		{Names: []string{"AIFO_CODER_MIRROR_REGISTRY_PREFIX"}, Meaning: "the registry of official images, in place of Docker's, written alike"},
		{Names: []string{"AIFO_CODER_IGNORE_LOCAL_IMAGES"}, Flag: "ignore-local-images", Meaning: "takes `1`"},
		{Names: []string{"AIFO_CODER_BUILD_TAG"}, Meaning: "nothing; `make build-…` reads it, see [images.md](images.md)"},
		{Names: []string{"AIFO_GLOBAL_TAG"}, Meaning: "nothing; a message says so, unless `AIFO_CODER_SUPPRESS_DEPRECATION` is `1`"},
		{Names: []string{"AIFO_CODER_SUPPRESS_DEPRECATION"}, Meaning: "`1`: do not tell of variables that do nothing"},
	}},
	{Title: "Toolchains and their calls", Heading: meaning, Variables: []Variable{
		{Names: []string{"AIFO_TOOLCHAIN_DEFINE"}, Flag: "toolchain-define", Meaning: "several files are separated as in `PATH`, and come before those of the flag"},
		{Names: []string{"AIFO_TOOLEEXEC_USE_UNIX"}, Flag: "toolchain-unix-socket", Meaning: "takes `1`"},
		{Names: []string{"AIFO_TOOLEEXEC_MAX_SECS", "AIFO_TOOLEEXEC_TIMEOUT_SECS"}, Flag: "toolchain-timeout", Meaning: "in seconds; 0 counts as unset"},
		{Names: []string{"AIFO_PROXY_SIGNAL_GRACE_MS"}, Meaning: "the time between `INT`, `TERM` and `KILL` when a tool call is ended, 1 to 10000 ms", Default: "2000"},
		{Names: []string{"AIFO_TOOLCHAIN_EXEC"}, Meaning: "how tools are run: `resident` by an exec server in each sidecar; `stream` by the same, but reached through `docker exec` alone as with an engine on another kernel, so that output is slower and no tool gets files of the caller's own, and network policies and the broker go through a tunnel in the same way; `docker` by one `docker exec` for each call, which is slower, has no terminal and no files of the caller's own", Default: "`resident`"},
	}},
	{Title: "Traces of tool calls", Heading: meaning, Variables: []Variable{
		{Names: []string{"AIFO_CODER_TRACE"}, Meaning: "what is kept of tool calls: `args`; `tools`, all but the arguments; `off`, nothing. See [trace.md](trace.md)", Default: "`args`"},
		{Names: []string{"AIFO_CODER_OTEL_ARGS"}, Meaning: "`1`: spans have the arguments of tools, too; without effect when `AIFO_CODER_TRACE` keeps none"},
		{Names: []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "TRACEPARENT", "TRACESTATE"}, Each: true, Meaning: "where spans go, as OpenTelemetry has them, and what they belong to: [OpenTelemetry](trace.md#opentelemetry)"},
	}},
	{Title: "Network and credentials", Heading: meaning, Variables: []Variable{
		{Names: []string{"AIFO_SESSION_NETWORK"}, Flag: "docker-network"},
		{Names: []string{"AIFO_CODER_NETWORK_POLICY"}, Flag: "network-policy", Meaning: "several are separated by spaces or commas", Default: "`open`"},
		{Names: []string{"AIFO_CODER_ALLOW_HOSTS"}, Flag: "allow-host", Meaning: "separated in the same way"},
		{Names: []string{"AIFO_CODER_CREDENTIALS"}, Flag: "credentials", Default: "`pass`"},
		{Names: []string{"AIFO_CODER_BROKER_GIT"}, Flag: "broker-git", Meaning: "separated in the same way"},
		{Names: []string{"AIFO_CODER_APPARMOR_PROFILE"}, Meaning: "the AppArmor profile of all containers, or `none` for none of ours: [security.md](security.md#apparmor)"},
		{Names: []string{"AIFO_CODER_CA_BUNDLE"}, Meaning: "a file with all certificate authorities that containers shall trust, or `off`", Default: "those of this host, where they are more than the public ones ([toolchains.md](toolchains.md#certificate-authorities))"},
		{Names: []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"}, Each: true, Meaning: "files with certificate authorities of this host, for that default"},
	}},
	{Title: "Configuration", Heading: meaning, Variables: []Variable{
		{Names: []string{"AIFO_CODER_PROFILE"}, Flag: "profile", Default: "`profile` in your [configuration](configuration.md#profiles)"},
		{Names: []string{"AIFO_CODER_CONFIG_HOST_DIR", "AIFO_CONFIG_HOST_DIR"}, Meaning: "the directory with files for agents, by an absolute path", Default: "`$XDG_CONFIG_HOME/aifo-coder`"},
		{Names: []string{"AIFO_CONFIG_ENABLE"}, Meaning: "`0`: copy no configuration file to an agent"},
		{Names: []string{"VISUAL", "EDITOR"}, Meaning: "the editor of `config edit`, a command with arguments", Default: "`sensible-editor`, `editor`, `nano` or `vi`"},
	}},
	{Title: "Messages", Heading: meaning, Variables: []Variable{
		{Names: []string{"AIFO_CODER_COLOR"}, Flag: "color", Meaning: "also `on`, `true`, `yes` and `off`, `false`, `no`", Default: "`auto`"},
		{Names: []string{"NO_COLOR"}, Meaning: "no colour, whatever else is said"},
	}},
	{Title: "Sessions and fork mode", Heading: meaning, Variables: []Variable{
		{Names: []string{"AIFO_CODER_SKIP_LOCK"}, Meaning: "`1`: do not lock the workspace"},
		{Names: []string{"AIFO_CODER_FORK_SESSION"}, Meaning: "the session's id: up to 24 lower-case letters, digits and hyphens", Default: "8 random ones"},
		{Names: []string{"AIFO_CODER_FORK_STATE_BASE"}, Meaning: "directory of what fork mode keeps outside of the clones", Default: "`aifo-coder/forks` in `$XDG_STATE_HOME`"},
		{Names: []string{"AIFO_CODER_FORK_LIST_STALE_DAYS"}, Meaning: "from which age `fork list` calls a session stale", Default: "14"},
		{Names: []string{"AIFO_CODER_FORK_STALE_DAYS"}, Meaning: "from which age the start of an agent tells of a session", Default: "30"},
		{Names: []string{"AIFO_CODER_FORK_AUTOCLEAN"}, Meaning: "`1`: clean such sessions then, as `fork clean` does"},
		{Names: []string{"AIFO_FORK_MERGE_NO_AUTOCLEAN"}, Meaning: "`1`: leave the branch `merge/SID` where it is when the base branch has the merge, too"},
		{Names: []string{"AIFO_CODER_FORK_FORCE_TMUX"}, Meaning: "`1`: tmux for one pane, too"},
		{Names: []string{"AIFO_CODER_FORK_ORCH"}, Meaning: "on Windows: `wt` or `powershell`"},
		{Names: []string{"AIFO_CODER_FORK_SHELL_PROMPT_SECS"}, Meaning: "how long a pane stays when its agent has ended, in seconds", Default: "5"},
		{Names: []string{"AIFO_CODER_WORKSPACE_ROOT"}, Meaning: "for `fork list --all-repos`: the repositories directly below this directory only"},
	}},
	{
		Title: "Notifications", Heading: meaning,
		Intro: "The command on this machine that an agent may run, see [Notifications](configuration.md#notifications).",
		Variables: []Variable{
			{Names: []string{"AIFO_NOTIFICATIONS_CONFIG"}, Meaning: "the file that names the command, by an absolute path", Default: "`~/.aider.conf.yml`"},
			{Names: []string{"AIFO_NOTIFICATIONS_ALLOWLIST"}, Meaning: "more names of programs, separated by commas, up to 16"},
			{Names: []string{"AIFO_NOTIFICATIONS_UNSAFE_ALLOWLIST"}, Meaning: "`1`: programs may lie in the directories of `AIFO_NOTIFICATIONS_SAFE_DIRS`"},
			{Names: []string{"AIFO_NOTIFICATIONS_SAFE_DIRS"}, Meaning: "those directories, separated by commas, up to 16"},
			{Names: []string{"AIFO_NOTIFICATIONS_MAX_ARGS"}, Meaning: "words in the place of `{args}`, 1 to 32", Default: "8"},
			{Names: []string{"AIFO_NOTIFICATIONS_TIMEOUT_SECS"}, Meaning: "the time that the command has, up to 60 s", Default: "5"},
			{Names: []string{"AIFO_NOTIFICATIONS_ENV_ALLOW"}, Meaning: "more variables for the program, in capitals, separated by commas, up to 16"},
		},
	},
	{Title: "The host's own", Heading: meaning, Variables: []Variable{
		{Names: []string{"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"}, Each: true, Meaning: "git identity in containers", Default: "`user.name` and `user.email` of your global configuration"},
		{Names: []string{"XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "TMPDIR"}, Each: true, Meaning: "see [Files](#files); relative paths in all but the last are ignored"},
		{Names: []string{"HOME", "PATH", "TMUX", "DBUS_SESSION_BUS_ADDRESS"}, Each: true, Meaning: "as usual"},
		{Names: []string{"DOCKER_HOST", "DOCKER_CONTEXT"}, Each: true, Meaning: "read by the docker command, as are its others; an engine that they name has to have this machine's files: [engines.md](engines.md#where-the-engine-is)"},
	}},
}

// passed is what containers get.
var passed = []Group{
	{
		Title: "Passed to agent and sidecars", Heading: "In containers",
		Intro: "By name, so that no value stands in an argument, when they are set and not empty. What each is for, and which values are\nleft out: [toolchains.md](toolchains.md#company-networks).",
		Variables: []Variable{
			{Names: []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}, Each: true, Meaning: "and their lower case: both cases"},
			{Names: []string{"NO_PROXY"}, Meaning: "and its lower case, if one of those is set: both cases, with the session's own names added"},
			{Names: []string{"NPM_CONFIG_REGISTRY", "npm_config_registry", "COREPACK_NPM_REGISTRY", "YARN_REGISTRY", "YARN_NPM_REGISTRY_SERVER"}, Each: true, Meaning: asTheyAre},
			{Names: []string{"GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE"}, Each: true, Meaning: asTheyAre},
			{Names: []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"}, Each: true, Meaning: asTheyAre},
			{Names: []string{"CARGO_REGISTRIES_NAME_INDEX", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "CARGO_NET_GIT_FETCH_WITH_CLI", "RUSTUP_DIST_SERVER", "RUSTUP_UPDATE_ROOT"}, Each: true, Meaning: asTheyAre},
		},
	},
	{
		Title: "Passed to the agent", Heading: "Agents",
		Intro: "By name, so that no value stands in an argument, when they are set and not empty:",
		Variables: []Variable{
			{Names: []string{"COLORTERM", "EDITOR", "LANG", "NO_COLOR", "TERM", "TZ", "VISUAL"}, Each: true, Meaning: "all"},
			{Names: []string{"AIFO_API_KEY", "AIFO_API_BASE", "AIFO_API_VERSION"}, Each: true, Meaning: "all but shell. An unset provider's variable takes the value of the generic one, where the agent takes both"},
			{Names: []string{"OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_ORGANIZATION", "OPENAI_ORG_ID", "OPENAI_PROJECT"}, Each: true, Meaning: "all but shell"},
			{Names: []string{"AZURE_API_KEY", "AZURE_API_BASE", "AZURE_API_VERSION", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_VERSION", "AZURE_RESOURCE_NAME"}, Each: true, Meaning: "all but plandex and shell"},
			{Names: []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY", "OPENROUTER_API_KEY"}, Each: true, Meaning: "all but codex and shell"},
			{Names: []string{"CODEX_API_KEY"}, Meaning: "codex"},
			{Names: []string{"LLM_API_KEY", "LLM_BASE_URL", "LLM_MODEL"}, Each: true, Meaning: "openhands"},
			{Names: []string{"AIFO_ENV_NAME"}, Meaning: "all, as `NAME`; for the names that are refused see [security.md](security.md#secrets)"},
		},
	},
	{
		Title: "Set in containers", Heading: meaning,
		Variables: []Variable{
			{Names: []string{"HOME"}, Meaning: "in all: `/home/coder`"},
			{Names: []string{"USER", "LOGNAME", "XDG_RUNTIME_DIR"}, Each: true, Meaning: "in the agent's: your account there, and a private directory"},
			{Names: []string{"PATH"}, Meaning: "in the agent's: begins with `/opt/aifo/bin`, in login shells too"},
			{Names: []string{"AIFO_AGENT_NAME"}, Meaning: "in the agent's: the agent's name"},
			{Names: []string{"AIFO_WORKSPACE"}, Meaning: "in all: where the workspace is, unless it is at `/workspace`"},
			{Names: []string{"IS_SANDBOX"}, Meaning: "in the agent's: `1`, unless `AIFO_ENV_IS_SANDBOX` says otherwise, see [security.md](security.md#an-agents-own-sandbox)"},
			{Names: []string{"AIFO_TOOLEEXEC_URL", "AIFO_TOOLEEXEC_TOKEN"}, Each: true, Meaning: "in the agent's, with toolchains: where the proxy is, see [protocol.md](protocol.md#transport); the shim reads them"},
			{Names: []string{"GOPATH"}, Meaning: "in sidecars, from the toolchain or the caller: tools are also looked for in its `bin`"},
			{Names: []string{"AIFO_MOUNTS"}, Meaning: "in all: what must be mounted, for the program that prepares the container and takes it away, see [security.md](security.md#what-is-mounted)"},
			{Names: []string{"AIFO_EXEC_ID"}, Meaning: "of tools: the id of the tool call"},
			{Names: []string{"AIFO_CALL_ENV_NAME", "AIFO_CALL_HEX_NAME"}, Each: true, Meaning: "on the way to tools with `AIFO_TOOLCHAIN_EXEC=docker`: a variable of the caller; the tool gets it without the prefix"},
			{Names: []string{"CARGO_HTTP_CAINFO", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}, Each: true, Meaning: "in all, where the host's certificate authorities are used: the file that has them, `/etc/ssl/certs/aifo-ca-bundle.crt`, or `aifo-ca-extra.crt` beside it"},
		},
	},
}

const asTheyAre = "as they are"
