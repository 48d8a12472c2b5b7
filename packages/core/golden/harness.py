#!/usr/bin/env python3
"""Multiple choice by likelihood as lm-evaluation-harness scores it: golden/harness/expected.json.

    pip install lm-eval torch transformers datasets
    python packages/core/golden/harness.py                  # tiny models on rows written for this: golden/harness/TASK/SPLIT.jsonl
    python packages/core/golden/harness.py MODEL DATA ROWS   # a real model (folder or .gguf) on the first ROWS rows: harness-real.json
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForSeq2SeqLM

here = Path(__file__).parent
torch.set_num_threads(1)
# The split that scores are reported on, and the harness's own file.
tasks = {
    "arc_easy": ("test", "arc/arc_easy.yaml"),
    "arc_challenge": ("test", "arc/arc_challenge.yaml"),
    "boolq": ("validation", "super_glue/boolq/default.yaml"),
    "copa": ("validation", "super_glue/copa/default.yaml"),
    "hellaswag": ("validation", "hellaswag/hellaswag.yaml"),
    "lambada_openai": ("test", "lambada/lambada_openai.yaml"),
    "piqa": ("validation", "piqa/piqa.yaml"),
    "sciq": ("test", "sciq/sciq.yaml"),
    "winogrande": ("validation", "winogrande/default.yaml"),
}


def as_on_the_hub(task, row):
    """BoolQ's authors have another form than SuperGLUE, which the harness reads."""
    if task == "boolq" and "answer" in row:
        title = f"{row['title']} -- " if "title" in row else ""
        return {"question": row["question"], "passage": title + row["passage"], "label": int(row["answer"])}
    return row


def evaluate(lm, data, rows):
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (split, file) in tasks.items():
            lines = (data / name / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")
            lines = [line for line in lines if line][:rows]
            path = Path(folder) / f"{name}.jsonl"
            path.write_text("".join(json.dumps(as_on_the_hub(name, json.loads(line))) + "\n" for line in lines))
            config = {
                "include": str(Path(lm_eval.__file__).parent / "tasks" / file),
                "task": f"{name}_local",
                "tag": None,
                "dataset_path": "json",
                "dataset_name": None,
                "dataset_kwargs": {"data_files": {split: str(path)}},
                "training_split": None,
                "validation_split": split if split == "validation" else None,
                "test_split": split if split == "test" else None,
            }
            (Path(folder) / f"{name}_local.yaml").write_text(json.dumps(config))
        manager = TaskManager(include_path=folder, include_defaults=False)
        loaded = manager.load([f"{name}_local" for name in tasks])
        loaded = loaded.get("tasks", loaded)
        out = lm_eval.evaluate(lm, loaded, log_samples=True, bootstrap_iters=0)
    for name in tasks:
        found = out["results"][f"{name}_local"].items()
        scores = {key.split(",")[0]: value for key, value in found if key.endswith(",none") and "stderr" not in key}
        samples = sorted(out["samples"][f"{name}_local"], key=lambda sample: sample["doc_id"])
        results[name] = {
            "scores": {key: value if key == "perplexity" else 100 * value for key, value in scores.items()},
            "logprobs": [[float(answer[0][0]) for answer in sample["resps"]] for sample in samples],
            "greedy": [[bool(answer[0][1]) for answer in sample["resps"]] for sample in samples],
            "context": samples[0]["arguments"][0][0],
        }
        if lm.backend == "seq2seq":
            # The harness ties the head to the embedding, which this T5 does not: the numbers are those of another model.
            model = AutoModelForSeq2SeqLM.from_pretrained(lm.config._name_or_path, dtype=torch.float32).eval()
            del results[name]["scores"]
            pairs = [[pair for pair in sample["arguments"]] for sample in samples]
            scored = [[score_alone(model, lm.tokenizer, *pair) for pair in one] for one in pairs]
            results[name]["logprobs"] = [[logprob for logprob, _ in one] for one in scored]
            results[name]["greedy"] = [[greedy for _, greedy in one] for one in scored]
        print(name, results[name].get("scores"), flush=True)
    return results


def score_alone(model, tokenizer, context, continuation):
    """A pair by Transformers alone: the context as the encoder's input, the continuation as the decoder's labels."""
    ids = tokenizer(context).input_ids
    labels = torch.tensor([tokenizer(continuation, add_special_tokens=False).input_ids])
    with torch.no_grad():
        logprobs = model(input_ids=torch.tensor([ids]), labels=labels).logits.log_softmax(-1)
    own = logprobs.gather(2, labels.unsqueeze(2))
    return own.sum().item(), bool((logprobs.argmax(-1) == labels).all())


def load(path):
    path = Path(path)
    common = {"dtype": "float32", "device": "cpu", "batch_size": 8}
    if path.suffix == ".gguf":
        return HFLM(pretrained=str(path.parent), gguf_file=path.name, **common)
    return HFLM(pretrained=str(path), **common)


if len(sys.argv) == 4:
    model, data, rows = sys.argv[1:]
    found = {"versions": {"lm_eval": lm_eval.__version__, "torch": torch.__version__}, "rows": int(rows), "model": Path(model).name}
    found["tasks"] = evaluate(load(model), Path(data), int(rows))
    for task in found["tasks"].values():
        del task["context"]
    (here / "harness-real.json").write_text(json.dumps(found) + "\n")
else:
    found = {"versions": {"lm_eval": lm_eval.__version__, "torch": torch.__version__}, "models": {}}
    for name in ["llama", "qwen2", "t5-v1.1"]:
        found["models"][name] = evaluate(load(here / "models" / name), here / "harness", 100)
    (here / "harness" / "expected.json").write_text(json.dumps(found, indent=1) + "\n")
