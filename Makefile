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
demo-atlas: build ## The same without serving
	demo/run.sh $(DEMO_DIR)

.PHONY: build
build: install-build page ## Build the page and the binary
	cargo build --release --locked -p glossator

.PHONY: page
page: web/dist/index.html

web/dist/index.html: install-build

.PHONY: install-build
install-build: ## Install what building needs

.PHONY: install-test
install-test: install-build ## Install what the tests need besides

.PHONY: test
test: install-test page ## Run every test: Rust, documentation, page, browser
	cargo test --release --locked --workspace

.PHONY: lint
lint: ## Format, clippy and documentation, warnings denied
	cargo fmt --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps --document-private-items

.PHONY: bench
bench: build ## Compare with transformers on this machine and print our share of the bound
	bench/run.sh

.PHONY: reference
reference: build ## Rewrite the generated reference pages
	$(GLOSSATOR) reference > docs/reference/cli.md
