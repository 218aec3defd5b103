# Two commands: `make demo` and `make test`. Both set up all they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
DEBIAN_PACKAGES := gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib \
	qemu-system-arm gdb-multiarch cmake make gcc g++ libc6-dev gcc-riscv64-unknown-elf gcc-xtensa-lx106 \
	clang lld chromium chromium-driver openocd stlink-tools bossa-cli dfu-util dataset-fashion-mnist \
	postgresql

C_SOURCES := $(shell find edge tests benchmarks -name '*.[ch]' -o -name '*.cc' -o -name '*.cpp')

# torch with CUDA takes gigabytes: on a user's machine its tests skip.
EXTRAS := dev,tflm
ifdef CI
EXTRAS := $(EXTRAS),torch
endif

# A file stays on one of two workers, the dearest first: tests/conftest.py says which these are.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20
# Lower where tools may be missing, and their tests skip.
COVERAGE_FLOOR := $(if $(CI),90,70)
COVERAGE := --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE_FLOOR)

.PHONY: help demo test test-all docs format lint typecheck coverage mutation bench-engine tools clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/installed tools ## Train on real images, prove int8, run the board's own image: some five minutes
	$(BIN)/keras-mobilenet demo

test: lint typecheck tools ## All checks of CI, coverage at the end: some twenty minutes
	$(PYTEST) -m "not exhaustive" $(COVERAGE)

test-all: lint typecheck tools ## The same with the long repetitions that CI leaves out
	$(PYTEST) $(COVERAGE)

docs: .venv/installed ## The documentation as a site, in build/site
	$(BIN)/mkdocs build --strict

format: .venv/installed ## Format Python, and the C that is written by hand
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES)

lint: .venv/installed ## Style of Python and C, docstrings' form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(C_SOURCES)
	$(BIN)/pre-commit validate-config

typecheck: .venv/installed ## mypy
	$(BIN)/mypy

coverage: .venv/installed tools ## Every line that the quick tests run, as HTML in build/coverage
	$(PYTEST) -m "not slow and not exhaustive" --cov --cov-report=html:build/coverage

mutation: .venv/installed tools ## Break one line at a time: do the tests notice? Some six minutes
	$(BIN)/python tests/mutation.py

# The engine beside TFLite Micro (if TFLM_DIR names it) and bakenn, on emulated cores.
bench-engine: .venv/installed tools ## The engine beside TFLite Micro and bakenn, on emulated cores
	$(BIN)/pip install --disable-pip-version-check --quiet -e '.[bench]'
	$(BIN)/python benchmarks/engine.py

.venv/installed: setup.py pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh -c '\
		[ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -qy python3-venv || { \
		echo "Python has no venv module. Install it (Debian: apt install python3-venv)."; exit 1; }'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet -e '.[$(EXTRAS)]'
	@touch $@

# The demo says so and goes on without the Arm compiler; tests that need a tool skip, in CI they fail.
tools:
	@if ! echo '#include <cstdint>' | arm-none-eabi-g++ -x c++ -fsyntax-only - 2>/dev/null \
		|| ! command -v gdb-multiarch >/dev/null || ! command -v qemu-system-arm >/dev/null || ! command -v cmake >/dev/null \
		|| ! command -v chromedriver >/dev/null || ! command -v g++ >/dev/null \
		|| ! command -v riscv64-unknown-elf-gcc >/dev/null \
		|| ! command -v xtensa-lx106-elf-gcc >/dev/null \
		|| ! command -v clang >/dev/null || ! command -v ld.lld >/dev/null \
		|| ! command -v openocd >/dev/null || ! command -v st-flash >/dev/null \
		|| [ ! -d /usr/share/datasets/fashion-mnist ] || ! command -v bossac >/dev/null || ! command -v dfu-util >/dev/null \
		|| ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 \
		|| ! echo '#include <stdio.h>' | gcc -fsyntax-only -x c - 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && \
			DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
				$(DEBIAN_PACKAGES); \
		else \
			echo "A compiler, QEMU, CMake, Chromium, a tool for boards or Fashion-MNIST is missing. As root: apt install $(DEBIAN_PACKAGES)"; \
		fi; \
	fi

clean: ## Remove all that was built, the virtual environment too
	rm -rf .venv build demo firmware .coverage *.egg-info
