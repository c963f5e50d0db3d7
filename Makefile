# The commands of this project. `make help` lists them.
#
# Variables: PORT (7170) for `make demo`; GLOSSATOR_DEMO_DIR (.cache/demo) for the demo model, corpus and atlas.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PORT ?= 7170
DEMO_DIR := $(or $(GLOSSATOR_DEMO_DIR),$(CURDIR)/.cache/demo)
GLOSSATOR := target/release/glossator

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: demo
demo: demo-atlas ## Install, build, fetch the demo model and corpus, explain neurons, serve the page
	$(GLOSSATOR) serve $(DEMO_DIR)/smollm2.atlas --port $(PORT)

.PHONY: demo-atlas
demo-atlas: build demo-data ## The same without serving
	demo/run.sh $(DEMO_DIR)

.PHONY: build
build: install-build page ## Build the page and the binary
	cargo build --release --locked -p glossator

.PHONY: page
page: web/dist/index.html ## Build the page, which the binary embeds

WEB_SOURCES := $(shell find web -name node_modules -prune -o -name dist -prune -o -name tests -prune -o -type f -print)

web/dist/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package.json web/package-lock.json | install-build
	cd web && npm ci --no-fund --no-audit

# Commands that are needed, each with the Debian package that brings it.
BUILD_NEEDS := cc:build-essential git:git python3:python3 node:nodejs npm:npm
TEST_NEEDS := chromium:chromium chromium:fonts-dejavu-core
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# Installs the packages of those commands that are missing; $(1) is a list of command:package, $(2) of packages.
define install_missing
@missing="$(2)"; \
for need in $(1); do command -v "$${need%%:*}" > /dev/null || missing+=" $${need##*:}"; done; \
if [ -n "$${missing// /}" ]; then \
	echo "installing:$$missing"; \
	command -v apt-get > /dev/null || { echo "error: install these yourself: $$missing" >&2; exit 1; }; \
	$(SUDO) apt-get update -qq; \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing > /dev/null; \
fi
endef

.PHONY: install-build
install-build: ## Install what building and the demo need (Debian packages; Rust must be there)
	@command -v cargo > /dev/null || { \
		echo "error: Rust is missing; install it with rustup (https://rustup.rs) and run make again" >&2; exit 1; }
	$(call install_missing,$(BUILD_NEEDS),$(shell python3 -m pip --version > /dev/null 2>&1 || echo python3-pip))

.PHONY: install-test
install-test: install-build ## Install what the tests need besides
	$(call install_missing,$(TEST_NEEDS))

.PHONY: demo-model
demo-model: install-build ## Fetch the demo model (reused when there)
	GLOSSATOR_DEMO_DIR="$(DEMO_DIR)" python3 demo/fetch_model.py

.PHONY: demo-explainer
demo-explainer: install-build ## Fetch the language model that explains in the demo, 1.1 GB (reused when there)
	GLOSSATOR_DEMO_DIR="$(DEMO_DIR)" python3 demo/fetch_explainer.py

.PHONY: demo-data
demo-data: demo-model ## Fetch the demo model and assemble the demo corpus (reused when there)
	GLOSSATOR_DEMO_DIR="$(DEMO_DIR)" python3 demo/fetch_corpus.py

.PHONY: test
# `cargo test` also builds the program and the example that the browser tests run.
test: install-test page demo-model ## Run every test: Rust, documentation, page, browser
	GLOSSATOR_DEMO_DIR="$(DEMO_DIR)" cargo test --release --locked --workspace
	cd web && npm run --silent check && npm run --silent test && npm run --silent test:browser

.PHONY: lint
lint: ## Format, clippy and documentation, warnings denied
	cargo fmt --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps --document-private-items

.PHONY: bench
bench: demo-atlas ## Compare with transformers on this machine and print our share of the bound
	bench/run.sh $(DEMO_DIR)

.PHONY: reference
reference: build ## Rewrite the generated reference pages
	$(GLOSSATOR) reference > docs/reference/cli.md
