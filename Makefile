# Everything a newcomer needs: `make demo`, `make test`. Only Python >= 3.11 and make are required.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Processes that run tests: more than there are cores, as most of a test is waiting.
WORKERS := 5

.PHONY: help setup demo test test-distributed bench chaos lint dashboards format lock sbom digests

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## create .venv from requirements.lock

$(INSTALLED): requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

demo: $(INSTALLED) ## the whole path on real services, with a live summary; SECONDS=40 ends by itself
	$(BIN)/python -m devstack demo $(if $(filter command line environment,$(origin SECONDS)),--seconds $(SECONDS))

test: $(INSTALLED) ## the whole test suite, on real services
	$(BIN)/python -m pytest -n $(WORKERS) --durations=10

# What has to hold on a Citus cluster, too: the data path, figures against the reference, the campaign.
ON_CITUS := $(addprefix tests/integration/test_, $(addsuffix .py, \
	sink poison live_state late_days quarantine rejecting salvage retention idle_sessions rollups \
	api_analytics api_corrections api_fleet corrected_meters figures fleet_figures)) \
	tests/acceptance/test_exactly_once.py tests/chaos/test_campaign.py

test-distributed: $(INSTALLED) ## the data path on a Citus cluster; says what it needs
	$(BIN)/python -m pytest -n $(WORKERS) --citus tests/distributed $(ON_CITUS) --durations=10

bench: $(INSTALLED) ## benchmarks, about three quarters of an hour; QUICK=1: about four minutes
	$(BIN)/python -m bench $(if $(QUICK),--quick)

chaos: $(INSTALLED) ## the fault campaign, with a table of its figures in out/; SHORT=1 for a few minutes of it
	$(BIN)/python -m pytest -n $(WORKERS) tests/chaos tests/integration/test_model.py --figures out $(if $(SHORT),,--long)

lint: $(INSTALLED) ## formatters, linters, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/biome ci --error-on-warnings
	$(BIN)/hadolint Dockerfile
	@for overlay in deploy/kubernetes/overlays/*; do \
		echo "$$overlay: kubectl kustomize, kubernetes-validate --strict"; \
		$(BIN)/kubectl kustomize $$overlay > .kustomized.yaml || exit 1; \
		$(BIN)/kubernetes-validate --strict --no-warn --quiet .kustomized.yaml || exit 1; \
	done; rm .kustomized.yaml

dashboards: $(INSTALLED) ## write Grafana's dashboards from deploy/grafana/dashboards.py
	$(BIN)/python -m deploy.grafana

format: $(INSTALLED) ## reformat
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/biome check --write

COMPILE := uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --quiet

lock: ## renew requirements.lock and its part that runs, runtime.lock, from pyproject.toml
	$(COMPILE) --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) --constraint requirements.lock pyproject.toml -o runtime.lock

sbom: $(INSTALLED) ## write out/sbom.json, what the image holds of Python packages (CycloneDX)
	mkdir -p out
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o out/sbom.json runtime.lock

digests: ## write docker-compose.digests.yml, the images' digests of today; needs Docker
	docker compose --file docker-compose.yml config --lock-image-digests --output docker-compose.digests.yml
