#!/usr/bin/env python3
"""Rebuilds golden/files: python packages/core/golden/make_files.py

Small checkpoint files (torch.save archives, sound and hostile; GGUF files of every tensor type and two small models; one
model folder in each form that hubs hold) and the numbers in them. Needs torch, transformers, gguf, numpy (expected.json holds the versions); a few seconds.
"""

import base64
import hashlib
import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path

sys.dont_write_bytecode = True
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")

import gguf
import numpy
import torch
import transformers
from safetensors.torch import save_file
from transformers import (AutoModelForCausalLM, AutoModelForSeq2SeqLM, LlamaConfig, LlamaForCausalLM, MT5Config, MT5ForConditionalGeneration,
                          Qwen2Config, Qwen2ForCausalLM)  # fmt: skip
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

OUT = Path(__file__).resolve().parent / "files"
PACKAGES = ("torch", "transformers", "gguf", "numpy")


def floats(tensor):
    """Little-endian float32 numbers, base64."""
    return base64.b64encode(numpy.ascontiguousarray(tensor, dtype="<f4").tobytes()).decode()


# --- torch.save ---


def state_dict():
    torch.manual_seed(1)
    matrix = torch.randn(4, 6)
    values = {
        "double": torch.tensor([1.5, -2.25], dtype=torch.float64),
        "float": matrix,
        "tied": matrix,
        "transposed": matrix.t(),
        "sliced": matrix[1:3, 2:5],
        "half": torch.tensor([0.5, 65504.0, -1e-7], dtype=torch.float16),
        "bfloat": torch.tensor([[1.0, -3.140625]], dtype=torch.bfloat16),
        "long": torch.tensor([2**40, -1]),
        "int": torch.tensor([[7], [-8]], dtype=torch.int32),
        "short": torch.tensor([300], dtype=torch.int16),
        "char": torch.tensor([-5], dtype=torch.int8),
        "byte": torch.tensor([250], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.arange(3.0)),
    }
    state = OrderedDict(values)
    state._metadata = OrderedDict({"": {"version": 1}})  # as Module.state_dict() leaves it
    return state


def save_archives():
    state = state_dict()
    torch.save(state, OUT / "state.bin")
    torch.save({"weight": torch.ones(2, 2)}, OUT / "plain_dict.bin")
    torch.save({"weight": torch.ones(2)}, OUT / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": {"weight": torch.ones(2)}}, OUT / "training_state.bin")
    return {
        name: {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape), "strides": list(value.stride()),
               "values": value.detach().double().flatten().tolist()}
        for name, value in state.items()
    }  # fmt: skip


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch promot-was-attacked",)


class Attributes:
    """Its attributes are set with BUILD."""


def save_hostile():
    """Archives like torch.save's whose pickles ask for more than tensors."""
    hostile = {
        "reduce": pickle.dumps({"weight": Evil()}, protocol=2),
        "stack_global": pickle.dumps({"weight": Evil()}, protocol=4),
        "object": pickle.dumps({"weight": Attributes()}, protocol=2),
        # BUILD on what an allowed call returned: state for a torch.Size
        "build": b"\x80\x02ctorch\nSize\n)\x85R}X\x01\x00\x00\x00aK\x01sb.",
        "inst": b"(S'touch promot-was-attacked'\nios\nsystem\n.",
        "getattr": b"\x80\x02c__builtin__\ngetattr\n(NNtR.",
    }
    for name, content in hostile.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for entry, data in (("archive/data.pkl", content), ("archive/byteorder", b"little"), ("archive/version", b"3\n")):
                archive.writestr(zipfile.ZipInfo(entry), data)
        (OUT / f"hostile_{name}.bin").write_bytes(buffer.getvalue())
    with zipfile.ZipFile(OUT / "compressed.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickle.dumps({}, protocol=2), compress_type=zipfile.ZIP_DEFLATED)


# --- whole folders ---


def save_folders():
    """A ByT5 in little: pytorch_model.bin alone and in shards, model.safetensors alone and in shards; and its logits."""
    torch.manual_seed(4)
    config = MT5Config(vocab_size=384, d_model=8, d_kv=4, num_heads=2, d_ff=12, num_layers=1, num_decoder_layers=1,
                       relative_attention_num_buckets=8, tie_word_embeddings=False, decoder_start_token_id=0)  # fmt: skip
    config.architectures = ["MT5ForConditionalGeneration"]
    model = MT5ForConditionalGeneration(config).eval()
    model.lm_head.weight = torch.nn.Parameter(torch.randn(384, 8))  # Transformers 5 ties every T5 when it makes one
    # As the hub's old files have it: the embedding three times, one storage.
    state = model.state_dict()
    assert state["encoder.embed_tokens.weight"].data_ptr() == state["shared.weight"].data_ptr()
    distinct = {name: value.contiguous() for name, value in state.items() if "embed_tokens" not in name}
    names = list(state)
    half = [names[: len(names) // 2], names[len(names) // 2 :]]
    for folder in ("bin", "bin-sharded", "safetensors", "safetensors-sharded"):
        out = OUT / "folders" / folder
        out.mkdir(parents=True)
        config.save_pretrained(out)
        description = json.loads((out / "config.json").read_text())
        description.pop("scale_decoder_outputs", None)
        (out / "config.json").write_text(json.dumps({**description, "tie_word_embeddings": False}, indent=2) + "\n")
        (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer", "extra_ids": 125}) + "\n")
        kind, _, sharded = folder.partition("-")
        stem, end = ("pytorch_model", "bin") if kind == "bin" else ("model", "safetensors")
        content = state if kind == "bin" else distinct
        save = torch.save if kind == "bin" else (lambda tensors, path: save_file(tensors, path, metadata={"format": "pt"}))
        if not sharded:
            save(content, out / f"{stem}.{end}")
            continue
        place = {}
        for number, part in enumerate(half, 1):
            shard = f"{stem}-{number:05}-of-00002.{end}"
            tensors = {name: content[name] for name in part if name in content}
            save(tensors, out / shard)
            place.update(dict.fromkeys(tensors, shard))
        (out / f"{stem}.{end}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}) + "\n")
    inputs, targets = [75, 104, 111, 1], [120, 33, 1]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([inputs]), decoder_input_ids=torch.tensor([[0, *targets[:-1]]])).logits[0]
        # Transformers must find the same model in the folders that it still reads.
        for folder in ("safetensors", "safetensors-sharded", "bin", "bin-sharded"):
            back = AutoModelForSeq2SeqLM.from_pretrained(OUT / "folders" / folder).eval()
            again = back(input_ids=torch.tensor([inputs]), decoder_input_ids=torch.tensor([[0, *targets[:-1]]])).logits[0]
            assert torch.equal(again, logits), folder
    return {"inputIds": inputs, "targetIds": targets, "logits": floats(logits)}


# --- GGUF ---


# Where half-precision scales stand in the blocks of types that the gguf package reads and does not write.
SCALES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ2_XXS": (0,), "IQ2_XS": (0,), "IQ2_S": (0,),
          "IQ3_XXS": (0,), "IQ3_S": (0,), "IQ1_S": (0,), "IQ1_M": (), "IQ4_NL": (0,), "IQ4_XS": (0,), "TQ1_0": (52,), "TQ2_0": (64,),
          "MXFP4": (), "NVFP4": ()}  # fmt: skip


def random_blocks(rng, kind, elements):
    """Random blocks, with scales of a usual size where noise could give none."""
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (elements // per_block, size), dtype=numpy.uint8)
    for at in SCALES[kind.name]:
        blocks[:, at : at + 2] = rng.uniform(-0.01, 0.01, len(blocks)).astype("<f2").view(numpy.uint8).reshape(-1, 2)
    if kind.name == "IQ1_M":
        blocks[:, 55] = blocks[:, 55] & 0x0F | 0x20  # the upper bits of its scale
    return blocks


def save_types():
    """One tensor of each type in one file, and its numbers: all as a hash, the first as they are."""
    rng = numpy.random.default_rng(2)
    writer = gguf.GGUFWriter(OUT / "types.gguf", "test")
    writer.add_array("test.numbers", [1, 2, 3])
    writer.add_array("test.strings", ["a", "é", ""])
    writer.add_float32("test.float", 0.25)
    writer.add_int64("test.negative", -(2**40))
    expected = {}
    for name in ("F32", "F64", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", *SCALES):
        kind = gguf.GGMLQuantizationType[name]
        # Enough blocks to meet most entries of a code book.
        shape = (64 if name.startswith(("IQ1", "IQ2", "IQ3")) else 2, 256)
        if name in SCALES:
            data = random_blocks(rng, kind, shape[0] * shape[1])
            values = gguf.dequantize(data, kind)
            data = data.reshape(shape[0], -1)
        elif name == "F64":
            data = rng.normal(0, 0.05, shape)
            values = data.astype(numpy.float32)
        else:
            data = gguf.quantize(rng.normal(0, 0.05, shape).astype(numpy.float32), kind)
            values = gguf.dequantize(data, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        assert numpy.isfinite(values).all(), name
        values = numpy.ascontiguousarray(values, dtype="<f4").reshape(-1)
        expected[name] = {"shape": shape, "sha256": hashlib.sha256(values.tobytes()).hexdigest(), "first": floats(values[:32])}
    finish(writer)
    return expected


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def permuted(weight, heads):
    """What llama.cpp's converter does to query and key projections of the llama architecture."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def save_model(name, model, architecture, rope_factors=None):
    config = model.config
    writer = gguf.GGUFWriter(OUT / name, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    expected = {}
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight = value.numpy()
        expected[key] = {"shape": list(weight.shape), "values": floats(weight)}
        stem, _, kind = key.rpartition(".")
        if stem.startswith("model.layers."):
            layer, _, part = stem.removeprefix("model.layers.").partition(".")
            target = f"blk.{layer}.{GGUF_NAMES[part]}.{kind}"
        else:
            target = f"{GGUF_NAMES[stem]}.{kind}"
        if architecture == "llama" and (".q_proj." in key or ".k_proj." in key):
            heads = config.num_attention_heads if ".q_proj." in key else config.num_key_value_heads
            weight = permuted(weight, heads)
        writer.add_tensor(target, numpy.ascontiguousarray(weight))
    if rope_factors is not None:
        writer.add_tensor("rope_freqs.weight", rope_factors)
    finish(writer)
    if rope_factors is None:
        # Transformers' own reader must agree that this is how llama.cpp would have written the model.
        back = AutoModelForCausalLM.from_pretrained(OUT, gguf_file=name, dtype=torch.float32)
        for key, value in model.state_dict().items():
            assert torch.equal(back.state_dict()[key], value), key
    return expected


def save_models():
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(3)
    sizes = dict(vocab_size=40, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                 max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)  # fmt: skip
    llama = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 5000.0}))
    qwen2 = Qwen2ForCausalLM(Qwen2Config(**sizes, tie_word_embeddings=True))
    for layer in qwen2.model.layers:
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            torch.nn.init.normal_(projection.bias)
    scaling = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192}  # fmt: skip
    sizes.update(num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
    llama3 = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=True, rope_parameters=scaling))
    plain = 1 / scaling["rope_theta"] ** (torch.arange(0, 32, 2) / 32)
    factors = plain / ROPE_INIT_FUNCTIONS["llama3"](llama3.config, "cpu")[0]
    return {
        "llama": save_model("llama.gguf", llama, "llama"),
        "qwen2": save_model("qwen2.gguf", qwen2, "qwen2"),
        "llama3": {"scaling": scaling, "tensors": sorted(save_model("llama3.gguf", llama3, "llama", factors.float().numpy()))},
    }


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    expected = {"versions": {name: version(name) for name in PACKAGES}, "state": save_archives()}
    save_hostile()
    expected["types"] = save_types()
    expected["models"] = save_models()
    expected["folders"] = save_folders()
    (OUT / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
