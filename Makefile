# Everything starts from Python 3.11, gcc and make: the targets create .venv themselves, and only once.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready

# Metaflow asks who runs a flow, and takes root for no answer.
export METAFLOW_USER ?= $(patsubst root,developer,$(shell id -un))

# Tests start more than a thousand processes that import dlcycle: each would compile it anew where images set this.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-faults test-kubernetes lint

setup: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev,kubernetes]'
	@# On all cores, unlike pip; some packages hold templates that do not compile.
	$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null || true
	touch $@

demo: $(READY)
	$(BIN)/python flows/train_flow.py run --run-id-file .venv/demo-run-id
	@$(BIN)/python flows/train_flow.py --quiet logs --stdout $$(cat .venv/demo-run-id)/end

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One process more than cores, because runs of flows also wait; more than four gain little.
WORKERS ?= $(shell cores=$$(nproc); echo $$((cores < 4 ? cores + 1 : 4)))
test: lint
	$(BIN)/python -m pytest --ignore=tests/kubernetes -n $(WORKERS) --dist loadscope --durations 15

# Kills runs at every rename of their scheduler and workers, which takes hours; CRASH_CHAINS=5 kills at about 200 of them.
CRASH_CHAINS ?= 0
test-faults: $(READY)
	ALL_FAULTS=1 CRASH_CHAINS=$(CRASH_CHAINS) $(BIN)/python -m pytest tests/faults

# Runs pods on the cluster that KUBECONFIG and Metaflow's configuration name; TEST_CLUSTER may be a command that takes
# another as its arguments and gives it a cluster. Two files of tests at a time, because they mostly wait.
TEST_CLUSTER ?=
KUBERNETES_TESTS ?= tests/kubernetes
test-kubernetes: $(READY)
	$(TEST_CLUSTER) $(abspath $(BIN))/python -m pytest $(KUBERNETES_TESTS) -n 2 --dist loadscope --durations 15
