# A thin front door to CMake; `make help` says what there is.

.DEFAULT_GOAL := help
SHELL := /bin/bash
JOBS ?= $(shell nproc)
IMAGE ?= spillway
# What `make run` starts the program with.
ARGS ?= --demo
# Frame pointers for the stacks, function names for their reader; warnings are the other builds' business.
PROFILE_FLAGS = -O2 -g1 -fno-omit-frame-pointer -w
TRAINING_FLAGS = -G Ninja -DCMAKE_BUILD_TYPE=Release -DSPILLWAY_LTO=ON -DBUILD_TESTING=OFF -DSPILLWAY_TRAINING=record
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 1800
FUZZ_JOBS ?= $(JOBS)
FORMATTED = $(wildcard core/*.[ch]pp config/*.[ch]pp server/*.[ch]pp tests/unit/*.[ch]pp tests/simulation/*.[ch]pp tests/bench/*.[ch]pp tests/fuzz/*.[ch]pp)

define DEMO_CURL
curl -i http://localhost:4000/v1/chat/completions -H 'content-type: application/json' \
       -d '{"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}'
endef
export DEMO_CURL

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the release program, build/spillway
	@docker/install_dependencies.sh build
	@mkdir -p build && cmake --preset release >build/configure.log
	@cmake --build --preset release --parallel $(JOBS) --target spillway
	@install -m 755 build/release/spillway build/spillway

.PHONY: training
training: ## Make docker/training anew: what release builds are compiled by (15 minutes)
	@docker/install_dependencies.sh bench
	@mkdir -p build && cmake --preset release >build/configure.log
	@cmake --build --preset release --parallel $(JOBS) --target bench_programs
	@rm -rf build/training/training
	@cmake -S . -B build/training $(TRAINING_FLAGS) >build/configure-training.log
	@cmake --build build/training --parallel $(JOBS) --target spillway
	@tests/bench/train.py build/training

.PHONY: run
run: build ## Build and serve the demo on port 4000 (ARGS="--config FILE" serves your own configuration)
	@printf '\nTry it from another terminal:\n\n  %s\n\n' "$$DEMO_CURL"
	@exec build/spillway serve $(ARGS)

.PHONY: test
test: ## Build and run every test (black-box in release, ASan + UBSan and TSan; unit, short fuzzing)
	@docker/install_dependencies.sh test
	@docker/install_dependencies.sh fuzz || echo 'No Clang to be had: the fuzz targets run without libFuzzer.'
	@tests/run_all.sh

.PHONY: catalogue
catalogue: build ## Run the failure catalogue and write docs/failures.md from what was seen (takes 2 minutes)
	@SPILLWAY_CATALOGUE=$(CURDIR)/docs SPILLWAY_DOWN_SECONDS=60 \
	  tests/run_blackbox.sh build/spillway -n 0 -k failure_catalogue

.PHONY: reliability
reliability: build ## Run every black-box test and write docs/reliability.md, the fault catalogue, from what was seen
	@SPILLWAY_RELIABILITY=$(CURDIR)/docs tests/run_blackbox.sh build/spillway

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZ_SECONDS (600), or those of FUZZ_TARGETS; FUZZ=--keep extends the kept corpus
	@docker/install_dependencies.sh fuzz
	@tests/fuzz/build.sh
	@tests/fuzz/run.py --seconds $(FUZZ_SECONDS) --jobs $(FUZZ_JOBS) $(FUZZ) $(FUZZ_TARGETS)

.PHONY: soak
soak: build ## Mix all kinds of traffic with reloads for SOAK_SECONDS (1800) and reconcile every request (SOAK="--seed 2")
	@tests/soak/soak.py --program build/spillway --seconds $(SOAK_SECONDS) $(SOAK)

.PHONY: bench
bench: ## Measure beside nginx and HAProxy, and write docs/benchmarks.md (40 minutes; BENCH=--quick: 3, no page)
	@docker/install_dependencies.sh bench
	@mkdir -p build && cmake --preset release >build/configure.log
	@cmake --build --preset release --parallel $(JOBS) --target spillway bench_programs
	@tests/bench/bench.py $(if $(BENCH),$(BENCH),--docs docs)

.PHONY: bench-gateways
bench-gateways: ## Install Portkey and LiteLLM for the benchmark, below build/ (BENCH="--with portkey,litellm --docs docs")
	@tests/bench/install_gateways.sh

.PHONY: profile
profile: ## See where the time of a request goes: writes docs/profile.md and its flame graphs (a minute)
	@docker/install_dependencies.sh profile
	@mkdir -p build && cmake --preset release >build/configure.log
	@cmake --build --preset release --parallel $(JOBS) --target bench_programs
	@cmake -S . -B build/profile -G Ninja -DBUILD_TESTING=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	  -DCMAKE_CXX_FLAGS_RELWITHDEBINFO='$(PROFILE_FLAGS)' >build/configure-profile.log
	@cmake --build build/profile --parallel $(JOBS) --target spillway
	@tests/bench/profiling.py --docs docs

.PHONY: mutate
mutate: ## Break one rule of core/ at a time and see that a unit test notices (ten minutes)
	@tests/mutate.py --jobs $(JOBS)

.PHONY: sbom
sbom: build ## Write build/spillway.spdx.json, the bill of materials of the release program
	@docker/write_sbom.py build/release build/release/spillway build/spillway.spdx.json

.PHONY: reproducible
reproducible: ## Build the release twice, in different folders, and see that both have the same bytes (ten minutes)
	@docker/install_dependencies.sh build
	@docker/check_reproducible.sh

.PHONY: image
image: ## Build the container image (IMAGE=spillway)
	@docker/build_image.sh $(IMAGE)

.PHONY: format
format: ## Format the sources with clang-format
	@clang-format -i $(FORMATTED)

.PHONY: check-format
check-format: ## Fail if clang-format would change something
	@clang-format --dry-run --Werror $(FORMATTED)

.PHONY: clean
clean: ## Remove what was built
	@rm -rf build
