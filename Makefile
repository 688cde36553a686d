# make demo   the whole loop on Elec2        make test   everything, on a real embedded broker
# make setup  the environment alone          make clean  leaves nothing behind
# make test-matrix  golden logs and laws on Python 3.11, 3.12 and 3.13, as found
# make bench-detection  false alarms, power, delays, costs; make bench-detection-tools comes first
# make simulate-seeds  10,000 bad days in memory (SEEDS=...)
# make chaos  kill -9, pauses, twins, full disks under load (KILLS=... MINUTES=... SEED=...)
# PYTHON=...  another interpreter            KEEP=1      keeps the demo's page up

.DELETE_ON_ERROR:
.PHONY: setup check test test-matrix demo bench bench-detection bench-detection-tools \
  bench-detection-tools-lock chaos simulate-seeds docs lock clean

BIN := .venv/bin
STAMP := .venv/.ready
LOCK := requirements.lock
DATA := replay/data/electricity.parquet
DEMO_ARGS ?=
BENCH_ARGS ?=
PYTEST_ARGS ?=
WORKERS ?= 4
SEEDS ?= 10000
KILLS ?= 40
MINUTES ?= 5
SEED ?= 1
KEEP ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

setup: $(STAMP)

$(STAMP): $(LOCK) pyproject.toml streamops/kafka/kafka-jars.lock
	@rm -f $@
	@python=$$(PYTHON='$(PYTHON)' sh bootstrap/find-python) && $$python bootstrap/preflight.py && \
	  echo "streamops: setting up .venv with $$python" && \
	  { $(BIN)/python -c '' 2>/dev/null || $$python -m venv --clear .venv; }
	@echo "streamops: installing $$(grep -c '^[a-z].*==' $(LOCK)) packages, a minute or two"
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r $(LOCK) || \
	  { $(BIN)/python bootstrap/preflight.py --explain; exit 1; }
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m streamops.kafka.jars
	@$(BIN)/python -m streamops.kafka.classes
	@touch $@

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --strict --num-workers 3 streamops
	@$(BIN)/lint-imports --no-logo

test: check
	@$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

demo: setup
	@$(BIN)/streamops simulate $(DATA) --home .streamops/demo $(if $(KEEP),--keep) $(DEMO_ARGS)

bench: setup
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

test-matrix: setup
	@WORKERS=$(WORKERS) sh bootstrap/matrix

bench-detection: setup
	@$(BIN)/python -m benchmarks.detection $(BENCH_ARGS)

bench-detection-tools: setup
	@$(BIN)/python -m benchmarks.detection --prepare

bench-detection-tools-lock: setup
	@for tool in evidently nannyml; do \
	  $(BIN)/uv pip compile benchmarks/$$tool/requirements.in --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --quiet --upgrade \
	  --custom-compile-command 'make bench-detection-tools-lock' \
	  --output-file benchmarks/$$tool/requirements.lock || exit 1; done

chaos: setup
	@$(BIN)/python -m benchmarks.chaos --kills $(KILLS) --minutes $(MINUTES) --seed $(SEED)

simulate-seeds: setup
	@$(BIN)/python -m tests.simulation.seeded --seeds $(SEEDS)

docs: setup
	@$(BIN)/python -m docs.build

lock: setup
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal \
	  --python-version 3.11 --generate-hashes --fork-strategy fewest --no-emit-index-url --quiet \
	  --custom-compile-command 'make lock' --upgrade --output-file $(LOCK)

clean:
	@rm -rf .venv .streamops build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache .coverage *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
