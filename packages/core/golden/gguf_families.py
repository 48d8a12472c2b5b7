"""Writes files/families/NAME.gguf: golden models as llama.cpp's converter stores them, for families whose tables differ
from Llama's.

    pip install gguf safetensors sentencepiece protobuf torch transformers && python packages/core/golden/gguf_families.py

Tensor names come from gguf's own map, keys from its writer. What the converter (convert_hf_to_gguf.py) does beside them is
written out here: LongRoPE's and Llama 3's factors as tensors, windows by layer, permuted rows of what llama.cpp takes for a
Llama, norms of Gemma with 1 added. Where Transformers reads the architecture, it must find the folder's logits in the file.
"""

import json
import math
from pathlib import Path

import gguf
import numpy
import torch
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from transformers import AutoConfig, AutoModelForCausalLM

HERE = Path(__file__).parent
OUT = HERE / "files" / "families"
ARCHITECTURES = {
    "mistral": "LLAMA", "qwen3": "QWEN3", "gemma2": "GEMMA2", "smollm3": "SMOLLM3", "olmo2": "OLMO2", "olmo3": "OLMO2",
    "granite": "GRANITE", "exaone4": "EXAONE4", "ernie4_5": "ERNIE4_5", "phi3": "PHI3",
}
# What the converter takes for a Llama: neighbouring pairs are turned, and the number of turned dimensions is written.
LLAMAS = ("mistral", "smollm3", "granite")
# The converter takes Llama 3's own number for what the file does not say.
ORIGINAL = 8192


def permuted(weight, heads):
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def llama3_factors(rope, width):
    low, high = ORIGINAL / rope["low_freq_factor"], ORIGINAL / rope["high_freq_factor"]
    for i in range(0, width, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / width)
        if wavelength < high:
            yield 1
        elif wavelength > low:
            yield rope["factor"]
        else:
            smooth = (ORIGINAL / wavelength - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
            yield 1 / ((1 - smooth) / rope["factor"] + smooth)


def write(name, architecture):
    folder = HERE / "models" / name
    config = json.loads((folder / "config.json").read_text())
    arch = gguf.MODEL_ARCH[architecture]
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", gguf.MODEL_ARCH_NAMES[arch])
    layers, heads, keys = (config[f"num_{key}"] for key in ("hidden_layers", "attention_heads", "key_value_heads"))
    rope = config["rope_parameters"]
    writer.add_block_count(layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(keys)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    width = config.get("head_dim") or config["hidden_size"] // heads
    if config.get("head_dim"):
        writer.add_key_length(width)
        writer.add_value_length(width)
    if name in LLAMAS:
        writer.add_vocab_size(config["vocab_size"])
        writer.add_rope_dimension_count(width)
    if name == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
        writer.add_sliding_window(config["sliding_window"])
    if name == "granite":
        writer.add_attention_scale(config["attention_multiplier"])
        writer.add_embedding_scale(config["embedding_multiplier"])
        writer.add_residual_scale(config["residual_multiplier"])
        writer.add_logit_scale(config["logits_scaling"])
    if name == "phi3":
        writer.add_rope_dimension_count(int(rope["partial_rotary_factor"] * width))
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
        scale = config["max_position_embeddings"] / config["original_max_position_embeddings"]
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(config["original_max_position_embeddings"])))
        writer.add_sliding_window(config["sliding_window"])
        for kind in ("long", "short"):
            writer.add_tensor(f"rope_factors_{kind}.weight", numpy.array(rope[f"{kind}_factor"], dtype=numpy.float32))
    if name in ("olmo3", "exaone4"):
        writer.add_sliding_window(config["sliding_window"])
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
    if name == "olmo3":
        full = rope["full_attention"]
        rope = rope["sliding_attention"]
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(full["factor"])
        writer.add_rope_scaling_attn_factors(0.1 * math.log(full["factor"]) + 1)
        writer.add_rope_scaling_orig_ctx_len(full["original_max_position_embeddings"])
    if name == "exaone4":
        # With a small base no frequency is divided by the whole factor, from which promot finds the factor.
        rope = {**rope, "rope_theta": 1e6}
        writer.add_tensor("rope_freqs.weight", numpy.array(list(llama3_factors(rope, width)), dtype=numpy.float32))
    if name != "gemma2":
        writer.add_rope_freq_base(rope["rope_theta"])
    names = gguf.get_tensor_name_map(arch, layers)
    for key, value in load_file(folder / "model.safetensors").items():
        if name in LLAMAS and (".q_proj." in key or ".k_proj." in key):
            value = permuted(value, heads if ".q_proj." in key else keys)
        if name == "gemma2" and key.endswith("norm.weight"):
            value = value.float() + 1
        target = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if value.dim() == 1:
            writer.add_tensor(target, value.float().numpy())
        else:
            data = value.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
            writer.add_tensor(target, data, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_t5(name):
    """T5's architecture is mT5's, too. The tokenizer is that of SentencePiece's file."""
    folder = HERE / "models" / name
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", "t5")
    writer.add_context_length(512)
    writer.add_embedding_length(config["d_model"])
    writer.add_feed_forward_length(config["d_ff"])
    writer.add_block_count(config["num_layers"])
    writer.add_decoder_block_count(config["num_decoder_layers"])
    writer.add_head_count(config["num_heads"])
    writer.add_key_length(config["d_kv"])
    writer.add_value_length(config["d_kv"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_relative_attn_buckets_count(config["relative_attention_num_buckets"])
    writer.add_layer_norm_rms_eps(config["layer_norm_epsilon"])
    writer.add_decoder_start_token_id(config["decoder_start_token_id"])
    pieces = SentencePieceProcessor(str(folder / "spiece.model"))
    model = sentencepiece_model_pb2.ModelProto.FromString((folder / "spiece.model").read_bytes())
    tokens = [f"[PAD{i}]" for i in range(config["vocab_size"])]
    scores, types = [-10000.0] * len(tokens), [gguf.TokenType.UNUSED] * len(tokens)
    for i in range(pieces.vocab_size()):
        kinds = {"UNKNOWN": pieces.is_unknown(i), "CONTROL": pieces.is_control(i), "UNUSED": pieces.is_unused(i), "BYTE": pieces.is_byte(i)}
        tokens[i], scores[i] = pieces.id_to_piece(i), pieces.get_score(i)
        types[i] = gguf.TokenType[next((kind for kind, found in kinds.items() if found), "NORMAL")]
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_add_space_prefix(model.normalizer_spec.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(model.normalizer_spec.remove_extra_whitespaces)
    if model.normalizer_spec.precompiled_charsmap:
        writer.add_precompiled_charsmap(model.normalizer_spec.precompiled_charsmap)
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5, config["num_layers"])
    for key, value in load_file(folder / "model.safetensors").items():
        target = names.get_name(key, try_suffixes=(".weight", ".bias"))
        # In float32 where the golden model has it so, to keep its logits.
        if value.dim() == 1 or value.dtype == torch.float32:
            writer.add_tensor(target, value.float().numpy())
        else:
            data = value.contiguous().view(torch.uint8).numpy()
            writer.add_tensor(target, data, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(name):
    """Transformers' reading of the file's tensors, under the folder's config.json: it overlooks keys such as Gemma 2's caps."""
    folder, ids = HERE / "models" / name, torch.arange(1, 40)[None]
    common = {"config": AutoConfig.from_pretrained(folder), "dtype": torch.float32}
    found = AutoModelForCausalLM.from_pretrained(OUT, gguf_file=f"{name}.gguf", **common)
    wanted = AutoModelForCausalLM.from_pretrained(folder, **common)
    with torch.no_grad():
        assert torch.equal(found(ids).logits, wanted(ids).logits), name


OUT.mkdir(parents=True, exist_ok=True)
for name, architecture in ARCHITECTURES.items():
    write(name, architecture)
write_t5("mt5")
for name in ("qwen3", "gemma2", "phi3"):
    check(name)
