# Each target first builds .venv/ when it is missing or older than the files that say what belongs in it.
PYTHON  ?= python3
BIN     := .venv/bin
READY   := .venv/ready
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test docs readme bench lint fix hooks lock clean

help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(READY)  ## .venv/ with the workbench and all extras, at the versions of constraints.txt

demo: $(READY)   ## train a model on embedded data, sample crystals, write runs/demo/ (about ten minutes on two cores)
	$(BIN)/fwb demo

lab: $(READY)    ## JupyterLab, opened on the first tutorial
	$(BIN)/fwb lab nbs/tutorials/explore_a_crystal.ipynb

# Three workers for two cores: while one waits for a browser or a run, the others compute. One thread each, which gains more
# than threads within one. tests/conftest.py sees to the order.
test: $(READY)   ## everything: library in step, notebooks run, properties, browser
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --durations 15

docs: $(READY)   ## the rendered site in _docs/, nothing in it fetched from elsewhere
	OMP_NUM_THREADS=1 $(BIN)/python tools/build_docs.py

readme: $(READY) ## README.md from nbs/index.ipynb
	$(BIN)/python tools/build_readme.py

# The others take data of one's own, or hours: their first lines say which.
bench: $(READY)  ## the benchmarks that need no data, each printing its ratios
	for name in cost loader memory paper_size preparation recovery sampling symmetry training_speed truncation views; do \
	  echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

lint: $(READY)   ## ruff, mypy and the order of imports; environment.yml in step
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/environment.py --check

fix: $(READY)    ## mend and write what machines can: ruff, the exported library, README.md, environment.yml
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/nbdev-export
	$(BIN)/python tools/build_readme.py
	$(BIN)/python tools/environment.py

# Git runs the notebook drivers from the top of the checkout, where nothing says that .venv/bin is on the PATH.
hooks: $(READY)  ## git merges, compares and checks notebooks properly (nbdev's drivers, pre-commit)
	$(BIN)/nbdev-install-hooks
	git config --local merge.jupyternotebook.driver '$(BIN)/nbdev-merge %O %A %B %P'
	git config --local diff.jupyternotebook.command '$(BIN)/nbdev-diff-driver'
	printf '#!/bin/sh\nexec $(BIN)/nbdev-trust\n' > "$$(git rev-parse --git-path hooks)/post-merge"
	$(BIN)/pre-commit install

lock: $(READY)   ## constraints.txt from what is installed
	$(BIN)/python tools/lock.py

clean:           ## remove what builds leave; keeps .venv/, data/ and runs/
	rm -rf build _docs jupyter_execute .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): settings.ini pyproject.toml setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
