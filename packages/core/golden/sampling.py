"""Writes sampling.json: Transformers' logits processors and warpers on tables of scores, and what its generate gives
with those that need no draw.

    pip install torch transformers && python packages/core/golden/sampling.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process as lp

folder = Path(__file__).parent
torch.manual_seed(11)
ROWS, VOCABULARY = 3, 40
scores = (torch.randn(ROWS, VOCABULARY) * 3).round(decimals=3)
scores[1, 7] = scores[1, 9] = 4.5  # two that are equal, at the border of top-k 3
scores[1, 3] = 9.0
scores[1, 4] = 8.0
histories = [[1, 5, 6, 5, 6, 5, 9, 5, 6], [3, 3, 3], [2, 8]]

SETTINGS = [
    {"temperature": 0.7},
    {"temperature": 1.8},
    {"topK": 3},
    {"topK": 100},
    {"topP": 0.9},
    {"topP": 0.2},
    {"topP": 1.0},
    {"minP": 0.05},
    {"minP": 1.0},
    {"temperature": 0.8, "topK": 12, "topP": 0.95, "minP": 0.02},
    {"repetitionPenalty": 1.4},
    {"repetitionPenalty": 0.7},
    {"noRepeatNgram": 1},
    {"noRepeatNgram": 2},
    {"noRepeatNgram": 3},
    {"noRepeatNgram": 5},
    {"repetitionPenalty": 1.2, "noRepeatNgram": 2, "temperature": 1.3, "topK": 20, "topP": 0.8, "minP": 0.1},
]


def processors(settings):
    """In the order of `_get_logits_processor`."""
    found = LogitsProcessorList()
    if "repetitionPenalty" in settings:
        found.append(lp.RepetitionPenaltyLogitsProcessor(settings["repetitionPenalty"]))
    if "noRepeatNgram" in settings:
        found.append(lp.NoRepeatNGramLogitsProcessor(settings["noRepeatNgram"]))
    if "temperature" in settings:
        found.append(lp.TemperatureLogitsWarper(settings["temperature"]))
    if "topK" in settings:
        found.append(lp.TopKLogitsWarper(settings["topK"]))
    if settings.get("topP", 1.0) < 1.0:
        found.append(lp.TopPLogitsWarper(settings["topP"]))
    if "minP" in settings:
        found.append(lp.MinPLogitsWarper(settings["minP"]))
    return found


cases = []
for settings in SETTINGS:
    # Histories are of different lengths, and a batch of Transformers is padded: one row at a time.
    rows = [processors(settings)(torch.tensor([h]), scores[i : i + 1].clone())[0] for i, h in enumerate(histories)]
    cases.append({"settings": settings, "scores": [[x if x > -1e30 else None for x in row.tolist()] for row in rows]})

SEARCHES = [
    {"beams": 1, "repetitionPenalty": 1.5},
    {"beams": 1, "noRepeatNgram": 2},
    {"beams": 4, "repetitionPenalty": 1.3, "noRepeatNgram": 2},
    {"beams": 3, "noRepeatNgram": 1},
]
models = {}
for name in ("llama", "gemma3_text", "t5-v1.1", "t5gemma2"):
    path = folder / "models" / name
    expected = json.loads((path / "expected.json").read_text())
    seq2seq = expected["kind"] == "encoder-decoder"
    model = (AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM).from_pretrained(path, dtype=torch.float32).eval()
    found = []
    for search in SEARCHES:
        config = GenerationConfig(
            do_sample=False,
            num_beams=search["beams"],
            max_new_tokens=12,
            repetition_penalty=search.get("repetitionPenalty", 1.0),
            no_repeat_ngram_size=search.get("noRepeatNgram", 0),
            eos_token_id=expected["generation"]["endIds"],
            pad_token_id=0,
            decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
        )
        outputs = []
        for ids in expected["generation"]["inputIds"]:
            inputs = torch.tensor([ids])
            out = model.generate(inputs, attention_mask=torch.ones_like(inputs), generation_config=config)[0].tolist()
            outputs.append(out[1:] if seq2seq else out[len(ids) :])
        found.append({"settings": search, "maxNewTokens": 12, "outputs": outputs})
    models[name] = found

result = {
    "versions": {"transformers": version("transformers"), "torch": version("torch")},
    "scores": scores.tolist(),
    "histories": histories,
    "cases": cases,
    "models": models,
}
(folder / "sampling.json").write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")
