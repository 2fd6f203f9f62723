# netcompile. `make` alone lists the targets; `make demo` and `make test` set everything up by themselves.

PYTHON ?= python3
VENV   ?= .venv
# A second package index to look for torch in, e.g. https://download.pytorch.org/whl/cpu for the small CPU build.
TORCH_INDEX ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.netcompile-installed
DOCS  := $(VENV)/.netcompile-docs-installed
PIP   := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
         $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# The guided fuzz: seconds for each kind of file, its seed, processes.
FUZZ_SECONDS ?= 300
FUZZ_SEED    ?= 0
FUZZ_JOBS    ?= 1

# What `make convert-weights` downloads before: nothing, everything (FETCH=1), or nets (FETCH="alexnet voc-fcn8s").
FETCH  ?=
WANTED := $(if $(filter-out 1 yes all,$(FETCH)),$(FETCH),--all)

# A worker of the tests holds torch and takes about 1 GB.
PARALLEL := -n auto --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-browser setup-docs docs demo pictures train-demo test check bench bench-gpu prototxt convert-weights corpus compat names fuzz site test-site clean

help: ## list these targets
	@echo "netcompile: Caffe prototxts to standalone PyTorch modules"
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do \
	    printf '  make %-16s %s\n' "$$name" "$$what"; done
	@echo
	@echo "Variables: PYTHON=$(PYTHON) (3.11 or newer)  VENV=$(VENV)  TORCH_INDEX=$(TORCH_INDEX)"

setup: $(STAMP) ## create or update the virtual environment (every other target does this by itself)

setup-browser: ## install Chromium for the tests of the report page (Debian, Ubuntu; as root)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
	    [ "$$(id -u)" = 0 ] || { echo "apt-get needs root: sudo make setup-browser" >&2; exit 1; }; \
	    apt-get update -q && apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core; }

setup-docs: $(DOCS) ## install what builds the documentation, for `make docs` and its tests

docs: $(DOCS) ## the documentation as a site, in build/docs-site
	$(BIN)/python -m docs.generator.build

demo: $(STAMP) ## the main job: build the demo nets, segment, classify and detect on the test images, score it all
	$(BIN)/python -m netcompile.demo

pictures: demo ## write the pictures of README.md anew, from the demo's results (needs Chromium)
	$(BIN)/python -m tests.browser.pictures

train-demo: $(STAMP) ## train the demo net from scratch and score it, in minutes
	$(BIN)/python -m netcompile.train.demo

test: $(STAMP) ## the complete test suite, on up to four cores
	$(BIN)/python -m pytest $(PARALLEL)

check: $(STAMP) ## lint, formatting, types, and the complete test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL)

bench: $(STAMP) ## measure speed, memory, start-up time of this machine; python -m bench --help: a part
	$(BIN)/python -m bench

bench-gpu: $(STAMP) ## measure FCN-8s on a GPU; says so where there is none
	$(BIN)/python -m bench --gpu

prototxt: $(STAMP) ## write prototxt/ from the specs in netcompile/zoo
	$(BIN)/python -m netcompile.zoo

convert-weights: $(STAMP) ## convert what weights/manifest.toml lists and weights/ has; FETCH=1 downloads it first
	code=0; \
	$(if $(FETCH),$(BIN)/netcompile fetch --manifest weights/manifest.toml -o weights/ $(WANTED) || code=$$?;) \
	$(BIN)/netcompile convert-weights --manifest weights/manifest.toml || code=$$?; \
	exit $$code

corpus: $(STAMP) ## a table of what works over a corpus of found nets (../shared/corpus)
	$(BIN)/python -m tests.corpus

compat: $(STAMP) ## the tests of what is emitted, with the oldest and the newest Python and torch (a while; 6 GB)
	$(PIP) uv
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.compat $(if $(TORCH_INDEX),--index $(TORCH_INDEX))

fuzz: $(STAMP) ## look for new counterexamples: the property tests with many more examples, mutants of every kind of file
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m pytest --hypothesis-profile=fuzz -m hypothesis --ignore=tests/fuzz
	$(BIN)/python -m tests.fuzz.guided --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --jobs $(FUZZ_JOBS)

site: $(STAMP) ## build the playground, the compiler in a web page, into site/ (needs node and npm)
	$(BIN)/python -m netcompile.site.build

test-site: site ## the tests of the wheel that need no torch, under Pyodide: the Python of the page
	$(BIN)/python -m tests.site.under_pyodide

names: $(STAMP) ## 10,000 nets with names that nobody expects, through the commands that read a net
	$(BIN)/python -m tests.names

clean: ## remove what the other targets made, except the virtual environment
	rm -rf build dist out site demo-out train-demo-out netcompile.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find netcompile tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "netcompile needs Python 3.11 or newer; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)" >&2; \
	    echo "Name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON)' cannot make virtual environments: its venv and ensurepip modules are missing." >&2; \
	    echo "On Debian and Ubuntu they are the package python3-venv, which an administrator installs." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python pyproject.toml setup.py constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    echo "$(VENV) exists but has no pip: remove the folder, and make creates it afresh." >&2; exit 1; }
	@echo "installing into $(VENV); the first time torch alone takes minutes"
	$(PIP) setuptools
	$(PIP) --no-build-isolation -e '.[dev,onnx]'
	@touch $@

$(DOCS): $(STAMP)
	$(PIP) --no-build-isolation -e '.[docs]'
	@touch $@
