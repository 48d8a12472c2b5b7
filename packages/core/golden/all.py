#!/usr/bin/env python3
"""Rebuilds every golden file but real.json (which needs two real models): python packages/core/golden/all.py

    pip install torch transformers peft sentencepiece gguf sacrebleu rouge-score nltk
"""

import subprocess
import sys
from pathlib import Path

for script in ("make.py", "lora.py", "adapters.py", "make_grids.py", "make_files.py", "make_tokenizers.py", "metrics.py"):
    print(script, flush=True)
    subprocess.run([sys.executable, Path(__file__).with_name(script)], check=True)
