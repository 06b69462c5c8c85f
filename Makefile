# Each target does its own set-up: `tests/setup.sh` installs what it can and names what it cannot.

MUSL := x86_64-unknown-linux-musl
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The first build takes minutes, and shows that it goes on; later ones are quiet.
BINS = cargo build $$(test -x $(TARGET)/debug/demo && echo --quiet) --workspace --bins

.PHONY: help demo test check dist bench sim faults clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-6s  %s\n", $$1, $$2 }'

demo: ## The main job on stand-ins, told step by step, in about a minute
	@tests/setup.sh demo
	@$(BINS)
	@$(TARGET)/debug/demo

test: ## Every test
	@tests/setup.sh test
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-6} cargo test --workspace  # most of them wait for something, not for a core

check: ## Formatting, lints, docs, licences, bans and sources
	@tests/setup.sh check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	target/tools/bin/cargo-deny check licenses bans sources
	tests/unit.sh systemd/cflared-agent.service

dist: ## The static binary, and proof that it is static
	@tests/setup.sh dist
	cargo build --release --target $(MUSL) -p cflared-agent
	tests/static.sh $(TARGET)/$(MUSL)/release/cflared-agent

bench: ## The agent next to a correct bash script, side by side
	@tests/setup.sh bench
	@$(MAKE) --no-print-directory dist
	@cargo build --quiet --profile standins -p cflared-tests --bins
	@$(TARGET)/standins/bench

sim: ## The verdict under random lives, more of them than `make test` has
	PROPTEST_CASES=20000 cargo test -p cflared-verdict --test properties

faults: ## Every scenario of the fault library, in virtual time and with real processes; writes docs/faults.md
	FAULTS_PAGE=write cargo test -p cflared-verdict --test faults
	FAULTS=all RUST_TEST_THREADS=$${RUST_TEST_THREADS:-6} cargo test -p cflared-tests --test faults -- --nocapture

clean: ## Remove what was built
	cargo clean
