#!/usr/bin/env python3
"""Do Transformers and PEFT compute what promot computed? python packages/core/golden/verify.py FOLDER

FOLDER holds what promot wrote: a model folder, perhaps a PEFT prompt adapter folder, and one or more `*.json` files (any
name) directly in FOLDER, each

    { "model": path, "adapter": path or null, "input_ids": [ids], "target_ids": [ids],
      "logits": [[float; V]; one row for each target id] }

Paths are relative to FOLDER; where `model` is null, PEFT takes the model that the adapter names. One example a file, nothing padded: `input_ids` are the encoder's input (with its </s>) or the
decoder-only model's input, `target_ids` end with the end of sequence, `logits[i]` predict `target_ids[i]`. The logits must be
fp32 and within 1e-4 of Transformers' (absolute, and 1e-4 relative). Exit status 0 and a line per file where they are; else 1.
"""

import json
import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")

import torch
import transformers
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSeq2SeqLM, PeftConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

TOLERANCE = 1e-4
OF_IMAGES = ("vision_tower", "multi_modal_projector", "eoi_embedding")


@torch.no_grad()
def reference_logits(model_folder, adapter_folder, input_ids, target_ids):
    if model_folder is None:
        named = PeftConfig.from_pretrained(adapter_folder).base_model_name_or_path
        auto = AutoPeftModelForSeq2SeqLM if AutoConfig.from_pretrained(named).is_encoder_decoder else AutoPeftModelForCausalLM
        return logits_of(auto.from_pretrained(adapter_folder, dtype=torch.float32).eval(), input_ids, target_ids)
    encoder_decoder = AutoConfig.from_pretrained(model_folder).is_encoder_decoder
    kind = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
    # Gemma 2 caps its scores, which the fused kernels cannot.
    model, report = kind.from_pretrained(model_folder, dtype=torch.float32, output_loading_info=True,
                                         attn_implementation="eager")
    # Of T5Gemma 2 promot writes the text model, without what is of images.
    report["missing_keys"] = [k for k in report["missing_keys"] if not any(part in k for part in OF_IMAGES)]
    problems = {k: v for k, v in report.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")}
    if problems:
        raise SystemExit(f"{model_folder}: Transformers does not find the weights it needs: {problems}")
    AutoTokenizer.from_pretrained(model_folder)
    if adapter_folder is not None:
        model = PeftModel.from_pretrained(model, adapter_folder)
    return logits_of(model.eval(), input_ids, target_ids)


def logits_of(model, input_ids, target_ids):
    ones = torch.ones(1, len(input_ids), dtype=torch.long)
    if model.config.is_encoder_decoder:
        start = model.config.decoder_start_token_id
        return model(input_ids=torch.tensor([input_ids]), attention_mask=ones,
                     decoder_input_ids=torch.tensor([[start, *target_ids[:-1]]])).logits[0]
    whole = torch.tensor([input_ids + target_ids])
    logits = model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits[0]
    return logits[-len(target_ids) - 1 : -1]


def main(folder):
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise SystemExit(f"{folder} holds no .json file to verify")
    failed = False
    for file in files:
        case = json.loads(file.read_text())
        adapter = case["adapter"]
        model = None if case["model"] is None else folder / case["model"]
        expected = reference_logits(model, None if adapter is None else folder / adapter,
                                    case["input_ids"], case["target_ids"])
        found = torch.tensor(case["logits"], dtype=torch.float32)
        if found.shape != expected.shape:
            print(f"{file.name}: logits have the shape {tuple(found.shape)}, Transformers' {tuple(expected.shape)}")
            failed = True
            continue
        close = torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
        print(f"{file.name}: {'equal' if close else 'DIFFERENT'}, at most {(found - expected).abs().max():.2e} apart")
        failed |= not close
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
