#!/usr/bin/env python3
"""PEFT LoRA adapters on the golden models, with the logits that PEFT gives: python packages/core/golden/lora.py

Needs what make.py needs, and its models. Writes models/NAME/lora/: the adapter (rank 2, alpha 3, queries and values, both halves
random; of T5Gemma 2 the head, too), expected.safetensors with `logits` [N, V] of the batch in expected.json, and nothing else.
"""

import json
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import peft
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

HERE = Path(__file__).resolve().parent


def write(name):
    folder = HERE / "models" / name
    expected = json.loads((folder / "expected.json").read_text())
    seq2seq = expected["kind"] == "encoder-decoder"
    base = (AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM).from_pretrained(folder, dtype=torch.float32)
    targets = {
        "t5-v1.1": ["q", "v"],
        "llama": ["q_proj", "v_proj"],
        # Not those of the vision tower; the head is a module within `lm_head`.
        "t5gemma2": r"model\.(encoder\.text_model|decoder)\.layers\.\d+\.self_attn\.(q_proj|v_proj)|lm_head\.out_proj",
    }
    config = peft.LoraConfig(r=2, lora_alpha=3, target_modules=targets[name],
                             task_type="SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM")
    model = peft.get_peft_model(base, config).eval()
    torch.manual_seed(5)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, std=0.2)
    rows = []
    with torch.no_grad():
        for source, target in zip(expected["batch"]["inputIds"], expected["batch"]["targetIds"]):
            if seq2seq:
                rows.append(model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).logits[0])
            else:
                logits = model(input_ids=torch.tensor([source + target])).logits[0]
                rows.append(logits[len(source) - 1:-1])
    out = folder / "lora"
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    adapter = out / "adapter_config.json"
    saved = json.loads(adapter.read_text())
    saved["base_model_name_or_path"] = ""
    if not isinstance(saved["target_modules"], str):
        saved["target_modules"] = sorted(saved["target_modules"])
    adapter.write_text(json.dumps(saved, indent=2) + "\n")
    save_file({"logits": torch.cat(rows)}, str(out / "expected.safetensors"))


for name in ("t5-v1.1", "llama", "t5gemma2"):
    write(name)
