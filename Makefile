# The words of this house, the same at home and in CI.
.DEFAULT_GOAL := help
.PHONY: help prepare build tools check test demo up bench drill-rotation drill-faults soak dev down logs ps images-offline compose-test clean
SHELL := /bin/sh

TARGET := $(or $(CARGO_TARGET_DIR),target)
LOCAL_STACK := $(TARGET)/debug/local-stack
PROGRAMS := -p orchestrator -p media-edge -p dubber -p mtx-hook -p local-stack -p media-judge -p gemini-twin
COMPOSE := docker compose

# DEMO_SECONDS, YES, STACK_* and every setting of the services may be given as `make demo KEY=value` too: make hands
# what stands on its command line to the programs.
DRILLS := cargo run --locked -p dub-tests --bin twin-drills --
MINUTES ?= 60

help: ## shows these words
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

prepare: ## names and installs what this machine lacks (YES=1: without asking)
	@deploy/tools/prepare.sh

build: ## builds every program
	@CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=100 cargo build --locked $(PROGRAMS)

tools: build ## puts MediaMTX, grpcurl and Jaeger into the cache
	@$(LOCAL_STACK) tools

check: ## formatting, lints, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --workspace --no-deps --locked --quiet
	@if command -v buf >/dev/null 2>&1; then buf lint proto; else echo 'buf is not installed: proto is not linted'; fi
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check; else echo 'cargo-deny is not installed: skipped'; fi

test: prepare build ## prepares what is missing and runs every test
	@$(LOCAL_STACK) tools mediamtx grpcurl
	@$(LOCAL_STACK) tools jaeger || echo 'no Jaeger: the trace test will say so' >&2
	@deploy/tools/test.sh

demo: prepare build ## shows a dubbed programme and judges it (DEMO_SECONDS=60 YES=1)
	@$(LOCAL_STACK) demo

up: build ## runs the stack in the foreground, `ready` when streams are accepted (TWIN=1: Gemini by its twin, no key)
	@exec $(LOCAL_STACK) up

bench: prepare build ## measures our worker beside ffmpeg and gst-launch
	@$(LOCAL_STACK) tools mediamtx
	@cargo build --release --locked $(PROGRAMS)
	@cargo run --release --locked -p dub-tests --bin bench

drill-rotation: prepare build ## eleven minutes of dubs by the Gemini twin with sessions of 30 s: no word lost, doubled or moved
	@$(LOCAL_STACK) tools mediamtx
	@$(DRILLS) rotation $(DRILL_OPTIONS)

drill-faults: prepare build ## every known fault of Gemini Live on a stack of its own, one table (DRILL_OPTIONS='--only NAME')
	@$(LOCAL_STACK) tools mediamtx
	@$(DRILLS) faults $(DRILL_OPTIONS)

soak: prepare build ## an hour of the Gemini twin with mixed faults: backlog, memory, every phrase accounted for (MINUTES=60)
	@$(LOCAL_STACK) tools mediamtx
	@$(DRILLS) soak --minutes $(MINUTES) $(DRILL_OPTIONS)

dev: ## builds and starts the containers, returns when they are healthy
	$(COMPOSE) up --build --detach --wait

down: ## stops the containers
	$(COMPOSE) down

logs: ## follows the containers' logs
	$(COMPOSE) logs --follow

ps: ## lists the containers
	$(COMPOSE) ps

images-offline: ## builds every image without an image registry
	@deploy/tools/images-offline.sh

compose-test: ## tests the containers, from a machine without Docker to the verdict
	@deploy/tools/compose-test.sh $(COMPOSE_TEST_DRILLS)

clean: ## deletes what was built here and the stacks' state; the cache of real parts stays
	cargo clean
	rm -rf .run deploy/docker/bin/*/
