# Two commands: `make demo` and `make test`. Both set up all they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
DEBIAN_PACKAGES := gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib \
	qemu-system-arm cmake make gcc libc6-dev

.PHONY: demo test test-all bench-engine tools clean

demo: .venv/installed tools
	$(BIN)/keras-mobilenet demo

test: .venv/installed tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --durations=20 -m "not exhaustive"

# With the long repetitions that CI leaves out.
test-all: .venv/installed tools
	$(BIN)/pytest --durations=20

# The engine beside TFLite Micro (if TFLM_DIR names it) and bakenn, on emulated cores.
bench-engine: .venv/installed tools
	$(BIN)/pip install --disable-pip-version-check --quiet -e '.[bench]'
	$(BIN)/python benchmarks/engine.py

.venv/installed: setup.py pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh -c '\
		[ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -qy python3-venv || { \
		echo "Python has no venv module. Install it (Debian: apt install python3-venv)."; exit 1; }'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet -e '.[dev,tflm]'
	@touch $@

# The demo says so and goes on without the Arm compiler; tests that need a tool skip, in CI they fail.
tools:
	@if ! echo '#include <cstdint>' | arm-none-eabi-g++ -x c++ -fsyntax-only - 2>/dev/null \
		|| ! command -v qemu-system-arm >/dev/null || ! command -v cmake >/dev/null \
		|| ! echo '#include <stdio.h>' | gcc -fsyntax-only -x c - 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && \
			DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
				$(DEBIAN_PACKAGES); \
		else \
			echo "The Arm compiler, QEMU, CMake or gcc is missing. As root: apt install $(DEBIAN_PACKAGES)"; \
		fi; \
	fi

clean:
	rm -rf .venv build demo firmware *.egg-info
