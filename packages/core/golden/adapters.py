#!/usr/bin/env python3
"""PEFT LoRA adapters of every kind on two tiny models, with the logits that PEFT gives: python packages/core/golden/adapters.py

Writes golden/adapters/: `untied` and `tied`, Llamas of width 16 with and without a head of their own; `NAME/`, an adapter with random
weights; and expected.json: `ids` (one sequence), `logits` without an adapter and with each, after a reload by PEFT.
Needs torch, transformers, peft; a few seconds.
"""

import json
import os
import shutil
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

sys.dont_write_bytecode = True
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")

import peft
import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).resolve().parent / "adapters"
IDS = [5, 1, 19, 7, 7, 2, 11, 23, 0, 14]
LINEAR = ["q_proj", "v_proj"]

# Adapter: the model, and what its configuration says beside r = 2.
ADAPTERS = {
    "plain": ("untied", dict(target_modules=LINEAR)),
    "bin": ("untied", dict(target_modules=LINEAR)),
    "rslora": ("untied", dict(target_modules="all-linear", use_rslora=True, lora_alpha=3)),
    "patterns": ("untied", dict(target_modules=["q_proj", "v_proj", "down_proj"], rank_pattern={"v_proj": 1, r"layers\.1\.mlp\.down_proj": 3},
                                alpha_pattern={"self_attn.q_proj": 5})),
    "regex": ("untied", dict(target_modules=r".*layers\.[01]\.(self_attn\.k_proj|mlp\.up_proj)", exclude_modules=["model.layers.0.self_attn.k_proj"])),
    "layers": ("untied", dict(target_modules=LINEAR, layers_to_transform=[1], layers_pattern="layers")),
    "dora": ("untied", dict(target_modules=["q_proj", "gate_proj", "lm_head"], use_dora=True)),
    "pissa": ("untied", dict(target_modules=LINEAR, init_lora_weights="pissa")),
    "olora": ("untied", dict(target_modules=["q_proj", "down_proj"], init_lora_weights="olora", lora_alpha=2)),
    "lora-bias": ("untied", dict(target_modules=LINEAR, lora_bias=True)),
    "save": ("untied", dict(target_modules=LINEAR, modules_to_save=["lm_head", "input_layernorm"])),
    # By the ends of names: all norms.
    "save-norms": ("untied", dict(target_modules=LINEAR, modules_to_save=["norm"])),
    "embedding": ("untied", dict(target_modules=["q_proj", "embed_tokens", "lm_head"])),
    "tokens": ("untied", dict(target_modules=LINEAR, trainable_token_indices=[7, 2])),
    "tokens-of-both": ("untied", dict(target_modules=LINEAR, trainable_token_indices={"embed_tokens": [7, 2], "lm_head": [0]})),
    "bias-all": ("tied", dict(target_modules=LINEAR, bias="all")),
    "bias-own": ("tied", dict(target_modules=LINEAR, bias="lora_only", lora_bias=True)),
    "tied-head": ("tied", dict(target_modules=["lm_head"])),
    "tied-dora-head": ("tied", dict(target_modules=["lm_head"], use_dora=True)),
    "tied-embedding": ("tied", dict(target_modules=["embed_tokens"])),
    "tied-tokens": ("tied", dict(target_modules=LINEAR, trainable_token_indices=[7, 2])),
    "tied-save": ("tied", dict(target_modules=LINEAR, modules_to_save=["embed_tokens"])),
    "tied-save-head": ("tied", dict(target_modules=LINEAR, modules_to_save=["lm_head"])),
    "tied-save-both": ("tied", dict(target_modules=LINEAR, modules_to_save=["embed_tokens"], ensure_weight_tying=True)),
}  # fmt: skip


def make_model(name):
    torch.manual_seed(3)
    tied = name == "tied"
    config = LlamaConfig(vocab_size=24, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                         max_position_embeddings=64, tie_word_embeddings=tied, attention_bias=tied, bos_token_id=1, eos_token_id=2)  # fmt: skip
    model = LlamaForCausalLM(config)
    for key, parameter in model.named_parameters():
        if not key.endswith("norm.weight"):
            torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(OUT / name)
    (OUT / name / "generation_config.json").unlink()


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([IDS])).logits[0].tolist()


def base(name):
    return AutoModelForCausalLM.from_pretrained(OUT / name, dtype=torch.float32)


def make_adapter(name, of, settings):
    torch.manual_seed(5)
    model = peft.get_peft_model(base(of), peft.LoraConfig(r=2, task_type="CAUSAL_LM", **settings))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn(parameter.shape), alpha=0.3)
    folder = OUT / name
    model.save_pretrained(folder, safe_serialization=name != "bin")
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    saved = json.loads(path.read_text())
    saved["base_model_name_or_path"] = f"../{of}"
    if isinstance(saved["target_modules"], list):
        saved["target_modules"].sort()
    path.write_text(json.dumps(saved, indent=2) + "\n")
    values = logits(peft.PeftModel.from_pretrained(base(of), folder))
    if settings.get("init_lora_weights") is None:
        assert torch.allclose(torch.tensor(values), torch.tensor(logits(model)), atol=1e-5), name
    return values


def main():
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for name in ("untied", "tied"):
        make_model(name)
    expected = {"versions": {name: version(name) for name in ("torch", "transformers", "peft")}, "ids": IDS,
                "plain": {name: logits(base(name)) for name in ("untied", "tied")},
                "adapters": {name: {"of": of, "logits": make_adapter(name, of, settings)} for name, (of, settings) in ADAPTERS.items()}}  # fmt: skip
    (OUT / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
