#!/usr/bin/env python3
"""Rebuilds the golden models and optimizers: python packages/core/golden/make.py [MODEL ...]

Needs torch, transformers, peft, sentencepiece (versions.json holds those of the committed files); about a minute of one CPU core.
"""

import json
import os
import platform
import shutil
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

sys.dont_write_bytecode = True
os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")
warnings.filterwarnings("ignore", message=".*Position ids are not supported.*")

import torch
import transformers

import adafactor
import optimizers
import tiny
from expected import write_expected

HERE = Path(__file__).resolve().parent
PACKAGES = ("torch", "transformers", "peft", "tokenizers", "sentencepiece", "safetensors")


def main(names):
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    adafactor.assert_equals_transformers()
    optimizers.write(HERE / "optimizers.json")
    for name, (encoder_decoder, seed, make) in tiny.MODELS.items():
        if names and name not in names:
            continue
        print(name, flush=True)
        folder = HERE / "models" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        write_expected(folder, encoder_decoder, seed)
    versions = {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}}
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")
    total = sum(p.stat().st_size for p in (HERE / "models").rglob("*") if p.is_file())
    print(f"{total / 2**20:.1f} MiB under models/")


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(tiny.MODELS)
    if unknown:
        raise SystemExit(f"unknown model {sorted(unknown)}; known: {sorted(tiny.MODELS)}\n\n{__doc__}")
    main(sys.argv[1:])
