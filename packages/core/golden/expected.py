"""What Transformers and PEFT compute with a tiny model: the numbers that promot must reproduce."""

import json

import torch
from peft import PeftModel, PromptTuningConfig, TaskType, get_peft_model
from safetensors.torch import save_file

import corpus
import tiny
from adafactor import Adafactor
from loss import mean_loss

PROMPT_LENGTH = 5
LABEL_SMOOTHING = 0.1
Z_LOSS = 1e-4
STEPS = 10
MODEL_LEARNING_RATE = 1e-3
LATE_FIRST_STEP = 1_100_000  # where prompt-tuning's own runs began to count
# A gradient of more elements than this is kept as every 7th of them, and its norm: of the models 128 wide, and of the small.
SAMPLE_ABOVE, SAMPLE_ABOVE_SMALL, SAMPLE_STRIDE = 2048, 128, 7

GENERATION_CASES = {
    "greedy": dict(num_beams=1, max_new_tokens=20),
    "greedy-min": dict(num_beams=1, min_new_tokens=9, max_new_tokens=12),
    "beam": dict(num_beams=4, max_new_tokens=16, length_penalty=1.0),
    "beam-short": dict(num_beams=4, max_new_tokens=16, length_penalty=0.2),
    "beam-long": dict(num_beams=4, max_new_tokens=16, length_penalty=2.0),
    "beam-min": dict(num_beams=4, min_new_tokens=6, max_new_tokens=10, length_penalty=1.0),
}
SMALL_GENERATION_CASES, SMALL_GENERATION_INPUTS = ("greedy", "beam"), 4  # of the small models


# ---- batch ----------------------------------------------------------------------------------------------------------

def pad(sequences, value, left=False):
    """Ragged ids to ([B, L] ids, [B, L] mask)."""
    length = max(map(len, sequences))
    ids = torch.full((len(sequences), length), value)
    mask = torch.zeros_like(ids)
    for row, s in enumerate(sequences):
        place = slice(length - len(s), length) if left else slice(0, len(s))
        ids[row, place] = torch.tensor(s, dtype=torch.long)
        mask[row, place] = 1
    return ids, mask


class Batch:
    """The batch's inputs and targets as ids. Targets end with the end of sequence; decoder-only targets begin with the space."""

    def __init__(self, tokenizer, encoder_decoder):
        self.encoder_decoder = encoder_decoder
        self.input_texts = [i for i, _ in corpus.BATCH]
        self.target_texts = [t if encoder_decoder else " " + t for _, t in corpus.BATCH]
        self.inputs = [tokenizer(t).input_ids for t in self.input_texts]
        self.targets = [tokenizer(t, add_special_tokens=False).input_ids + [tokenizer.eos_token_id] for t in self.target_texts]
        self.padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.flat_targets = torch.tensor([i for t in self.targets for i in t])

    def logits(self, model):
        """Logits [N, V] of every target token, example after example; padding leaves no trace."""
        if self.encoder_decoder:
            ids, mask = pad(self.inputs, self.padding)
            start = model.config.decoder_start_token_id
            decoder_ids, decoder_mask = pad([[start, *t[:-1]] for t in self.targets], self.padding)
            out = model(input_ids=ids, attention_mask=mask, decoder_input_ids=decoder_ids).logits
            return out[decoder_mask.bool()]
        ids, mask = pad([i + t for i, t in zip(self.inputs, self.targets)], self.padding)
        out = model(input_ids=ids, attention_mask=mask).logits
        before = out.shape[1] - ids.shape[1]  # rows of the soft prompt
        return torch.cat([out[row, before + len(i) - 1 : before + len(i) + len(t) - 1]
                          for row, (i, t) in enumerate(zip(self.inputs, self.targets))])

    def json(self):
        out = {"inputTexts": self.input_texts, "targetTexts": self.target_texts, "inputIds": self.inputs,
               "targetIds": self.targets, "paddingId": self.padding}
        if self.encoder_decoder:
            (ids, mask), (target, target_mask) = pad(self.inputs, self.padding), pad(self.targets, self.padding)
            out["padded"] = {"inputIds": ids.tolist(), "inputMask": mask.tolist(), "targetIds": target.tolist(),
                             "targetMask": target_mask.tolist()}
        else:
            ids, mask = pad([i + t for i, t in zip(self.inputs, self.targets)], self.padding)
            target_mask, _ = pad([[0] * len(i) + [1] * len(t) for i, t in zip(self.inputs, self.targets)], 0)
            out["padded"] = {"ids": ids.tolist(), "mask": mask.tolist(), "targetMask": target_mask.tolist()}
        return out


# ---- models with and without a soft prompt --------------------------------------------------------------------------

def save_prompt(folder, model, encoder_decoder, rows, sets):
    """A PEFT adapter folder whose first PROMPT_LENGTH rows are the prompt; `sets` 2 is PEFT's default for encoder-decoders."""
    config = PromptTuningConfig(task_type=TaskType.SEQ_2_SEQ_LM if encoder_decoder else TaskType.CAUSAL_LM,
                                num_virtual_tokens=PROMPT_LENGTH, num_transformer_submodules=sets)
    decoder = getattr(model.config, "decoder", None)  # T5Gemma 2, whose sizes PEFT does not find
    if decoder is not None:
        config.num_layers, config.token_dim = decoder.num_hidden_layers, decoder.hidden_size
        config.num_attention_heads = decoder.num_attention_heads
    wrapped = get_peft_model(model, config)
    with torch.no_grad():
        wrapped.prompt_encoder["default"].embedding.weight.copy_(rows)
    wrapped.save_pretrained(folder)
    tiny.patch_json(folder / "adapter_config.json", {"base_model_name_or_path": None})  # PEFT wrote this machine's path
    (folder / "README.md").unlink(missing_ok=True)
    return folder


def prompted(folder, adapter, encoder_decoder, dtype=torch.float32):
    """(PEFT model, its prompt parameter, the base model's parameters by their own names); nothing frozen."""
    model, tokenizer = tiny.load(folder, encoder_decoder)
    parameters = parameters_of(model)
    wrapped = PeftModel.from_pretrained(model, adapter).eval()
    for p in wrapped.parameters():
        p.requires_grad_(True)
    if dtype != torch.float32:
        wrapped.to(dtype)
    return wrapped, wrapped.prompt_encoder["default"].embedding.weight, parameters


def parameters_of(model):
    return {name: p for name, p in model.named_parameters() if tiny.text_part(name)}


# ---- losses, gradients, steps ---------------------------------------------------------------------------------------

def losses(logits, targets):
    return {"loss": mean_loss(logits, targets).item(),
            "smoothed": mean_loss(logits, targets, LABEL_SMOOTHING).item(),
            "zLoss": mean_loss(logits, targets, 0.0, Z_LOSS).item(),
            "smoothedZLoss": mean_loss(logits, targets, LABEL_SMOOTHING, Z_LOSS).item()}


def gradients(model, batch, parameters):
    for p in parameters.values():
        p.grad = None
    mean_loss(batch.logits(model), batch.flat_targets, LABEL_SMOOTHING).backward()
    return {name: p.grad.clone() for name, p in parameters.items()}


def sampled(gradient, above):
    flat = gradient.flatten()
    return flat[::SAMPLE_STRIDE].clone() if flat.numel() > above else flat.clone()


def train(model, batch, parameters, **setting):
    """Losses at the weights before each of STEPS updates, then the loss after the last."""
    for p in model.parameters():
        p.requires_grad_(False)
    for p in parameters.values():
        p.requires_grad_(True)
    optimizer = Adafactor(parameters, **setting)
    out = []
    for step in range(STEPS + 1):
        for p in parameters.values():
            p.grad = None
        loss = mean_loss(batch.logits(model), batch.flat_targets, LABEL_SMOOTHING)
        out.append(loss.item())
        if step < STEPS:
            loss.backward()
            optimizer.step()
    return out


def prompt_setting(encoder_decoder, first_step=0):
    return dict(learning_rate=0.2 if encoder_decoder else 0.3, factored=False, parameter_scaled=False, first_step=first_step)


def model_setting():
    return dict(learning_rate=MODEL_LEARNING_RATE, factored=True, parameter_scaled=True)


def stage1(folder, adapter, batch, dtype, first_step=0):
    wrapped, prompt, _ = prompted(folder, adapter, batch.encoder_decoder, dtype)
    out = train(wrapped, batch, {"prompt": prompt}, **prompt_setting(batch.encoder_decoder, first_step))
    return out, prompt.detach().clone()


def stage2(folder, adapter, batch, dtype, prompt_rows):
    wrapped, prompt, parameters = prompted(folder, adapter, batch.encoder_decoder, dtype)
    with torch.no_grad():
        prompt.copy_(prompt_rows)
    out = train(wrapped, batch, parameters, **model_setting())
    assert torch.equal(prompt, prompt_rows)
    return out, parameters


def fine_tune(folder, batch, dtype):
    model, _ = tiny.load(folder, batch.encoder_decoder)
    model.to(dtype)
    parameters = parameters_of(model)
    return train(model, batch, parameters, **model_setting()), parameters


def weights_summary(parameters):
    return {name: {"sum": p.double().sum().item(), "norm": p.double().norm().item()} for name, p in parameters.items()}


# ---- generation -----------------------------------------------------------------------------------------------------

def end_ids(model):
    ids = model.generation_config.eos_token_id
    return ids if isinstance(ids, list) else [ids]


def cut(ids, ends):
    """Generated ids up to and with the first end of sequence."""
    for n, i in enumerate(ids):
        if i in ends:
            return ids[: n + 1]
    return ids


@torch.no_grad()
def generate(model, base, prompt, inputs, encoder_decoder, padding, options, embedded=False):
    """Outputs (and scores) of a batch of inputs. `model` is PEFT's where there is a prompt, else the base model.

    `embedded` gives a decoder-only model the prompt and the inputs' embeddings itself, padding in front of both:
    PEFT puts the prompt before the padding and drops the positions, which is right only for a batch of one.
    """
    ids, mask = pad(inputs, padding, left=not encoder_decoder)
    before = 1 if encoder_decoder else ids.shape[1]
    arguments = dict(input_ids=ids, attention_mask=mask)
    if embedded:
        look_up = base.get_input_embeddings()
        rows = [torch.cat([look_up(torch.full((ids.shape[1] - len(i),), padding)), prompt, look_up(torch.tensor(i))])
                for i in inputs]
        full, _ = pad([[1] * (prompt.shape[0] + len(i)) for i in inputs], 0, left=True)
        arguments, before = dict(inputs_embeds=torch.stack(rows), attention_mask=full), 0
    beams = options["num_beams"]
    result = model.generate(**arguments, **options, do_sample=False, pad_token_id=padding, return_dict_in_generate=True,
                            output_scores=True, **({"early_stopping": False} if beams > 1 else {}))
    outputs = [cut(row[before:].tolist(), end_ids(base)) for row in result.sequences]
    scores = result.sequences_scores.tolist() if beams > 1 else None
    return outputs, scores


def same(a, b):
    return a[0] == b[0] and (a[1] is None or all(abs(x - y) < 1e-4 for x, y in zip(a[1], b[1])))


def generation(folder, adapter, tokenizer, encoder_decoder, padding, names, texts):
    """Every case with and without the prompt. The ids must not depend on batching nor on fp32 rounding (checked with fp64)."""
    inputs = [tokenizer(t).input_ids for t in texts]
    cases = []
    for with_prompt in (False, True):
        models = []
        for dtype in (torch.float32, torch.float64):
            wrapped, prompt, _ = prompted(folder, adapter, encoder_decoder, dtype)
            base = wrapped.get_base_model()
            models.append((wrapped if with_prompt else base, base, prompt.detach()))
        for name in names:
            options = GENERATION_CASES[name]

            def run(which, batch, embedded=False):
                model, base, prompt = which
                return generate(base if embedded else model, base, prompt, batch, encoder_decoder, padding, options, embedded)
            singles = [run(models[0], [i]) for i in inputs]
            found = [o for outs, _ in singles for o in outs], None if singles[0][1] is None else [s for _, ss in singles for s in ss]
            batched = [run(m, inputs, embedded=with_prompt and not encoder_decoder) for m in models]
            assert same(found, batched[0]), (name, found, batched[0])
            assert same(found, batched[1]), (name, "a near tie: choose another seed", found, batched[1])
            cases.append({"name": name, "prompted": with_prompt, "beams": options["num_beams"],
                          "lengthPenalty": options.get("length_penalty", 1.0), "minNewTokens": options.get("min_new_tokens", 0),
                          "maxNewTokens": options["max_new_tokens"], "earlyStopping": False,
                          "outputs": found[0], "scores": found[1],
                          "texts": [tokenizer.decode(o, skip_special_tokens=True) for o in found[0]]})
        ended = [o[-1] in end_ids(base) for c in cases if c["prompted"] == with_prompt and c["minNewTokens"] == 0 for o in c["outputs"]]
        lengths = {len(o) for c in cases if c["prompted"] == with_prompt for o in c["outputs"]}
        print(f"    prompted={with_prompt}: {sum(ended)} of {len(ended)} outputs end by themselves; lengths {sorted(lengths)}; "
              f"distinct {len({tuple(o) for c in cases if c['prompted'] == with_prompt for o in c['outputs']})}")
        assert 0 < sum(ended) < len(ended) and len(lengths) >= 3 and (len(texts) < 6 or 0.15 < sum(ended) / len(ended) < 0.9)
    plain, soft = ([c["outputs"] for c in cases if c["prompted"] == p] for p in (False, True))
    assert all(a != b for a, b in zip(plain, soft)), "the prompt changes nothing"
    return {"inputTexts": texts, "inputIds": inputs, "endIds": end_ids(base), "cases": cases}


# ---- tokens ---------------------------------------------------------------------------------------------------------

def tokens(folder, tokenizer):
    out = []
    spiece = folder / "spiece.model"
    sentencepiece = None
    if spiece.exists():
        from sentencepiece import SentencePieceProcessor
        sentencepiece = SentencePieceProcessor(model_file=str(spiece))
    for text in corpus.TOKEN_TEXTS:
        ids = tokenizer(text).input_ids
        bare = tokenizer(text, add_special_tokens=False).input_ids
        if sentencepiece is not None and not any(s in text for s in ("<extra_id_", "</s>", "<pad>")):
            assert sentencepiece.encode(text) == bare, text
        out.append({"text": text, "ids": ids, "idsWithoutSpecialTokens": bare,
                    "decoded": tokenizer.decode(ids, skip_special_tokens=True),
                    "decodedWithSpecialTokens": tokenizer.decode(ids, skip_special_tokens=False)})
    return out


# ---- all of it ------------------------------------------------------------------------------------------------------

def write_expected(folder, encoder_decoder, seed):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model, tokenizer = tiny.load(folder, encoder_decoder)
    batch = Batch(tokenizer, encoder_decoder)
    tensors = {}
    rows_of_table, width = model.get_input_embeddings().weight.shape
    small = width != tiny.WIDTH
    above = SAMPLE_ABOVE_SMALL if small else SAMPLE_ABOVE
    cases = SMALL_GENERATION_CASES if small else tuple(GENERATION_CASES)
    texts = corpus.GENERATION_INPUTS[:SMALL_GENERATION_INPUTS if small else None]
    result = {"name": folder.name, "kind": "encoder-decoder" if encoder_decoder else "decoder-only", "rows": rows_of_table,
              "width": width, "promptLength": PROMPT_LENGTH, "labelSmoothing": LABEL_SMOOTHING, "zLoss": Z_LOSS,
              "tokenizer": {"size": len(tokenizer), "beginningOfSequence": tokenizer.bos_token_id,
                            "endOfSequence": tokenizer.eos_token_id, "padding": tokenizer.pad_token_id},
              "tokens": tokens(folder, tokenizer), "batch": batch.json(), "losses": {}, "gradients": {}}

    # The prompt: rows of the embedding, jittered. The second set that PEFT keeps for encoder-decoders must be ignored.
    with torch.no_grad():  # as the model reads them: Gemma multiplies them
        rows = model.get_input_embeddings()(torch.randint(3, 200, (2 * PROMPT_LENGTH,), generator=generator))
    rows = rows + 0.1 * rows.std() * torch.randn(rows.shape, generator=generator)
    adapter = save_prompt(folder / "prompt", tiny.load(folder, encoder_decoder)[0], encoder_decoder, rows[:PROMPT_LENGTH], 1)
    if encoder_decoder:
        double = save_prompt(folder / "prompt-2-sets", tiny.load(folder, True)[0], True, rows, 2)

    # Logits, losses and gradients, without and with the prompt.
    wrapped, prompt, parameters = prompted(folder, adapter, encoder_decoder)
    assert set(parameters) == set(parameters_of(model))
    for kind, subject, trained in (("plain", model, parameters_of(model)),
                                   ("prompted", wrapped, {**parameters, "prompt": prompt})):
        with torch.no_grad():
            logits = batch.logits(subject)
            tensors[f"{kind}.logits"] = logits.contiguous()
            result["losses"][kind] = losses(logits, batch.flat_targets)
        found = gradients(subject, batch, trained)
        assert all(g.abs().max() > 0 for g in found.values())
        result["gradients"][kind] = {n: {"shape": list(g.shape), "norm": g.double().norm().item()} for n, g in found.items()}
        tensors.update({f"{kind}.grad.{n}": sampled(g, above) for n, g in found.items()})
    result["gradients"]["sampleAbove"], result["gradients"]["sampleStride"] = above, SAMPLE_STRIDE
    if encoder_decoder:
        with torch.no_grad():
            torch.testing.assert_close(batch.logits(prompted(folder, double, True)[0]), tensors["prompted.logits"])
    assert (tensors["plain.logits"] - tensors["prompted.logits"]).abs().mean() > 0.05
    print(f"    logits: {tuple(logits.shape)}, std {tensors['plain.logits'].std():.2f}; loss {result['losses']['plain']['loss']:.4f}, "
          f"prompted {result['losses']['prompted']['loss']:.4f}")

    # Ten steps of each stage, in fp32 and again in fp64 (how far rounding alone can carry them).
    fp32, fp64 = torch.float32, torch.float64
    runs = {}
    for dtype in (fp32, fp64):
        one, final = stage1(folder, adapter, batch, dtype)
        late, late_final = stage1(folder, adapter, batch, dtype, LATE_FIRST_STEP)
        two, weights2 = stage2(folder, adapter, batch, dtype, final)
        tune, weights = fine_tune(folder, batch, dtype)
        runs[dtype] = {"stage1": one, "stage1Late": late, "stage2": two, "fineTune": tune}
        if dtype == fp32:
            least = min((n for n in weights if weights[n].dim() == 2 and weights[n].numel() >= 64), key=lambda n: weights[n].numel())
            tensors |= {"stage1.prompt": final, "stage1Late.prompt": late_final, f"stage2.weights.{least}": weights2[least].detach(),
                        f"fineTune.weights.{least}": weights[least].detach()}
            for n in weights:  # whole scales and biases too
                if weights[n].dim() == 1:
                    tensors |= {f"stage2.weights.{n}": weights2[n].detach(), f"fineTune.weights.{n}": weights[n].detach()}
            summaries = {"stage2": weights_summary(weights2), "fineTune": weights_summary(weights)}
    result["steps"] = {}
    for name in runs[fp32]:
        apart = max(abs(a - b) for a, b in zip(runs[fp32][name], runs[fp64][name]))
        print(f"    {name}: {runs[fp32][name][0]:.5f} -> {runs[fp32][name][-1]:.5f}; fp64 is {apart:.1e} away")
        assert apart < 1e-4 and runs[fp32][name][-1] < runs[fp32][name][0]
        setting = prompt_setting(encoder_decoder, LATE_FIRST_STEP if name == "stage1Late" else 0) if name.startswith("stage1") else model_setting()
        result["steps"][name] = {"learningRate": setting["learning_rate"], "factored": setting["factored"],
                                 "parameterScaled": setting["parameter_scaled"], "firstStep": setting.get("first_step", 0),
                                 "losses": runs[fp32][name][:STEPS], "lossAfter": runs[fp32][name][-1], "float64Apart": apart,
                                 **({"weights": summaries[name]} if name in summaries else {})}

    result["generation"] = generation(folder, adapter, tokenizer, encoder_decoder, batch.padding, cases, texts)
    save_file({n: t.detach().to(fp32).contiguous().clone() for n, t in sorted(tensors.items())}, str(folder / "expected.safetensors"))
    (folder / "expected.json").write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n")
