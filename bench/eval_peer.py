#!/usr/bin/env python3
"""The peer of eval.mjs, which calls it: Transformers' generate on the same token ids.

    python bench/eval_peer.py MODEL_FOLDER WORK.json RESULT.json

As a careful user would do it: inputs sorted by length, batches of 16, fused attention, caches, no gradients, fp32.
"""

import json
import os
import sys
import time

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

BATCH = 16


def main():
    folder, work_file, result_file = sys.argv[1:]
    with open(work_file, encoding="utf-8") as file:
        description = json.load(file)
    decoder_only = description["kind"] == "decoder-only"
    kind = AutoModelForCausalLM if decoder_only else AutoModelForSeq2SeqLM
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    operations = 0  # of the linear layers' products

    def count(layer, arguments):
        nonlocal operations
        operations += 2 * layer.weight.numel() * arguments[0].numel() // layer.in_features

    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_pre_hook(count)
    ends = model.generation_config.eos_token_id or model.config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    padding = model.config.pad_token_id if model.config.pad_token_id is not None else min(ends)

    def generate(inputs, new_tokens):
        longest = max(map(len, inputs))
        ids = torch.full((len(inputs), longest), padding)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(inputs):
            # A decoder-only model goes on from the last column; an encoder is padded at the end.
            place = slice(longest - len(tokens), longest) if decoder_only else slice(0, len(tokens))
            ids[row, place] = torch.tensor(tokens)
            mask[row, place] = 1
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            num_beams=description["beams"],
            do_sample=False,
            early_stopping=False,
            length_penalty=1.0,
            max_new_tokens=new_tokens,
            pad_token_id=padding,
        )
        return [cut(row.tolist()) for row in output[:, longest if decoder_only else 1 :]]

    def cut(tokens):
        place = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
        return tokens[:place]

    results = []
    with torch.inference_mode():
        generate(description["work"][0]["ids"][:2], 2)  # warm-up
        for task in description["work"]:
            operations = 0
            started, before = time.perf_counter(), time.process_time()
            inputs = task["ids"]
            order = sorted(range(len(inputs)), key=lambda i: -len(inputs[i]))
            outputs = [None] * len(inputs)
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                for i, tokens in zip(batch, generate([inputs[i] for i in batch], task["newTokens"])):
                    outputs[i] = tokens
            seconds, cpu = time.perf_counter() - started, time.process_time() - before
            results.append({"seconds": seconds, "cpu": cpu, "products": operations, "outputs": outputs})
    with open(result_file, "w", encoding="utf-8") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
