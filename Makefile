# `make demo` and `make test` are all a fresh clone needs: the environment is made once, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
INTEGRATION := -o cache_dir=.pytest_cache/integration tests/integration
export UV_PYTHON_DOWNLOADS ?= never
# Where Python may not keep what it has compiled, each worker of a sweep and each process of a test compiles our modules
# again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-fast test-lab test-versions lint types check notebooks clean help

help:
	@echo "make demo       run the demo sweep and write results/brain_phantom/report.html (PYTHON=python3.12: with another python)"
	@echo "make test       run the test suite (about 40 minutes on two idle cores)"
	@echo "make test-fast  run all but the slow tests (3 to 5 minutes)"
	@echo "make test-lab   run what needs a laboratory: ray up, lost machines, two Slurm nodes, long simulations (needs root)"
	@echo "make test-versions"
	@echo "                run the fast tests with the oldest and the newest versions on each Python (an hour or two; needs uv)"
	@echo "make check      lint and types"
	@echo "make notebooks  execute analysis/notebooks, store them with their figures, draw the README's (needs Chromium);"
	@echo "                EXAMPLE=DIR makes the stored example from a finished sweep first"

$(STAMP): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  echo "making $(VENV) with uv"; \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable ".[dev]"; \
	else \
	  echo "making $(VENV) with pip (torch is large: this takes some minutes)"; \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"; \
	fi
	@touch $@

demo: $(STAMP)
	$(BIN)/lnl-sweep run

# Integration tests wait for much of their time: two processes run them, and a third one the others, which are shown
# after them. What fails of real clusters on a machine as busy as that is run once more with nothing beside it, and both
# outcomes stay on the screen.
test: $(STAMP)
	@rm -rf .pytest_cache/integration
	@$(BIN)/python -m pytest --ignore=tests/integration > .test-others.log 2>&1 & others=$$!; \
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(INTEGRATION); integration=$$?; \
	wait $$others; code=$$?; cat .test-others.log; rm -f .test-others.log; \
	[ $$integration -ne 1 ] || { \
	  echo "Once more, with nothing beside it, what has failed of tests/integration:"; \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none --maxfail=1 $(INTEGRATION); integration=$$?; }; \
	[ $$integration -eq 0 ] && [ $$code -eq 0 ]

test-fast: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-lab: $(STAMP)
	$(BIN)/python -m pytest -m lab

test-versions: $(STAMP)
	$(BIN)/python -m pytest -m versions

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

check: lint types

notebooks: $(STAMP)
	$(if $(EXAMPLE),$(BIN)/python tools/keep_example.py "$(EXAMPLE)")
	$(BIN)/python tools/run_notebooks.py
	$(BIN)/python tools/draw_readme_picture.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
