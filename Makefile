# Two commands are all there is to know: `make demo` and `make test`. Only make and a Python ≥ 3.11 are needed.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PY := .venv/bin/python
# One more than two cores: whoever waits for a browser, a kill or a slow receiver leaves them to the others.
TEST_WORKERS ?= 3
PORT ?= 8000
MAILS ?= 100000
KILLS ?= 300

.PHONY: help install demo demo-reset test soak check format lock translations

help:  ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "make %-14s %s\n", $$1, $$2}'

# The copy inside .venv says what was installed: no change, no work, whatever git did to the times of files.
install:  ## make .venv and install the locked packages, when something changed
	@if [ ! -x $(PY) ]; then \
	  for python in $(PYTHON) python3.12 python3.13 python3.11 python3.14 python3 python; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found="$$python"; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "Python 3.11 or newer is needed, and none was found. Install it, or name one: make demo PYTHON=/path/to/python3.12" >&2; exit 1; \
	  fi; \
	  echo "Making .venv with $$("$$found" --version) …"; \
	  "$$found" -m venv .venv || { rm -rf .venv; \
	    echo "That Python cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }; \
	fi
	@cmp -s requirements-dev.lock .venv/requirements-dev.lock || { \
	  echo "Installing the packages of requirements-dev.lock …"; \
	  $(PY) -m pip install --disable-pip-version-check --quiet -r requirements-dev.lock && \
	  cp requirements-dev.lock .venv/requirements-dev.lock; }

demo: install  ## the whole product with sample data in the browser (PORT=8000)
	@$(PY) manage.py demo --port $(PORT)

demo-reset: install  ## the same, starting over with fresh sample data
	@$(PY) manage.py demo --port $(PORT) --reset

test: install  ## all tests, on real PostgreSQL and Redis
	$(PY) -m pytest -n $(TEST_WORKERS)

soak: install  ## the sending promise under hundreds of kills, for many minutes (MAILS=100000 KILLS=300)
	$(PY) -m tests.faults.soak --mails $(MAILS) --kills $(KILLS)

check: install translations  ## lint, format, types, imports, migrations, texts, docs
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	SMP_DEVELOPMENT=1 DATABASE_URL=postgresql://types@localhost/types REDIS_URL=redis://localhost/0 $(PY) -m mypy  # reads the settings, asks no server
	.venv/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py translations check
	$(PY) -m pytest -n 0 tests/test_docs.py tests/test_rules.py

format: install  ## format the code and mend what ruff can mend
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

translations: install
	@$(PY) -c 'from smp.translations import compile_if_needed; compile_if_needed()'

lock: install  ## write the lock files from what .venv holds
	$(PY) .ci/lock.py
