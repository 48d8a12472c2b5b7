#!/usr/bin/env python3
"""Rebuilds every golden file but real.json (which needs two real models): python packages/core/golden/all.py

    pip install torch transformers peft sentencepiece gguf sacrebleu rouge-score nltk datasets lm-eval
"""

import subprocess
import sys
from pathlib import Path

scripts = "make rotary lora adapters make_grids make_files gguf_families make_tokenizers metrics text sampling chat data dcp harness"
for script in (f"{name}.py" for name in scripts.split()):
    print(script, flush=True)
    subprocess.run([sys.executable, Path(__file__).with_name(script)], check=True)
