#!/usr/bin/env python3
"""The first steps of ProMoT and of fine-tuning on a real model, SNLI, in fp32: python packages/core/golden/real_gemma.py MODEL DATA

MODEL: a Hugging Face folder of Gemma 3 270M. DATA: the folder with snli/train.jsonl. Writes golden/real-gemma.json: which examples stand in
each batch, the prompt's first rows, and the losses that PyTorch and Transformers find. AdamW (0.9, 0.98), no decay, clip 1.0, ten
steps of warm-up, batch 16, 20 prompt rows before <bos>.
"""
import json, random, sys
from pathlib import Path
import torch, torch.nn.functional as F
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

MODEL, DATA = sys.argv[1], Path(sys.argv[2])
STEPS, BATCH, ROWS = 4, 16, 20
torch.manual_seed(0)
tokenizer = PreTrainedTokenizerFast.from_pretrained(MODEL)
ids_of = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
BOS, EOS = tokenizer.bos_token_id, tokenizer.eos_token_id


def asked(r): return f"Premise: {r['premise']}\nHypothesis: {r['hypothesis']}\nDoes the premise entail the hypothesis? Answer:"


records = [json.loads(line) for line in open(DATA / "snli/train.jsonl")]
train = [i for i, r in enumerate(records) if len(asked(r)) < 500]
rng, order, batches = random.Random(3), [], []
for _ in range(STEPS):
    if len(order) < BATCH: order = rng.sample(range(len(train)), len(train))
    batches.append([train[order.pop()] for _ in range(BATCH)])
rng = random.Random(0)
pool = [i for k in train[:200] for i in ids_of(asked(records[k]) + " " + records[k]["label"])]
rows = [rng.choice(pool) for _ in range(ROWS)]


def losses(rate, prompt=None, trained=None):
    """Trains for STEPS steps; without `trained`, all weights of a fresh copy of the model."""
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="sdpa")
    embed, head = model.model.embed_tokens, model.get_output_embeddings().weight
    if prompt is None and trained == "prompt":
        prompt = torch.nn.Parameter(embed(torch.tensor(rows)).detach().clone())
        model.requires_grad_(False)
        parameters = [prompt]
    else:
        parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0, betas=(0.9, 0.98))
    found = []
    for step, batch in enumerate(batches, 1):
        for group in optimizer.param_groups: group["lr"] = rate * min(1, step / 10)
        sequences, places = [], []
        for k in batch:
            r = records[k]
            source, answer = [BOS] + ids_of(asked(r)), ids_of(" " + r["label"]) + [EOS]
            sequences.append(source + answer[:-1]); places.append((len(source) - 1, answer))
        optimizer.zero_grad(set_to_none=True)
        tokens = sum(len(answer) for _, answer in places)
        total = 0.0
        for k in range(0, BATCH, 4):
            part, where = sequences[k:k + 4], places[k:k + 4]
            n = max(map(len, part))
            ids, mask = torch.zeros(len(part), n, dtype=torch.long), torch.zeros(len(part), n, dtype=torch.long)
            for i, s in enumerate(part): ids[i, :len(s)], mask[i, :len(s)] = torch.tensor(s), 1
            x, p = embed(ids), 0
            if prompt is not None:
                p = len(prompt)
                x = torch.cat([prompt.expand(len(part), -1, -1), x], 1)
                mask = torch.cat([torch.ones(len(part), p, dtype=torch.long), mask], 1)
            h = model.model(inputs_embeds=x, attention_mask=mask, use_cache=False).last_hidden_state[:, p:]
            z = F.linear(torch.cat([h[i, q:q + len(y)] for i, (q, y) in enumerate(where)]), head)
            loss = F.cross_entropy(z, torch.tensor([t for _, y in where for t in y]), reduction="sum") / tokens
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        found.append(total)
        print(trained, rate, step, total, flush=True)
    return found, prompt.detach() if prompt is not None else None


in_stage_1, prompt = losses(0.1, trained="prompt")
result = {
    "batches": batches, "rows": rows, "prompt": in_stage_1,
    "promot": losses(1e-5, prompt, "all")[0], "fineTune": losses(1e-5, None, "all")[0],
}
out = Path(__file__).parent / "real-gemma.json"
out.write_text(json.dumps(result) + "\n")
