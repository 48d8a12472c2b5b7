"""Writes text.json: what lm-evaluation-harness gives for plain text (loglikelihood_rolling), and KL between two models.

    pip install lm-eval torch transformers && python packages/core/golden/text.py

The models are the tiny ones of `models/`; windows are short, so that documents need several.
"""

import json
import random
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = Path(__file__).parent
WINDOW = 32
random.seed(7)
WORDS = "the a garden river lies morning dog runs fast in park two men walk along boat shore nobody é 日本 👍 1,000 U.S. \n \n\n  x".split(" ")
documents = [" ".join(random.choices(WORDS, k=n)) for n in (1, 3, 10, 40, 90, 200)] + ["a"]
result = {"versions": {"lm_eval": version("lm_eval")}, "window": WINDOW, "documents": documents, "models": {}}
for name in ("llama", "qwen2"):
    path = folder / "models" / name
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(path)
    # Without add_bos_token=False a tokenizer that puts a start token in front has lm-eval predict it behind itself.
    lm = HFLM(pretrained=model, tokenizer=tokenizer, max_length=WINDOW, batch_size=1, device="cpu", add_bos_token=False)
    requests = [SimpleNamespace(args=(document,)) for document in documents]
    logprobs = lm.loglikelihood_rolling(requests, disable_tqdm=True)

    # KL(model || the same with all weights a tenth smaller), summed over the tokens of the same windows.
    other = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.9)
    divergences = []
    for document in documents:
        total = 0.0
        windows = get_rolling_token_windows(lm.tok_encode(document), lm.prefix_token_id, WINDOW, 1)
        for context, target in map(make_disjoint_window, windows):
            inputs = torch.tensor([(context + target)[:-1]])
            with torch.no_grad():
                p, q = (m(inputs).logits[0, -len(target) :].double().log_softmax(-1) for m in (model, other))
            total += (p.exp() * (p - q)).sum().item()
        divergences.append(total)
    result["models"][name] = {"logprobs": logprobs, "divergences": divergences}
Path(folder / "text.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
