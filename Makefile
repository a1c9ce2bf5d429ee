# make demo | test | test-fast | fuzz | check | lint | docs | bench : each sets up what it needs in .venv (Python 3.11 or newer).
PYTHON ?= python3
# Versions to install: those of the records in .venv; constraints-oldest.txt in .venv-oldest; the newest (CONSTRAINTS=) in .venv-newest.
CONSTRAINTS ?= constraints.txt
VENV := .venv$(patsubst constraints%.txt,%,$(or $(CONSTRAINTS),constraints-newest.txt))
BIN := $(VENV)/bin
STAMP := $(VENV)/.vimix-setup

.PHONY: setup demo test test-fast fuzz check lint docs bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "vimix needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix --constraint ,$(CONSTRAINTS)) --editable '.[dev,docs,hub,mlflow,wandb]'
	touch $(STAMP)

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

# About a minute on two idle cores: without the tests marked slow, and with 20 random examples a test, not 100.
test-fast: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" --hypothesis-profile fast

# Damaged files for some minutes: make fuzz MINUTES=30
MINUTES ?= 3
fuzz: setup
	$(BIN)/python -m pytest -m fuzz --fuzz-minutes $(MINUTES) tests/fuzz

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# The documentation as web pages: docs/_build/index.html.
docs: setup
	$(BIN)/sphinx-build -q -W --keep-going docs docs/_build

# Ratios against plain ways of doing the same, some two minutes on two idle cores: leave the machine alone meanwhile.
BENCH ?= experiments/records/bench-$(shell date +%Y-%m-%d).md
bench: setup
	$(BIN)/vimix bench --out $(BENCH) --force

clean:
	rm -rf demo docs/_build docs/commands.md docs/recipe-keys.md .venv .venv-oldest .venv-newest .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# The whole main job on the synthetic data set in ten to twenty minutes on two cores; the last table has the differences that the recorded seeds decide.
demo: setup
	$(BIN)/vimix synth demo/synth --classes 16 --videos-per-class 84 --train-per-class 8
	$(BIN)/vimix prepare folder demo/synth/videos --split demo/synth/splits.csv --out demo/store.h5 --flow dis --short-side 64 --flow-short-side 96 --flow-bound 3 --codec raw
	@# Small steps gain little from a second core: MoCo and the other two arms are trained at once, with half of the cores each.
	export OMP_NUM_THREADS=$$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 )); \
	$(BIN)/vimix run experiments/demo.toml --out demo/run --arms moco > demo/moco.log 2>&1 & moco=$$!; \
	$(BIN)/vimix run experiments/demo.toml --out demo/run --arms mixup,vimix && \
	{ ! kill -0 $$moco 2> /dev/null || echo "waiting for MoCo, which is trained beside them (demo/moco.log)"; wait $$moco || { tail -n 3 demo/moco.log; exit 1; }; } || \
	{ kill $$moco 2> /dev/null; exit 1; }
	$(BIN)/vimix run experiments/demo.toml --out demo/run
	$(BIN)/vimix experiments recorded experiments/records/demo-seeds-0-4-10-12-13.json --run demo/run
	@echo "Mixup makes the gain: CMMC has not improved on mixup trained for as long. docs/results/demo.md says more."
