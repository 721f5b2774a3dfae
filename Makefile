# Everything runs in a virtual environment of the project's own, made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
# So many tests at a time, each on one thread: as many as the machine has cores, where it has memory for them (2 GB each).
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
SENTENCES := "i [MASK] a little boy" "she is a little [MASK] ." "the snow is cold and [MASK] ." \
	"he was sad because he [MASK] his dog ."
WORD_ORDER := --model $(DEMO) --train bertkit/assets/word_order/train.tsv --lr 5e-4 --epochs 6 --overwrite \
	--validation bertkit/assets/word_order/validation.tsv

.PHONY: help demo test test-slow test-browser check docs pictures format bench golden release clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# The constraints pin torch: an open range would pull gigabytes of GPU libraries onto a machine without one.
$(VENV)/.installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c .ci/constraints.txt -e . --group dev
	@touch $@

demo: $(VENV)/.installed  ## Pretrain on the embedded stories, fill masks, fine-tune
	$(BIN)/bertkit pretrain --recipe demo --out $(DEMO) --overwrite
	$(BIN)/bertkit mask-fill --model $(DEMO) --top-k 3 $(SENTENCES)
	@echo; echo "The same sentences by the model that comes with bertkit, which learned from 700 times as much text:"
	$(BIN)/bertkit mask-fill --model embedded --top-k 3 $(SENTENCES)
	@echo; echo "Fine-tune: is it a sentence, or are its words scrambled? First from the pretrained weights,"
	$(BIN)/bertkit finetune $(WORD_ORDER) --out runs/demo-classifier
	@echo; echo "and the same from random weights, to see what pretraining bought:"
	$(BIN)/bertkit finetune $(WORD_ORDER) --out runs/demo-control --set train.from_scratch=true
	@echo; echo "What pretraining bought: is it a sentence, or are its words scrambled?"
	@$(BIN)/python docs/examples/bought.py runs/demo-classifier runs/demo-control
	@echo; echo "The curves of the three runs, with what each checkpoint knew:"
	$(BIN)/bertkit report $(DEMO) runs/demo-classifier runs/demo-control --out runs/demo.html --overwrite
	@echo; echo 'Ask it: $(BIN)/bertkit predict runs/demo-classifier "dog the house ran to a the."'

test: $(VENV)/.installed  ## Run the tests (CPU, no network; WORKERS=8 runs eight at a time)
	$(PYTEST)

test-slow: $(VENV)/.installed  ## Run the long tests too (BERTKIT_KILLS=100 kills as often)
	$(PYTEST) -m "not browser"

test-browser: $(VENV)/.installed  ## Look at the pages in Chromium (installs it, if need be)
	{ command -v chromium && command -v chromedriver; } >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core; }
	$(BIN)/python -m pip install --quiet -c .ci/constraints.txt "selenium>=4.30"
	$(BIN)/pytest -m browser tests/browser

bench: $(VENV)/.installed  ## Measure beside transformers (30 min) → runs/bench.md
	$(BIN)/python -m pip install --quiet -c .ci/constraints.txt -e ".[fast]"
	mkdir -p runs
	cd tests && ../$(BIN)/python -m benchmarks table --out ../runs/bench.md

golden: $(VENV)/.installed  ## Write the losses of tests/golden anew, and show what changed
	cd tests && ../$(BIN)/python -m golden.losses
	git --no-pager diff --stat -- tests/golden

check: $(VENV)/.installed  ## Lint, formatting, types and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

docs: $(VENV)/.installed  ## Write the generated pages and build docs/site, strictly
	$(BIN)/python -m pip install --quiet -c .ci/constraints.txt --group docs
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build --strict --config-file docs/zensical.toml

pictures: $(VENV)/.installed  ## Draw the README's pictures (make demo first; Chromium)
	$(BIN)/python docs/pictures.py

format: $(VENV)/.installed  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

release: $(VENV)/.installed  ## Build into dist/, check, and use the wheel without network
	$(BIN)/python -m pip install --quiet --group release
	rm -rf dist
	$(BIN)/python -m build .
	$(BIN)/twine check --strict dist/*
	.ci/try-wheel dist/*.whl

clean:  ## Remove the virtual environment and what was built
	rm -rf $(VENV) dist build docs/site docs/.cache .pytest_cache .mypy_cache .ruff_cache
