# Each target sets itself up: `tests/setup.sh` installs missing tools, or prints the command that does.

TARGET := $(or $(CARGO_TARGET_DIR),target)
# The first build takes minutes, and shows that it goes on; later ones are quiet.
BINS = cargo build $$(test -x $(TARGET)/debug/demo && echo --quiet) --workspace --bins

# CLOUDFLARED=PATH names a real cloudflared to use in place of the stand-in.
ALONE = $(if $(CLOUDFLARED),tests/alone.sh)

.PHONY: help demo test real check dist image release bench sim faults fuzz vm-test vm-shell clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-8s  %s\n", $$1, $$2 }'

demo: ## One outage on stand-ins, from boot to recovery, explained step by step, in half a minute
	@tests/setup.sh demo
	@$(BINS)
	@$(ALONE) $(TARGET)/debug/demo

test: ## Every test
	@tests/setup.sh test
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-6} cargo test --workspace  # most of them wait for something, not for a core

real: ## CLOUDFLARED=PATH: the tests that drive cloudflared, with the real one, on loopback only; writes docs/generated/cloudflared.md
	@tests/setup.sh real
	@tests/real.sh $(PART)

check: ## Formatting, lints, docs, licences, bans and sources; checkov over the Terraform modules; report.html in a browser
	@tests/setup.sh check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	target/tools/bin/cargo-deny check licenses bans sources
	tests/unit.sh systemd/*.service systemd/*.target
	target/venv/bin/python tests/terraform/lint.py target/checkov-venv/bin/checkov
	@cargo run --quiet -p cflared-report --example pages -- $(TARGET)/report-pages
	@tests/alone.sh python3 tests/report/browser.py $(TARGET)/report-pages $(TARGET)/report-shots

dist: ## Binaries, packages and SBOMs for x86_64 and aarch64 in target/dist, and their checks
	@tests/setup.sh dist
	packaging/dist.sh
	tests/package/run.sh target/dist/cflared-agent_*_amd64.deb
	tests/reproducible.sh x86_64

image: ## Checks the image's documents against the services' models, executes their commands in a chroot, and makes a release; as root
	@tests/setup.sh image
	target/venv/bin/python tests/image/check.py
	@$(BINS)
	target/venv/bin/python tests/image/chroot.py "$$(packaging/deb.sh $$(dpkg --print-architecture) $(TARGET)/debug/cflared-agent target/image)"
	target/venv/bin/python tests/release/check.py $(TARGET)/debug

release: ## VERSION=1.2.3: dates the changelog, commits and tags; packages, SBOMs, sums, signature and notes in target/dist
	@tests/setup.sh release
	@packaging/release "$(VERSION)"

bench: ## The agent next to a correct bash script, side by side; writes docs/generated/bench.md
	@tests/setup.sh bench
	@packaging/binary.sh x86_64
	@cargo build --quiet --profile standins -p cflared-tests --bins
	@$(ALONE) $(TARGET)/standins/bench

# Every run has other random input; SEED=n repeats that of an earlier one.
SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))

sim: ## A simulated fleet: 100,000 fault episodes in 10,000 instance-years; more random lives of one verdict; every order of events
	@echo "make sim SEED=$(SEED) does the same again"
	@began=$$(date +%s); SIM_FROM=$(SEED) \
	cargo test --profile sim -p cflared-verdict --test sim lives::many_lives -- --ignored --nocapture \
		&& echo "$$(( $$(date +%s) - began )) s of wall time, with the build"
	SIM_FROM=$(SEED) cargo test --profile sim -p cflared-verdict --test sim many_lives_without_repair -- --ignored --nocapture
	STORMS=3 STORM_TABLE=write cargo test --profile sim -p cflared-verdict --test sim storm
	REHEARSALS=20 REHEARSAL_TABLE=write cargo test --profile sim -p cflared-verdict --test sim rehearsal
	REHEARSALS=20 REHEARSALS_FROM=$(SEED) cargo test --profile sim -p cflared-verdict --test sim nothing_that_changes
	PROPTEST_CASES=20000 PROPTEST_RNG_SEED=$(SEED) cargo test --profile sim -p cflared-verdict --test properties
	cargo test --profile sim -p cflared-verdict --test model every_order -- --ignored --nocapture
	PROPTEST_CASES=2000 PROPTEST_RNG_SEED=$(SEED) cargo test --workspace --exclude cflared-tests --lib

faults: ## Every scenario of the fault library, in virtual time and with real processes; writes docs/generated/faults.md
	FAULTS_PAGE=write cargo test -p cflared-verdict --test faults
ifdef CLOUDFLARED
	@tests/real.sh faults
else
	FAULTS=all RUST_TEST_THREADS=$${RUST_TEST_THREADS:-6} cargo test -p cflared-tests --test faults -- --nocapture
endif

# Every run has other random input; FUZZ_SEED=n repeats that of an earlier one.
fuzz: export FUZZ_SECONDS := $(or $(FUZZ_SECONDS),20)
fuzz: ## Hostile input for each reader of foreign text, FUZZ_SECONDS=20 for each
	cargo test --quiet --workspace --lib fuzz_ -- --nocapture --test-threads $$(nproc)

# What runs on a real systemd is the package as `make dist` makes it; BINARY=PATH puts another (static) agent into it. The
# stand-ins run where the C library may be older than here, or none: they are linked statically.
VM := $(TARGET)/vm-tests

# What both of the next need; PROGRAMS are linked statically one by one, which leaves all but their last step as it is.
PROGRAMS := imds-standin aws-standin edge-standin cloudflared-standin
define VM_PREPARE
	@tests/setup.sh vm-test
	@rm -rf $(VM)/new && mkdir -p $(VM)/new $(VM)/programs
	@packaging/deb.sh amd64 "$$(test -n "$(BINARY)" && echo "$(BINARY)" || packaging/binary.sh x86_64)" $(VM)/new >/dev/null
	@# The same package stays, for what was shown of it still holds.
	@for deb in $(VM)/new/*.deb; do \
		cmp -s "$$deb" "$(VM)/$${deb##*/}" || { rm -f $(VM)/*.deb; mv "$$deb" $(VM)/; }; \
	done; rm -r $(VM)/new
	@for name in $(PROGRAMS); do \
		cargo rustc --quiet -p cflared-tests --bin $$name -- -C target-feature=+crt-static && \
		cp $(TARGET)/debug/$$name $(VM)/programs/ || exit 1; \
	done
endef

vm-test: ## Cases on a real systemd, in containers and virtual machines; CASE="words" runs some of them
	$(VM_PREPARE)
	@vm-tests/run --package $(VM)/cflared-agent_*_amd64.deb --programs $(VM)/programs \
		$(if $(CLOUDFLARED),--cloudflared $(CLOUDFLARED)) $(CASE)

vm-shell: ## A virtual machine with the agent and the stand-ins, to look around in; needs no KVM
	$(VM_PREPARE)
	@vm-tests/run --package $(VM)/cflared-agent_*_amd64.deb --programs $(VM)/programs --shell

clean: ## Remove what was built
	cargo clean
