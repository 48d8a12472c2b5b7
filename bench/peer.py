#!/usr/bin/env python3
"""The peer of the benchmarks: the same work with PyTorch + Transformers + PEFT, on the CPU or a GPU. One JSON line on standard output.

    python bench/peer.py train-step --model t5-v1.1-small --stage 1 --steps 5
    python bench/peer.py train-step --model smollm2-135m --stage 2 --prompt 50 --steps 5
    python bench/peer.py optimizer --model smollm2-135m --optimizer adamw
    python bench/peer.py generate --model t5-v1.1-small --beams 4 --new-tokens 32 --batch 16

Models have their real sizes and random weights (nothing is downloaded). The settings are the peer's best: fused attention
(sdpa), no cache while training, the loss's logits only where there is a target, bf16 by autocast while the model is trained,
and bf16 weights where they are frozen (stage 1, generation) unless `--frozen autocast` asks otherwise. On a CPU without bf16
units PyTorch's bf16 products are ten to a hundred times slower than fp32's: there the default is fp32. Label smoothing 0.1;
dropout 0.1 for T5 (the Llama family has none). Transformers' Adafactor factors the prompt's second moment, which T5X does not;
the prompt is small. Times are seconds: the median of `--steps` after one warm-up step.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
import warnings

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
warnings.filterwarnings("ignore")

import peft
import torch
import transformers
from torch.nn.functional import cross_entropy
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration
from transformers.optimization import Adafactor

# model -> (encoder-decoder?, batch, source length, target length, prompt rows). A decoder-only sequence is source + target.
SHAPES = {"t5-v1.1-small": (True, 16, 128, 8, 100), "smollm2-135m": (False, 8, 120, 8, 50), "gemma-3-270m": (False, 4, 64, 8, 20),
          "t5-v1.1-large": (True, 16, 512, 8, 100), "llama-1b": (False, 8, 2040, 8, 50), "llama-8b": (False, 8, 2040, 8, 50)}
# Examples of the step that warms up, where lengths are real.
WARM_UP = 8
# width, inside of the feed-forward, layers, tied
LLAMA3 = {"llama-1b": (2048, 8192, 16, True), "llama-8b": (4096, 14336, 32, False)}


def make_model(name):
    torch.manual_seed(0)
    if name in ("t5-v1.1-small", "t5-v1.1-large"):
        width, inner, layers, heads = (512, 1024, 8, 6) if name == "t5-v1.1-small" else (1024, 2816, 24, 16)
        config = T5Config(vocab_size=32128, d_model=width, d_kv=64, d_ff=inner, num_layers=layers, num_decoder_layers=layers, num_heads=heads,
                          feed_forward_proj="gated-gelu", dropout_rate=0.1, decoder_start_token_id=0, use_cache=False,
                          tie_word_embeddings=False)  # read by Transformers 5 as: do not scale the output
        model = T5ForConditionalGeneration._from_config(config, attn_implementation=fused(T5ForConditionalGeneration))
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone() * 0.05)  # it ties every T5
        assert model.lm_head.weight is not model.shared.weight
        return model
    if name == "gemma-3-270m":
        config = Gemma3TextConfig(vocab_size=262144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18, num_attention_heads=4,
                                  num_key_value_heads=1, head_dim=256, query_pre_attn_scalar=256, sliding_window=512, use_cache=False)
        return Gemma3ForCausalLM._from_config(config, attn_implementation=fused(Gemma3ForCausalLM))
    if name in LLAMA3:
        width, inner, layers, tied = LLAMA3[name]
        config = LlamaConfig(vocab_size=128256, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=32,
                             num_key_value_heads=8, tie_word_embeddings=tied, max_position_embeddings=8192, use_cache=False,
                             rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, bos_token_id=1, eos_token_id=2)
        return LlamaForCausalLM._from_config(config, attn_implementation=fused(LlamaForCausalLM))
    config = LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                         num_key_value_heads=3, tie_word_embeddings=True, max_position_embeddings=8192, use_cache=False,
                         rope_parameters={"rope_type": "default", "rope_theta": 100000.0}, bos_token_id=1, eos_token_id=2)
    return LlamaForCausalLM._from_config(config, attn_implementation=fused(LlamaForCausalLM))


def fused(kind):
    return "sdpa" if kind._supports_sdpa else "eager"


def with_prompt(model, encoder_decoder, rows):
    task = "SEQ_2_SEQ_LM" if encoder_decoder else "CAUSAL_LM"
    config = peft.PromptTuningConfig(task_type=task, num_virtual_tokens=rows, num_transformer_submodules=1)
    return peft.get_peft_model(model, config)


def precision_of(arguments, frozen):
    """(dtype of the weights, autocast?)"""
    if arguments.precision == "fp32":
        return torch.float32, False
    return (torch.bfloat16, False) if frozen and arguments.frozen == "bf16" else (torch.float32, True)


def bf16_units():
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def peak_rss():
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib if sys.platform == "darwin" else kib * 1024


def report(arguments, times, **more):
    seconds, cpu_seconds = times
    print(json.dumps({
        "peer": "pytorch+transformers+peft", **{k: v for k, v in vars(arguments).items() if v is not None}, **more,
        "medianSeconds": round((statistics.mean if getattr(arguments, "lengths", None) else statistics.median)(seconds), 4), "seconds": [round(s, 4) for s in seconds],
        "cpuSeconds": [round(s, 4) for s in cpu_seconds],
        "peakRssBytes": peak_rss(), "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}}))


def timed(run, steps, before=lambda: None):
    def finish():  # a GPU is at work when the call returns
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    before()
    run()
    finish()
    seconds, cpu_seconds = [], []
    for _ in range(steps):
        before()
        begin, cpu_begin = time.perf_counter(), time.process_time()
        run()
        finish()
        seconds.append(time.perf_counter() - begin)
        cpu_seconds.append(time.process_time() - cpu_begin)
    return seconds, cpu_seconds


def train_step(arguments):
    encoder_decoder = SHAPES[arguments.model][0]
    dtype, autocast = precision_of(arguments, frozen=arguments.stage in ("1", "lora"))
    base = make_model(arguments.model).to(arguments.device, dtype)
    vocabulary = base.config.vocab_size
    if arguments.stage == "bare":
        arguments.prompt, model = 0, base
    elif arguments.stage == "lora":
        lora = peft.LoraConfig(task_type="SEQ_2_SEQ_LM" if encoder_decoder else "CAUSAL_LM", r=16, lora_alpha=16)
        arguments.prompt, model = 0, peft.get_peft_model(base, lora)
    else:
        model = with_prompt(base, encoder_decoder, arguments.prompt)  # freezes the base model
        if arguments.stage == "2":
            for p in model.parameters():
                p.requires_grad_(True)
            for p in model.prompt_encoder.parameters():
                p.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    model.train()
    if arguments.stage == "1":
        setting = dict(lr=0.2 if encoder_decoder else 0.3, scale_parameter=False)
    else:
        setting = dict(lr=1e-3, scale_parameter=True)
    optimizer = (torch.optim.AdamW(trained, lr=1e-3, weight_decay=0, fused=True) if arguments.stage == "lora"
                 else Adafactor(trained, relative_step=False, warmup_init=False, **setting))
    batches = real_batches(arguments) if arguments.lengths else [[(arguments.source, arguments.target)] * arguments.batch] * (arguments.steps + 1)
    size = arguments.pass_size or arguments.batch
    made = iter([[make_batch(batch[i:i + size], vocabulary, encoder_decoder) for i in range(0, len(batch), size)] for batch in batches])

    def step():
        passes = next(made)
        targets = sum((labels >= 0).sum().item() for _, labels in passes)
        optimizer.zero_grad(set_to_none=True)
        for inputs, labels in passes:
            inputs = {key: one.to(arguments.device) if torch.is_tensor(one) else one for key, one in inputs.items()}
            labels = labels.to(arguments.device)
            with torch.autocast(arguments.device, torch.bfloat16, enabled=autocast):
                logits = model(**inputs, use_cache=False).logits
            if not encoder_decoder:
                logits = logits[:, :-1]
            assert logits.shape[1] == labels.shape[1]
            loss = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), label_smoothing=0.1, reduction="sum")
            (loss / targets).backward()
        optimizer.step()

    times = timed(step, arguments.steps)
    report(arguments, times, weights=str(dtype).removeprefix("torch."), autocast=autocast,
           attention=base.config._attn_implementation, trainedParameters=sum(p.numel() for p in trained))


def real_batches(arguments):
    """Batches of a real task's lengths: the first, of 8 examples, warms up, those after it hold the same examples as promot's, grouped by length
    as Transformers' `group_by_length` does within 50 batches."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "lengths.json")) as file:
        examples = json.load(file)[arguments.lengths]["examples"]
    size, steps = arguments.batch, arguments.steps
    assert len(examples) >= WARM_UP + size * steps, "not enough examples in lengths.json"
    measured = sorted(examples[WARM_UP:WARM_UP + size * steps], key=sum, reverse=True)
    return [examples[:WARM_UP]] + [measured[i:i + size] for i in range(0, len(measured), size)]


def make_batch(lengths, vocabulary, encoder_decoder):
    """Random ids of these lengths (input, target), padded: what the model reads, and the labels behind padding of -100. A decoder-only
    batch stands at the right, so that its logits are asked for at the last places alone."""
    rows, targets = len(lengths), max(t for _, t in lengths)
    labels = torch.full((rows, targets), -100)
    if encoder_decoder:
        sources = max(s for s, _ in lengths)
        ids, mask = torch.zeros(rows, sources, dtype=torch.long), torch.zeros(rows, sources, dtype=torch.long)
        decoder = torch.zeros(rows, targets, dtype=torch.long)
        for row, (s, t) in enumerate(lengths):
            ids[row, :s], mask[row, :s] = torch.randint(3, vocabulary, (s,)), 1
            labels[row, :t] = torch.randint(3, vocabulary, (t,))
            decoder[row, 1:t] = labels[row, :t - 1]
        return dict(input_ids=ids, attention_mask=mask, decoder_input_ids=decoder), labels
    longest = max(s + t for s, t in lengths)
    ids, mask = torch.zeros(rows, longest, dtype=torch.long), torch.zeros(rows, longest, dtype=torch.long)
    for row, (s, t) in enumerate(lengths):
        ids[row, -(s + t):], mask[row, -(s + t):] = torch.randint(3, vocabulary, (s + t,)), 1
        labels[row, -t:] = ids[row, -t:]
    return dict(input_ids=ids, attention_mask=mask, logits_to_keep=targets + 1), labels


def generate(arguments):
    encoder_decoder = SHAPES[arguments.model][0]
    dtype, autocast = precision_of(arguments, frozen=True)
    base = make_model(arguments.model).to(arguments.device, dtype)
    model = with_prompt(base, encoder_decoder, arguments.prompt) if arguments.prompt else base
    model.eval()
    source = torch.randint(3, base.config.vocab_size, (arguments.batch, arguments.source), device=arguments.device)

    def run():
        with torch.inference_mode(), torch.autocast(arguments.device, torch.bfloat16, enabled=autocast):
            out = model.generate(input_ids=source, attention_mask=torch.ones_like(source), num_beams=arguments.beams,
                                 min_new_tokens=arguments.new_tokens, max_new_tokens=arguments.new_tokens, do_sample=False,
                                 use_cache=True, pad_token_id=0)
        assert out.shape == (arguments.batch, arguments.new_tokens + (1 if encoder_decoder else arguments.source))

    times = timed(run, arguments.steps)
    report(arguments, times, weights=str(dtype).removeprefix("torch."), autocast=autocast,
           attention=base.config._attn_implementation)


def optimizer_step(arguments):
    model = make_model(arguments.model).to(arguments.device)
    trained = list(model.parameters())
    if arguments.optimizer == "adamw":
        optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    else:
        optimizer = Adafactor(trained, relative_step=False, warmup_init=False, lr=1e-3, scale_parameter=True)
    gradients = [torch.randn_like(p) for p in trained]

    def backward():
        for p, gradient in zip(trained, gradients):
            p.grad = gradient.clone()

    def step():  # a step of training ends without gradients
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    report(arguments, timed(step, arguments.steps, before=backward), trainedParameters=sum(p.numel() for p in trained))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train-step", "generate", "optimizer"):
        command = commands.add_parser(name)
        command.add_argument("--model", choices=SHAPES, required=True)
        command.add_argument("--batch", type=int, help="default: 16 for T5, 8 for SmolLM2")
        command.add_argument("--source", type=int, help="input tokens; default 128 for T5, 120 for SmolLM2")
        command.add_argument("--prompt", type=int, help="soft prompt rows; default when training 100 for T5, 50 for SmolLM2")
        command.add_argument("--precision", choices=("bf16", "fp32"), help="default: bf16 where the CPU has units for it")
        command.add_argument("--frozen", choices=("bf16", "autocast"), default="bf16", help="frozen weights under --precision bf16")
        command.add_argument("--steps", type=int, default=5)
        command.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        if name == "train-step":
            command.add_argument("--stage", choices=("1", "2", "bare", "lora"), required=True)
            command.add_argument("--target", type=int, help="target tokens; default 8")
            command.add_argument("--pass-size", type=int, help="examples of a forward and backward pass; default: the batch. Fewer take less memory")
            command.add_argument("--lengths", help="lengths of a real task (bench/lengths.json) in place of --source and --target")
        elif name == "optimizer":
            command.add_argument("--optimizer", choices=("adafactor", "adamw"), default="adafactor")
        else:
            command.add_argument("--beams", type=int, default=4)
            command.add_argument("--new-tokens", type=int, default=32)
    arguments = parser.parse_args()
    _, batch, source, target, prompt = SHAPES[arguments.model]
    defaults = dict(precision="bf16" if arguments.device == "cuda" or bf16_units() else "fp32", batch=batch, source=source, prompt=prompt if arguments.command == "train-step" else 0)
    if arguments.command == "train-step":
        defaults["target"] = target
    for key, value in defaults.items():
        if getattr(arguments, key) is None:
            setattr(arguments, key, value)
    {"train-step": train_step, "generate": generate, "optimizer": optimizer_step}[arguments.command](arguments)


if __name__ == "__main__":
    main()
