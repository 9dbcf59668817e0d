# Every target works on one .venv, which the first of them makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SUITE ?= librdkafka
# processes that tests are spread over
JOBS ?= 2

.PHONY: serve test test-fast s3-servers helm check conformance bench docs wheel pythons clean

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $(STAMP)

serve: $(STAMP)  ## run the broker on 127.0.0.1:9092 with the embedded stores
	@exec $(BIN)/moldau serve $(ARGS)

test: $(STAMP) s3-servers helm  ## all tests; those that fail are tried once more, by themselves
	timeout --kill-after 20 2100 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS) || if [ $$? -ge 124 ]; \
	then echo "a process of the tests died, or they hang: once more"; $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS); \
	else $(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(ARGS); fi

s3-servers: $(STAMP)  ## provide the object stores that tests run against (some minutes, once; needs Go and npm)
	$(BIN)/python -m tools.s3_servers

helm: $(STAMP)  ## build Helm, which tests check the chart with (some minutes, once; needs Go)
	$(BIN)/python -m tools.helm

test-fast: $(STAMP)  ## only the tests that take milliseconds
	$(BIN)/python -m pytest -m "not slow and not java and not kcat" $(ARGS)

check: $(STAMP)  ## style, types, layers, fresh generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.codegen --check
	$(BIN)/python -m tools.docs --check

conformance: $(STAMP)  ## third-party suites: make conformance SUITE=librdkafka|librdkafka-noauto|franz_go|java_cli|gate|all
	$(BIN)/python conformance/run $(SUITE) $(ARGS)

bench: $(STAMP)  ## figures beside Apache Kafka in one interleaved run; CLUSTER=1: three brokers beside three; TRANSACTIONS=1; GROUPS=1
	$(BIN)/python -m bench $(if $(CLUSTER),--cluster) $(if $(TRANSACTIONS),--transactions) $(if $(GROUPS),--groups) $(ARGS)

docs: $(STAMP)  ## regenerate the generated pages
	$(BIN)/python -m tools.docs $(ARGS)
	$(BIN)/python tools/cli_reference.py

wheel: $(STAMP)  ## build dist/moldau-*.whl
	$(BIN)/python -m build --wheel --outdir dist .

pythons: wheel  ## the wheel and the tests under CPython 3.12, 3.13 and 3.14, in roots made by debootstrap (needs root's rights)
	tools/try_pythons --tests $(ARGS)

clean:
	rm -rf $(VENV) dist build
