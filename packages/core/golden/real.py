#!/usr/bin/env python3
"""Scores and outputs of real models before training: python packages/core/golden/real.py MODELS_DIR DATA_DIR [MODEL...]

MODELS_DIR holds flan-t5-small-titles/, smollm2-135m-instruct.gguf, gemma-3-270m/ and gemma-3-270m-q4_k_m.gguf, DATA_DIR the
JSON Lines folders (rte, ...). Writes real.json beside this script, of the models that are named or of all; needs also `pip
install gguf`. Of Gemma there are fewer examples, in float32 alone. The data may not be republished, so real.json names rows
(file, number from 0) and templates, and gives the SHA-256 of each text and of its ids (as compact JSON) to compare with.
About five minutes of one CPU core.
"""

import hashlib
import json
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

sys.dont_write_bytecode = True
os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")

import torch
import transformers
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

RTE_INPUT = "{premise} question: {hypothesis} Is it true or false? answer:"
RTE_ROWS = [0, 1, 3, 5, 8, 13, 21, 34, 55, 89]
QUESTION = ("Q: {question} A:", " {answers.0}")
TRANSLATION = ("Translate English to French: {source} French:", " {target}")
# (files of exemplar and query, their rows, template of the input and of the exemplar's answer)
ONE_SHOT = [
    ("web_questions/train.jsonl", 1, "web_questions/test.jsonl", 1, QUESTION),
    ("web_questions/train.jsonl", 4, "web_questions/test.jsonl", 10, QUESTION),
    ("trivia_qa/train.jsonl", 2, "trivia_qa/test.jsonl", 3, QUESTION),
    ("trivia_qa/train.jsonl", 7, "trivia_qa/test.jsonl", 20, QUESTION),
    ("multi30k_en_fr/train.jsonl", 3, "multi30k_en_fr/test.jsonl", 0, TRANSLATION),
    ("rte/train.jsonl", 6, "rte/validation.jsonl", 2, (RTE_INPUT, " {label}")),
]
NEW_TOKENS = 24


def fill(template, record):
    """`{name}` is a field, `{name.0}` the first element of a list."""
    def value(match):
        at = record
        for key in match[1].split("."):
            at = at[int(key)] if key.isdigit() else at[key]
        return str(at)
    return re.sub(r"\{([\w.]+)\}", value, template)


def row(data, file, number):
    return json.loads((data / file).read_text(encoding="utf-8").splitlines()[number])


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def ids_digest(ids):
    return digest(json.dumps(ids, separators=(",", ":")))


@torch.no_grad()
def score(model, encoder_decoder, inputs, targets):
    """Log-probability of every target id (nats)."""
    if encoder_decoder:
        decoder = torch.tensor([[model.config.decoder_start_token_id, *targets[:-1]]])
        logits = model(input_ids=torch.tensor([inputs]), decoder_input_ids=decoder).logits[0]
    else:
        logits = model(input_ids=torch.tensor([inputs + targets])).logits[0, len(inputs) - 1 : -1]
    return logits.float().log_softmax(-1)[range(len(targets)), targets]


@torch.no_grad()
def generate(model, encoder_decoder, inputs, beams, end, padding):
    ids = torch.tensor([inputs])
    extra = {"early_stopping": False, "length_penalty": 1.0} if beams > 1 else {}
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), num_beams=beams, max_new_tokens=NEW_TOKENS,
                         do_sample=False, eos_token_id=end, pad_token_id=padding, return_dict_in_generate=True,
                         output_scores=True, **extra)
    sequence = out.sequences[0, 1 if encoder_decoder else len(inputs) :].tolist()
    return sequence, out.sequences_scores[0].item() if beams > 1 else None


def measure(name, load, encoder_decoder, tokenizer, data, whole=True):
    model = load(torch.float32).eval()
    end = model.generation_config.eos_token_id
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    scores = []
    for number in RTE_ROWS if whole else RTE_ROWS[:3]:
        record = row(data, "rte/validation.jsonl", number)
        text, target = fill(RTE_INPUT, record), record["label"] if encoder_decoder else " " + record["label"]
        inputs, targets = tokenizer(text).input_ids, tokenizer(target, add_special_tokens=False).input_ids + [end]
        logprobs = score(model, encoder_decoder, inputs, targets)
        scores.append({"row": number, "textSha256": digest(text), "inputTokens": len(inputs), "inputIdsSha256": ids_digest(inputs),
                       "target": target, "targetIds": targets, "loss": -logprobs.mean().item(), "logprobs": logprobs.tolist()})
    prompts = []
    for shot_file, shot_row, file, number, (template, answer) in ONE_SHOT if whole else ONE_SHOT[:2]:
        text = fill(template + answer, row(data, shot_file, shot_row)) + "\n\n" + fill(template, row(data, file, number))
        inputs = tokenizer(text).input_ids
        prompts.append({"exemplar": {"file": shot_file, "row": shot_row, "template": template + answer}, "separator": "\n\n",
                        "query": {"file": file, "row": number, "template": template}, "textSha256": digest(text),
                        "inputTokens": len(inputs), "inputIdsSha256": ids_digest(inputs), "inputs": inputs})
    def outputs():
        return [{b: generate(model, encoder_decoder, p["inputs"], b, end, padding) for b in (1, 4)} for p in prompts]
    single = outputs()
    if whole:
        model = model.double()
    double = outputs() if whole else None
    for p, one, two in zip(prompts, single, double or [None] * len(prompts)):
        del p["inputs"]
        for beams, key in ((1, "greedy"), (4, "beam4")):
            ids, sequence_score = one[beams]
            p[key] = {"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=True), "score": sequence_score,
                      "sameInFloat64": ids == two[beams][0] if two else None}
    print(name, "losses", [round(s["loss"], 3) for s in scores], "unstable outputs",
          sum(p[k]["sameInFloat64"] is False for p in prompts for k in ("greedy", "beam4")))
    return {"kind": "encoder-decoder" if encoder_decoder else "decoder-only", "endId": end, "maxNewTokens": NEW_TOKENS,
            "lengthPenalty": 1.0, "scores": {"file": "rte/validation.jsonl", "template": RTE_INPUT, "examples": scores},
            "generation": prompts}


def smollm2_tokenizer(models, gguf):
    """Transformers' reading of the GGUF tokenizer, mended: it knows neither the `smollm` rule (every digit apart) nor the end id."""
    tokenizer = AutoTokenizer.from_pretrained(models, gguf_file=gguf)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


def main(models, data, only):
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    t5, gguf, gemma, gemma_gguf = "flan-t5-small-titles", "smollm2-135m-instruct.gguf", "gemma-3-270m", "gemma-3-270m-q4_k_m.gguf"

    def of_gguf(name):
        return lambda dtype: AutoModelForCausalLM.from_pretrained(models, gguf_file=name, dtype=dtype)

    def of_gemma():
        return AutoTokenizer.from_pretrained(models / gemma)

    makers = {
        t5: lambda: measure(t5, lambda dtype: AutoModelForSeq2SeqLM.from_pretrained(models / t5, dtype=dtype), True,
                            AutoTokenizer.from_pretrained(models / t5), data),
        gguf: lambda: measure(gguf, of_gguf(gguf), False, smollm2_tokenizer(models, gguf), data),
        gemma: lambda: measure(gemma, lambda dtype: AutoModelForCausalLM.from_pretrained(models / gemma, dtype=dtype), False,
                               of_gemma(), data, whole=False),
        # The tokenizer of the folder is the file's.
        gemma_gguf: lambda: measure(gemma_gguf, of_gguf(gemma_gguf), False, of_gemma(), data, whole=False),
    }
    path = Path(__file__).resolve().parent / "real.json"
    before = json.loads(path.read_text())["models"] if only else {}
    result = {
        "versions": {p: version(p) for p in ("torch", "transformers", "tokenizers", "gguf")},
        "models": {name: make() if not only or name in only else before[name] for name, make in makers.items()},
    }
    path.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
