# svft-bench. `make help` lists what there is; every target sets up .venv by itself where it is missing.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
RUN := $(BIN)/python run.py

export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help doctor demo real search-real test test-cluster test-page test-slow soak lint format tables plots report bench bench-gpu methods search micro twins neighbours manifests params readme assets lock clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; name one with make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

doctor: $(READY) ## is this machine ready; ARGS="experiment=table1": for what that loads, too
	@$(BIN)/python -m harness.doctor $(ARGS)

demo: $(READY) ## the main job on the embedded default: table and Pareto plot into demo/
	HF_HUB_OFFLINE=1 $(RUN) -m $(DEMO) $(TWO) task=micro_gsm model=micro_gemma method=full,lora,svft_plain,svft_banded,svft_random
	HF_HUB_OFFLINE=1 $(RUN) $(DEMO) task=micro_gsm model=micro_gemma method=lora method.adapter.r=1
	HF_HUB_OFFLINE=1 $(RUN) -m $(DEMO) $(TWO) task=digits model=micro_vit method=head,lora,svft_plain,svft_banded,svft_random
	@$(BIN)/python -m analysis plots --runs demo/runs --out demo/figures
	@$(BIN)/python -m analysis tables --runs demo/runs --print
DEMO := runs_dir=demo/runs wandb.mode=disabled
TWO := hydra.launcher.workers=2 hydra.launcher.logs=demo/logs

# Two runs at a time, of one thread each. What is finished is skipped, so that a second call goes on where the first was stopped.
real: $(READY) ## a real encoder (22.7M) on real sentences, nine methods, five seeds: fetched, run, tabled into real/
	@$(BIN)/python -m assets.fetch_real
	@mkdir -p real/runs/experiments
	@cp runs/experiments/real.json real/runs/experiments/
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(RUN) $(REAL) hydra.launcher.workers=2 hydra.launcher.logs=real/logs
	@$(BIN)/python -m analysis plots pareto_real --runs real/runs --out real/figures
	@$(BIN)/python -m analysis tables real --runs real/runs --print
REAL := experiment=real runs_dir=real/runs wandb.mode=disabled threads=1 evaluate.splits=[test]

search-real: $(READY) ## learning rates of make real: one procedure for every method, on validation data (half an hour)
	@$(BIN)/python -m assets.fetch_real
	HF_HUB_OFFLINE=1 $(BIN)/python -m harness.search experiment=real wandb.mode=disabled threads=1
	@$(PICK) --family real --model minilm_l6 --task vader_movies

test: $(READY) ## the whole test suite, seven minutes on 2 cores
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

test-cluster: $(READY) ## sweeps on a real SLURM of one node, which is installed (Debian, root) and started for it
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster -rs tests/cluster

test-page: $(READY) ## the page of all results in a real browser, which is installed (Debian, root) where there is none
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m page -rs tests/page

test-slow: $(READY) ## the tests that take minutes: 50 steps on two devices for every method
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n $(WORKERS)

KILLS ?= 100
soak: $(READY) ## kill -9 runs, sweeps and table builds at random moments (KILLS=100), and compare with undisturbed ones
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak --kills $(KILLS)

lint: $(READY) ## style and errors, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## mend style where that can be done by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Where both are asked for, one process makes both: it reads the records once.
BOTH := $(if $(filter readme,$(MAKECMDGOALS)),tables plots,$(filter tables plots,$(MAKECMDGOALS)))

tables: $(READY) ## from runs/ alone: results, the paper's tables and their twins, errata, into analysis/output
	$(BIN)/python -m analysis $(or $(BOTH),tables)

plots: $(READY) ## from runs/ alone: Pareto plots, the paper's figures and their twins, into analysis/output/figures
	$(if $(filter tables,$(BOTH)),@:,$(BIN)/python -m analysis plots)

report: $(READY) ## from runs/ alone: one page with every number, its test items and its verdict
	$(BIN)/python -m analysis report

METHODS := full,lora,dora,vera,boft,svft_plain,svft_banded,svft_random,svft_topk
GRID := evaluate.splits=[validation] wandb.mode=disabled 'train.lr=3e-4,1e-3,3e-3,1e-2,3e-2,1e-1'
PICK := $(BIN)/python -m analysis search

search: $(READY) ## learning rates of the micro tasks: one grid for every method, picked on validation data (five hours)
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=digits model=micro_vit seed=0,1,2 method=head
	@$(PICK) --family micro_vision --model micro_vit --task digits
	HF_HUB_OFFLINE=1 $(RUN) experiment=lr_search wandb.mode=disabled task=digits model=micro_vit seed=0,1,2
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=digits model=micro_vit seed=0,1,2 method=vectorfit method.avf=false
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=digits model=micro_vit seed=0,1,2 method=vectorfit method.adapter.train_bias=false
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=digits model=micro_vit seed=0,1,2 method=spectral_additive method.adapter.r=5
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=digits model=micro_vit seed=0,1,2 method=spectral_rotation method.adapter.r=32
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=digits model=micro_vit seed=0,1,2 method=oft method.adapter.oft_block_size=16
	@$(PICK) --family micro_vision --model micro_vit --task digits
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=micro_gsm model=micro_gemma method=full,lora,svft_plain,svft_banded,svft_random,svft_topk
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=micro_gsm model=micro_gemma method=lora method.adapter.r=1
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=micro_gsm model=micro_gemma method=dora method.adapter.r=4 method.targets=QKVUD
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=micro_gsm model=micro_gemma method=vera method.targets=GU
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=micro_gsm model=micro_gemma method=boft method.targets=QV
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=micro_gsm model=micro_gemma method=pissa,adalora,svf,spectral_additive
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=micro_gsm model=micro_gemma method=spectral_rotation method.adapter.r=32
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=micro_gsm model=micro_gemma method=vectorfit method.adapter.train_bias=false
	HF_HUB_OFFLINE=1 $(RUN) -m $(GRID) task=micro_gsm model=micro_gemma method=oft method.adapter.oft_block_size=16
	@$(PICK) --family micro_math --model micro_gemma --task micro_gsm

SEEDS ?= 0,1,2,3,4
micro: $(READY) ## the micro results: every method on both micro tasks, five seeds, into runs/ (hours)
	HF_HUB_OFFLINE=1 $(RUN) -m wandb.mode=disabled task=digits model=micro_vit seed=$(SEEDS) method=head,$(METHODS)
	HF_HUB_OFFLINE=1 $(RUN) -m wandb.mode=disabled task=micro_gsm model=micro_gemma seed=$(SEEDS) method=$(METHODS)
	HF_HUB_OFFLINE=1 $(RUN) -m wandb.mode=disabled task=micro_gsm model=micro_gemma seed=$(SEEDS) method=lora method.adapter.r=1

TWINS := micro_table1 micro_table2 micro_table3 micro_table4 micro_table5 micro_table6 micro_table8 micro_table9 \
	micro_table10 micro_figure1 micro_figure4 micro_figure5
twins: $(READY) ## the micro twin of every table and figure of the paper, one seed, into runs/ (two hours)
	for twin in $(TWINS); do HF_HUB_OFFLINE=1 $(RUN) experiment=$$twin wandb.mode=disabled || exit 1; done

NEIGHBOURS := comparison vectorfit_strength fusion micro_spectral_table1 micro_spectral_table2
neighbours: $(READY) ## VectorFit, Spectral Adapter and the controls on the micro tasks, into runs/ (two hours)
	for name in $(NEIGHBOURS); do HF_HUB_OFFLINE=1 $(RUN) experiment=$$name wandb.mode=disabled || exit 1; done

bench: $(READY) ## speed and memory side by side on this CPU: training steps, SVD, generation, precision, runs (BESIDE=FOLDER)
	$(BIN)/python -m bench.block
	$(BIN)/python -m bench.encoder $(if $(wildcard .cache/real/minilm_l6),--checkpoint .cache/real/minilm_l6)
	$(BIN)/python -m bench.forms
	$(BIN)/python -m bench.svd
	$(BIN)/python -m bench.generation
	$(BIN)/python -m bench.precision
	$(BIN)/python -m bench.runs $(if $(wildcard .cache/real/minilm_l6),--real .cache/real) $(if $(BESIDE),--beside $(BESIDE))

bench-gpu: $(READY) ## training steps at the true sizes of Gemma-2B, Gemma-7B and LLaMA-3-8B, random weights, on a GPU
	for shape in gemma2b gemma7b llama3_8b; do $(BIN)/python -m bench.block --device cuda --dtype bfloat16 --shape $$shape || exit 1; done
	$(BIN)/python -m bench.model
	$(BIN)/python -m bench.model --protocol llama3_8b_udog,llama3_3b_all

# On one thread, so that the process's own time is the step's. What is measured already is skipped; ARGS=--again measures it anew.
methods: $(READY) ## what each method of conf/method costs and keeps, beside LoRA r=8; MiniLM too where `make real` fetched it
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.costs $(if $(wildcard .cache/real/minilm_l6),--real .cache/real) $(ARGS)

manifests: $(READY) ## what each experiment consists of, for the tables and figures, into runs/experiments/
	$(BIN)/python -m papers.manifests

params: $(READY) ## count the parameters of every row of the paper anew, on the meta device, into runs/params/
	$(BIN)/python -m papers.recount

readme: tables plots ## put the tables into README.md and docs/
	$(BIN)/python -m analysis readme

assets: $(READY) ## make the micro checkpoints anew (about two hours on 2 cores)
	$(BIN)/python -m assets.make_micro_gemma --out assets/micro_gemma
	$(BIN)/python -m assets.make_micro_pythia --out assets/micro_pythia
	$(BIN)/python -m assets.make_micro_deberta --out assets/micro_deberta
	$(BIN)/python -m assets.make_micro_vit --out assets/micro_vit

lock: ## resolve requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --no-annotate --no-header --python-version 3.11 -o requirements.lock

clean: ## remove .venv, caches, demo/ and real/; runs/ stays
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache demo real
