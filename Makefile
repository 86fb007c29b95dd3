# Tapwright: every task of a user or a contributor.  `make` alone prints this list.
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
WORKERS := 2
RUST_SOURCES := Cargo.toml $(wildcard Cargo.lock) $(shell find crates -name '*.rs' -o -name Cargo.toml)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint fuzz faults dpdk bench docs clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## virtual environment and native build (system packages too, as root on Debian or Ubuntu)

$(VENV)/.ready: pyproject.toml $(RUST_SOURCES) scripts/packages scripts/environment
	@scripts/packages run
	@scripts/environment $(VENV) '.'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@scripts/packages test
	@scripts/environment $(VENV) '.[dev,libvirt]'
	@touch $@

demo: setup ## the main job in a lab of its own: find a VM, capture it, read the file
	@$(PY) -m tapwright.lab.demo

test: $(VENV)/.ready-dev ## the whole test suite, as root without a skip; the privileged part is skipped otherwise
	@cargo test --quiet --package tapwright-core
	@# most of a test is waiting: two cores have time for two
	@$(PY) -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.ready-dev ## ruff, mypy, import rules, stubs, rustfmt, clippy
	$(VENV)/bin/ruff check src tests bench
	$(VENV)/bin/ruff format --check src tests bench
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m mypy.stubtest tapwright._core
	cargo fmt --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

fuzz: $(VENV)/.ready-dev ## throw hostile input at everything that parses, for a minute each
	@$(PY) -m pytest -q -p no:cacheprovider tests/fuzz --fuzz-seconds 60

faults: $(VENV)/.ready-dev ## kill mirrors at every single point on real hosts, and at hundreds of instants
	@$(PY) -m pytest -q -p no:cacheprovider --timeout 7200 tests/tap --faults

dpdk: $(VENV)/.ready-dev ## mirrors of QEMU guests on vhost-user ports of a switch with DPDK (1.5 GB)
	@scripts/packages dpdk
	@$(PY) -m pytest -q -p no:cacheprovider tests/dpdk

bench: $(VENV)/.ready-dev ## speed and memory beside tcpdump, dumpcap and netsniff-ng, as ratios in one run
	@scripts/packages bench
	@$(PY) bench/all.py

docs: ## check that the documentation names every command and option
	@$(PY) -m pytest -q tests/test_docs.py

clean: ## remove what was built
	rm -rf $(VENV) target src/tapwright/*.so
