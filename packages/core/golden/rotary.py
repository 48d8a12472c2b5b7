#!/usr/bin/env python3
"""Frequencies of rotary positions under every scaling: python packages/core/golden/rotary.py

Needs transformers. Writes rotary.json: of each case the keys of config.json, the length of the sequence, and what
modeling_rope_utils.py makes of them: frequencies (float32) and the factor of cosines and sines.
"""

import json
from pathlib import Path

import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HERE = Path(__file__).resolve().parent
THETA = {"rope_theta": 50000.0}
ORIGINAL = {"original_max_position_embeddings": 64}
FACTORS = {"short_factor": [1.0 + i / 8 for i in range(8)], "long_factor": [1.0 + i * i for i in range(8)]}
CASES = [
    ({"rope_type": "linear", "factor": 4.0}, [32]),
    ({"rope_type": "dynamic", "factor": 2.0}, [32, 128, 129, 200]),
    ({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **ORIGINAL}, [32]),
    ({"rope_type": "yarn", "factor": 4.0, **ORIGINAL}, [32]),
    ({"rope_type": "yarn", "factor": 4.0, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": False, **ORIGINAL}, [32]),
    ({"rope_type": "yarn", "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 1.3, **ORIGINAL}, [32]),
    ({"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.25, **ORIGINAL}, [32]),
    ({"rope_type": "longrope", **FACTORS, **ORIGINAL}, [32, 64, 65]),
    ({"rope_type": "longrope", **FACTORS, **ORIGINAL, "factor": 3.0}, [32]),
    ({"rope_type": "longrope", **FACTORS, **ORIGINAL, "attention_factor": 1.5}, [65]),
]


def main():
    out = []
    for keys, lengths in CASES:
        config = LlamaConfig(hidden_size=64, num_attention_heads=4, max_position_embeddings=128,
                             rope_parameters={**THETA, **keys})
        for length in lengths:
            frequencies, factor = ROPE_INIT_FUNCTIONS[keys["rope_type"]](config, "cpu", seq_len=length)
            out.append({"keys": {**THETA, **keys}, "length": length, "attention": float(factor),
                        "frequencies": torch.as_tensor(frequencies).tolist()})
    content = {"headWidth": 16, "positions": 128, "cases": out}
    (HERE / "rotary.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
