# aifo-coder: build, test and run it. `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

MODULE := github.com/aifo-coder/aifo-coder
GO ?= go
PREFIX ?= /usr/local
DESTDIR ?=

ifndef VERSION
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
endif

# The names in the targets; the image of cpp is called c-cpp.
TOOLCHAINS := rust node python cpp go
AGENTS := shell aider codex crush openhands opencode plandex
AGENT_IMAGES := $(AGENTS) $(AGENTS:%=%-slim)
image = $(patsubst cpp,c-cpp,$(1))

# Files whose change makes the programs out of date.
SOURCES := go.mod $(wildcard go.sum) $(shell find cmd internal shims -type f \
	-not -name '*_test.go' -not -path '*/testdata/*' -not -path 'shims/bin/*' 2>/dev/null)
GO_DIRS := $(wildcard cmd internal shims e2e examples scripts)
SHIMS := shims/bin/aifo-shim-linux-amd64 shims/bin/aifo-shim-linux-arm64
SCRIPTS := $(wildcard scripts/demo scripts/docker-for-tests scripts/engine scripts/fuzz scripts/images scripts/publish) \
	.ci/run images/base/customize images/testing/node/docker-entrypoint.sh images/testing/rust/rustup
DOCKERFILES := $(wildcard images/*/Dockerfile images/testing/*/Dockerfile)

# The race detector needs a C compiler.
RACE := $(shell command -v "$$($(GO) env CC 2>/dev/null)" >/dev/null 2>&1 && echo -race)
TEST_FLAGS ?= -timeout 60m

# In CI the Docker tests must run; elsewhere they skip themselves when there is no engine.
ifdef CI
AIFO_TEST_DOCKER ?= require
endif
ifdef AIFO_TEST_DOCKER
export AIFO_TEST_DOCKER
endif

.PHONY: help
help: ## list the targets
	@awk -F ':.*## |: ## ' '/^(# )?[a-zA-Z][a-zA-Z-]*:.*## / { sub(/^# /, "", $$1); printf "  %-26s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##### Build

.PHONY: build
build: bin/aifo-coder ## build bin/aifo-coder, with the shims in it

bin/aifo-coder: $(SOURCES) $(SHIMS) bin/.version | go-check
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false \
		-ldflags '-s -w -X $(MODULE)/internal/buildinfo.version=$(VERSION)' -o $@ ./cmd/aifo-coder

shims/bin/aifo-shim-linux-%: $(SOURCES) | go-check
	CGO_ENABLED=0 GOOS=linux GOARCH=$* $(GO) build -trimpath -buildvcs=false -ldflags '-s -w' -o $@ ./shims/aifo-shim

.PHONY: shims
shims: $(SHIMS) ## build the shims alone, which the program embeds

# Changes only when the version does.
bin/.version: always
	@mkdir -p bin
	@printf '%s\n' '$(VERSION)' | cmp -s - $@ || printf '%s\n' '$(VERSION)' > $@

.PHONY: always
always:

.PHONY: go-check
go-check:
	@command -v $(GO) >/dev/null || { echo "make: there is no '$(GO)' on PATH: install Go (https://go.dev/dl/), \
	$$(sed -n 's/^go //p' go.mod) or one that can fetch it (1.21 and later do)" >&2; exit 1; }

.PHONY: docs man
docs man: go-check ## write the documents that come from the program: man/, docs/schema/, the variables in docs/cli.md
	$(GO) run ./scripts/gendocs .

# Where distributions and shells look for them, below PREFIX.
SHARE = $(DESTDIR)$(PREFIX)/share
MAN_DIR = $(SHARE)/man/man1
BASH_DIR = $(SHARE)/bash-completion/completions
ZSH_DIR = $(SHARE)/zsh/site-functions
FISH_DIR = $(SHARE)/fish/vendor_completions.d

.PHONY: install
install: build ## install the program, its manual pages and completions below $(DESTDIR)$(PREFIX)
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(MAN_DIR)' '$(BASH_DIR)' '$(ZSH_DIR)' '$(FISH_DIR)'
	install -m 0755 bin/aifo-coder '$(DESTDIR)$(PREFIX)/bin/aifo-coder'
	install -m 0644 man/*.1 '$(MAN_DIR)'
	bin/aifo-coder completion bash > '$(BASH_DIR)/aifo-coder'
	bin/aifo-coder completion zsh > '$(ZSH_DIR)/_aifo-coder'
	bin/aifo-coder completion fish > '$(FISH_DIR)/aifo-coder.fish'

.PHONY: uninstall
uninstall: ## remove what install has put below $(DESTDIR)$(PREFIX)
	rm -f '$(DESTDIR)$(PREFIX)/bin/aifo-coder' '$(BASH_DIR)/aifo-coder' '$(ZSH_DIR)/_aifo-coder' '$(FISH_DIR)/aifo-coder.fish' \
		'$(MAN_DIR)/aifo-coder.1' '$(MAN_DIR)/'aifo-coder-*.1

.PHONY: clean
clean: ## remove what was built here (images and caches stay)
	rm -rf bin dist completions shims/bin/aifo-shim-* coverage* examples/*/target examples/*/build

##### Release

.PHONY: completions
completions: build ## write the completion scripts that packages have to completions/
	mkdir -p completions
	bin/aifo-coder completion bash > completions/aifo-coder.bash
	bin/aifo-coder completion zsh > completions/_aifo-coder
	bin/aifo-coder completion fish > completions/aifo-coder.fish
	bin/aifo-coder completion powershell > completions/aifo-coder.ps1

# Needs goreleaser and cyclonedx-gomod (docs/releases.md).
.PHONY: release-snapshot
release-snapshot: go-check ## build archives, packages, checksums and SBOMs to dist/release, and publish nothing
	goreleaser release --snapshot --clean

##### Run

.PHONY: demo
demo: go-check engine ## build the Rust and C++ examples from an agent container: engine, images and all
	@scripts/images ensure shell rust c-cpp
	@$(MAKE) --no-print-directory build
	@scripts/demo

.PHONY: toolchain-cache-clear
toolchain-cache-clear: build ## remove the toolchains' cache volumes
	bin/aifo-coder toolchain-cache-clear

##### Test

# The end-to-end tests come last and alone: they are about processes and time.
.PHONY: test
test: go-check docker-for-tests build race-note ## run all tests; those with Docker too when an engine can be had
	$(GO) vet ./...
	$(GO) test $(RACE) $(TEST_FLAGS) $$($(GO) list ./... | grep -v '/e2e$$')
	$(GO) test $(RACE) $(TEST_FLAGS) ./e2e

.PHONY: test-unit
test-unit: race-note ## run the tests that need no Docker
	AIFO_TEST_DOCKER=off $(GO) test $(RACE) $(TEST_FLAGS) ./...

.PHONY: test-docker
test-docker: engine build ## run the end-to-end tests, which need Docker
	scripts/images ensure
	AIFO_TEST_DOCKER=require $(GO) test $(TEST_FLAGS) ./e2e/...

.PHONY: test-proxy-smoke
test-proxy-smoke: docker-for-tests build ## run the proxy's smoke tests over TCP
	$(GO) test $(TEST_FLAGS) ./e2e -run 'TestProxySmoke' -v

.PHONY: test-proxy-unix
test-proxy-unix: docker-for-tests build ## run the proxy's smoke tests over the unix socket
	$(GO) test $(TEST_FLAGS) ./e2e -run 'TestProxyUnix' -v

.PHONY: test-toolchain-cpp
test-toolchain-cpp: docker-for-tests build ## run the tests of the C and C++ toolchain
	$(GO) test $(TEST_FLAGS) ./internal/cli ./e2e -run 'TestToolchainCPP' -v

# JSON=1 prints JSON.
.PHONY: test-matrix
test-matrix: engine build ## run every agent with every toolchain over both transports, and print what was run
	scripts/images ensure
	@bin/aifo-coder support $(if $(JSON),--json)

FUZZTIME ?= 1m

.PHONY: fuzz
fuzz: go-check ## fuzz every decoder for FUZZTIME, 1m by default
	scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: engine build ## measure what a tool call costs, and write docs/benchmarks.md
	scripts/images ensure shell node c-cpp rust python go
	$(GO) run ./e2e/bench > docs/benchmarks.md.new
	mv docs/benchmarks.md.new docs/benchmarks.md

.PHONY: race
race: ## run the tests that need no Docker with the race detector, three times
	AIFO_TEST_DOCKER=off $(GO) test -race -count 3 $(TEST_FLAGS) ./...

.PHONY: race-note
race-note:
	@test -n '$(RACE)' || echo 'make: no C compiler found: the race detector is off (install gcc to have it)' >&2

.PHONY: docker-for-tests
docker-for-tests:
	@scripts/docker-for-tests

##### Check

.PHONY: lint
lint: ## check the sources: vet, gofmt, golangci-lint and shellcheck
	$(GO) vet ./...
	@unformatted=$$(gofmt -l $(GO_DIRS)); \
		test -z "$$unformatted" || { printf 'not formatted, run make fmt:\n%s\n' "$$unformatted" >&2; exit 1; }
	@if command -v golangci-lint >/dev/null; then golangci-lint run; \
		else echo 'lint: golangci-lint is not installed: go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@latest' >&2; fi
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); \
		else echo 'lint: shellcheck is not installed: apt-get install shellcheck' >&2; fi
	@if command -v hadolint >/dev/null; then hadolint $(DOCKERFILES); fi

.PHONY: fmt
fmt: ## format the Go sources
	gofmt -w $(GO_DIRS)

.PHONY: tidy
tidy: ## bring go.mod and go.sum up to date
	$(GO) mod tidy

##### Images

.PHONY: engine
engine: ## make sure that a Docker engine answers
	@scripts/engine ensure

.PHONY: build-images
build-images: engine ## build the images that are missing or out of date
	scripts/images ensure

# build-AGENT: ## build an agent's image (shell, aider, codex, crush, openhands, opencode, plandex)
# build-AGENT-slim: ## build its slim flavour
.PHONY: $(AGENT_IMAGES:%=build-%)
$(AGENT_IMAGES:%=build-%): build-%: engine
	scripts/images build $*

# rebuild-AGENT: ## build an agent's image without the builder's cache; also with -slim
.PHONY: $(AGENT_IMAGES:%=rebuild-%)
$(AGENT_IMAGES:%=rebuild-%): rebuild-%: engine
	scripts/images build --no-cache $*

.PHONY: build-toolchain rebuild-toolchain
build-toolchain: engine ## build all toolchain images
	scripts/images build $(foreach kind,$(TOOLCHAINS),$(call image,$(kind)))
rebuild-toolchain: engine ## build all toolchain images without the builder's cache
	scripts/images build --no-cache $(foreach kind,$(TOOLCHAINS),$(call image,$(kind)))

# build-toolchain-KIND: ## build one toolchain image (rust, node, python, cpp, go)
.PHONY: $(TOOLCHAINS:%=build-toolchain-%)
$(TOOLCHAINS:%=build-toolchain-%): build-toolchain-%: engine
	scripts/images build $(call image,$*)

# rebuild-toolchain-KIND: ## build one toolchain image without the builder's cache
.PHONY: $(TOOLCHAINS:%=rebuild-toolchain-%)
$(TOOLCHAINS:%=rebuild-toolchain-%): rebuild-toolchain-%: engine
	scripts/images build --no-cache $(call image,$*)

##### Publish: PUSH=1 [REGISTRY=PREFIX] [PLATFORMS=linux/amd64,linux/arm64]

export PLATFORMS PUSH REGISTRY GO

.PHONY: publish
publish: engine ## publish all images: to REGISTRY, or without one to dist/
	scripts/publish $(AGENT_IMAGES) $(foreach kind,$(TOOLCHAINS),$(call image,$(kind)))

# publish-toolchain-KIND: ## publish one toolchain image
.PHONY: $(TOOLCHAINS:%=publish-toolchain-%)
$(TOOLCHAINS:%=publish-toolchain-%): publish-toolchain-%: engine
	scripts/publish $(call image,$*)

# publish-AGENT: ## publish an agent's image; also with -slim
.PHONY: $(AGENT_IMAGES:%=publish-%)
$(AGENT_IMAGES:%=publish-%): publish-%: engine
	scripts/publish $*
