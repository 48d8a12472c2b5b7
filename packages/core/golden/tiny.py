"""The tiny random models and their tokenizers, written as Hugging Face folders."""

import io
import json
import math

import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import (AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, CONFIG_MAPPING, LlamaConfig,
                          LlamaForCausalLM, MT5Config, MT5ForConditionalGeneration, PreTrainedTokenizerFast, Qwen2Config,
                          Qwen2ForCausalLM, T5Config, T5ForConditionalGeneration, T5Tokenizer)
from transformers.masking_utils import eager_mask
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward as gemma2_attention

import corpus

ROWS = 320  # rows of every embedding; the tokenizers know fewer ids
PIECES = 200  # SentencePiece's own; 100 sentinels come after them
WIDTH = 128

# Llama 3's and Qwen2's rules of cutting a text into words.
LLAMA3_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2_WORDS = LLAMA3_WORDS.replace(r"\p{N}{1,3}", r"\p{N}")


def patch_json(path, changes, drop=()):
    content = json.loads(path.read_text())
    for key in drop:
        content.pop(key, None)
    content.update(changes)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def save_unigram_tokenizer(folder, keep_json):
    """spiece.model, trained here, and the tokenizer.json that Transformers makes of it (mT5's folders lack it)."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus.sentences()), model_writer=model, model_type="unigram", vocab_size=PIECES,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=1.0, num_threads=1, minloglevel=2)
    (folder / "spiece.model").write_bytes(model.getvalue())
    tokenizer = T5Tokenizer.from_pretrained(folder)
    assert len(tokenizer) == PIECES + 100 and tokenizer.convert_tokens_to_ids("<extra_id_0>") == PIECES + 99
    tokenizer.save_pretrained(folder)
    compact = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    if keep_json:
        (folder / "tokenizer.json").write_text(json.dumps(compact, ensure_ascii=False, separators=(",", ":")) + "\n")


def save_byte_tokenizer(folder, words, vocabulary, special, begin, end, padding, normalizer):
    tokenizer = Tokenizer(BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(words), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus.sentences(), trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tokenizer.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in special])
    if begin is not None:
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1",
                                          special_tokens=[(begin, tokenizer.token_to_id(begin))])])
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=padding,
                                   clean_up_tokenization_spaces=False)
    fast.save_pretrained(folder)


def normal_(tensor, std, generator):
    tensor.copy_(torch.randn(tensor.shape, generator=generator) * std)


def text_part(name):
    """Whether a parameter is of the text model: all are, but T5Gemma 2's for images."""
    return not any(part in name for part in ("vision_tower", "multi_modal_projector", "eoi_embedding"))


@torch.no_grad()
def randomize(model, seed, embedding_std, head_std, end_ids, end_scale, norm_scale={}, norm_offset=0):
    """Weights that give logits of a standard deviation of about 2, scales away from 1 and biases away from 0.

    `end_scale` stretches the output rows of the end-of-sequence ids: some outputs then end early and some do not.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if not text_part(name):
            continue
        if "norm" in name and name.endswith("weight"):
            p.copy_(norm_scale.get(name, 1.0) * (0.5 + torch.rand(p.shape, generator=generator)) - norm_offset)
        elif name.endswith("bias"):
            normal_(p, 0.3, generator)
        elif "relative_attention_bias" in name:
            normal_(p, 1.0, generator)
        elif name == "shared.weight" or name.endswith("embed_tokens.weight"):
            normal_(p, embedding_std, generator)
        elif name == "lm_head.weight":
            normal_(p, head_std, generator)
        elif name.endswith(("SelfAttention.q.weight", "EncDecAttention.q.weight")):
            normal_(p, (p.shape[1] * model.config.d_kv) ** -0.5 * 1.5, generator)  # T5 does not scale its attention
        else:
            normal_(p, p.shape[1] ** -0.5, generator)
    head = model.get_output_embeddings().weight
    for i in end_ids:
        head[i] *= end_scale


def save_model(folder, model, generation, changes, drop, stored=lambda name: name):
    state = {}
    for name, value in model.state_dict().items():
        if not any(value.data_ptr() == kept.data_ptr() for kept in state.values()):
            state[stored(name)] = value.contiguous()
    save_file(state, str(folder / "model.safetensors"), metadata={"format": "pt"})
    model.config.save_pretrained(folder)
    patch_json(folder / "config.json", changes, drop)
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def save_t5(folder, version, seed, end_scale):
    tied = version == "1.0"
    save_unigram_tokenizer(folder, keep_json=not tied)
    config = T5Config(vocab_size=ROWS, d_model=WIDTH, d_kv=16, num_heads=2 if not tied else 3, d_ff=128 if not tied else 112,
                      num_layers=2, num_decoder_layers=2, feed_forward_proj="relu" if tied else "gated-gelu",
                      relative_attention_num_buckets=8, relative_attention_max_distance=20, dropout_rate=0.1,
                      decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    config.architectures = ["T5ForConditionalGeneration"]
    model = T5ForConditionalGeneration(config)
    if not tied:  # Transformers 5 ties every T5 when it makes one
        model.lm_head.weight = torch.nn.Parameter(torch.empty(ROWS, WIDTH))
    # A tied head would only repeat its input, were the embeddings not small beside what the layers add to them.
    randomize(model, seed, embedding_std=0.5 if tied else 1.0, head_std=2.0 * WIDTH ** -0.5, end_ids=[1], end_scale=end_scale,
              norm_scale={"decoder.final_layer_norm.weight": 4.0} if tied else {})
    # The hub's T5 v1.0 configs have neither key; T5.1.1's say that nothing is tied.
    save_model(folder, model, {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0},
               {} if tied else {"tie_word_embeddings": False}, ["scale_decoder_outputs", "tie_word_embeddings"])


def save_llama(folder, seed, end_scale):
    begin, end = "<|begin_of_text|>", "<|end_of_text|>"
    save_byte_tokenizer(folder, LLAMA3_WORDS, 300, [begin, end], begin, end, None, None)  # like Llama 3: no padding token
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 32}
    config = LlamaConfig(vocab_size=ROWS, hidden_size=WIDTH, intermediate_size=136, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=40, rms_norm_eps=1e-5,
                         max_position_embeddings=512, tie_word_embeddings=False,
                         rope_parameters={"rope_theta": 10000.0, **scaling},
                         bos_token_id=300, eos_token_id=301, pad_token_id=None)
    config.architectures = ["LlamaForCausalLM"]
    model = LlamaForCausalLM(config)
    randomize(model, seed, embedding_std=1.0, head_std=2.0 * WIDTH ** -0.5, end_ids=[301], end_scale=end_scale)
    # As the hub's Llama 3 files have it, before Transformers 5 renamed the key.
    save_model(folder, model, {"bos_token_id": 300, "eos_token_id": 301},
               {"rope_scaling": scaling, "rope_theta": 10000.0}, ["rope_parameters"])


def save_qwen2(folder, seed, end_scale):
    padding, end = "<|endoftext|>", "<|im_end|>"
    save_byte_tokenizer(folder, QWEN2_WORDS, 296, [padding, "<|im_start|>", end], None, end, padding, normalizers.NFC())
    config = Qwen2Config(vocab_size=ROWS, hidden_size=WIDTH, intermediate_size=144, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=1, rms_norm_eps=1e-6, max_position_embeddings=512,
                         tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
                         bos_token_id=296, eos_token_id=298, pad_token_id=296)
    config.architectures = ["Qwen2ForCausalLM"]
    model = Qwen2ForCausalLM(config)
    randomize(model, seed, embedding_std=2.0 * WIDTH ** -0.5, head_std=None, end_ids=[298], end_scale=end_scale)
    save_model(folder, model, {"bos_token_id": 296, "eos_token_id": [298, 296], "pad_token_id": 296}, {}, [])


# ---- small models, one a family: weights that bfloat16 holds, stored so, to keep the files small ---------------------

SMALL_WIDTH = 32
SMALL = dict(vocab_size=ROWS, hidden_size=SMALL_WIDTH, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, head_dim=12, max_position_embeddings=512, rms_norm_eps=1e-5, bos_token_id=296,
             eos_token_id=298, pad_token_id=296, tie_word_embeddings=True)
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
WINDOW = 8  # the texts are longer
LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.5, 2.0], "long_factor": [1.0, 3.0, 9.0],
        "original_max_position_embeddings": 256, "partial_rotary_factor": 0.5}

# model_type -> what the family has beside SMALL.
FAMILIES = {
    "mistral": dict(sliding_window=2 * WINDOW, tie_word_embeddings=False, rope_parameters=ROPE),
    "qwen3": dict(rope_parameters=ROPE),
    "gemma2": dict(sliding_window=WINDOW, layer_types=LAYERS, query_pre_attn_scalar=10, attn_logit_softcapping=4.0,
                   final_logit_softcapping=6.0, rope_parameters=ROPE),
    "gemma3_text": dict(sliding_window=WINDOW, layer_types=LAYERS, query_pre_attn_scalar=10,
                        rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                                         "sliding_attention": ROPE}),
    "smollm3": dict(no_rope_layers=[1, 0, 1], rope_parameters=ROPE),
    "olmo2": dict(tie_word_embeddings=False, rope_parameters=ROPE),
    "olmo3": dict(tie_word_embeddings=False, sliding_window=WINDOW, layer_types=LAYERS,
                  rope_parameters={"full_attention": YARN, "sliding_attention": ROPE}),
    "granite": dict(embedding_multiplier=0.75, logits_scaling=4.0, residual_multiplier=0.9, attention_multiplier=0.2,
                    tie_word_embeddings=False, rope_parameters=ROPE),
    "exaone4": dict(sliding_window=WINDOW, layer_types=LAYERS, tie_word_embeddings=False,
                    rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                                     "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
    "ernie4_5": dict(use_bias=True, rope_parameters=ROPE),
    "phi3": dict(sliding_window=3 * WINDOW, tie_word_embeddings=False, original_max_position_embeddings=256,
                 rope_parameters=LONG),
}
# Families without head_dim: the width over the heads.
WITHOUT_HEAD_DIM = {"smollm3", "olmo2", "olmo3", "granite", "phi3"}


def save_family(folder, kind, seed, end_scale):
    padding, end = "<|endoftext|>", "<|im_end|>"
    save_byte_tokenizer(folder, QWEN2_WORDS, 296, [padding, "<|im_start|>", end], None, end, padding, normalizers.NFC())
    settings = {**SMALL, **FAMILIES[kind]}
    if kind in WITHOUT_HEAD_DIM:
        del settings["head_dim"]
        settings["hidden_size"] = 48 if kind == "phi3" else SMALL_WIDTH
    if kind == "exaone4":
        settings["head_dim"] = 8
    config = CONFIG_MAPPING[kind](**settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    config.architectures = [type(model).__name__]
    std = 2.0 * settings["hidden_size"] ** -0.5 * settings.get("logits_scaling", 1.0)
    randomize(model, seed, std, std, [298], end_scale, norm_offset=1 if kind.startswith("gemma") else 0)
    model.to(torch.bfloat16)
    save_model(folder, model, {"bos_token_id": 296, "eos_token_id": [298, 296], "pad_token_id": 296},
               {"dtype": "bfloat16"}, ["torch_dtype"])


def save_mt5(folder, seed, end_scale):
    save_unigram_tokenizer(folder, keep_json=False)
    config = MT5Config(vocab_size=ROWS, d_model=SMALL_WIDTH, d_kv=12, num_heads=3, d_ff=40, num_layers=2, num_decoder_layers=2,
                       relative_attention_num_buckets=8, relative_attention_max_distance=20,
                       decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    config.architectures = ["MT5ForConditionalGeneration"]
    model = MT5ForConditionalGeneration(config)
    model.lm_head.weight = torch.nn.Parameter(torch.empty(ROWS, SMALL_WIDTH))
    randomize(model, seed, embedding_std=1.0, head_std=2.0 * SMALL_WIDTH ** -0.5, end_ids=[1], end_scale=end_scale)
    model.to(torch.bfloat16)
    save_model(folder, model, {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0},
               {"tie_word_embeddings": False, "dtype": "bfloat16"}, ["torch_dtype"])


def save_t5gemma2(folder, seed, end_scale):
    """With the hub's names, and with what is of images, which promot leaves out."""
    begin, end, padding = "<bos>", "<eos>", "<pad>"
    save_byte_tokenizer(folder, QWEN2_WORDS, 296, [padding, end, begin], None, end, padding, None)
    side = dict(SMALL, sliding_window=2 * WINDOW, layer_types=LAYERS, query_pre_attn_scalar=10, rms_norm_eps=1e-6,
                rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                                 "sliding_attention": ROPE}, pad_token_id=296, eos_token_id=297, bos_token_id=298)
    vision = dict(model_type="siglip_vision_model", hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                  num_attention_heads=1, image_size=16, patch_size=8)
    config = CONFIG_MAPPING["t5gemma2"](
        encoder={"text_config": side, "vision_config": vision, "mm_tokens_per_image": 4, "eoi_token_index": 318, "boi_token_index": 317},
        decoder=side, image_token_index=319, tie_word_embeddings=True, decoder_start_token_id=298)
    torch.manual_seed(seed)  # what is of images stays as it is made
    model = AutoModelForSeq2SeqLM.from_config(config)
    config.architectures = [type(model).__name__]
    std = 2.0 * SMALL_WIDTH ** -0.5
    randomize(model, seed, std, std, [297], end_scale, norm_offset=1)
    model.to(torch.bfloat16)
    save_model(folder, model, {"decoder_start_token_id": 298, "eos_token_id": 297, "pad_token_id": 296},
               {"dtype": "bfloat16"}, ["torch_dtype"], stored=lambda name: name.replace(".text_model.", "."))


# name -> (encoder-decoder?, seed of the prompt, maker). Seeds and end scales are chosen so that generation is worth testing
# and that rounding does not decide the sign of a prompt's first step; expected.py asserts both.
MODELS = {
    "t5-v1.1": (True, 1000, lambda folder: save_t5(folder, "1.1", seed=101, end_scale=1.6)),
    "llama": (False, 1001, lambda folder: save_llama(folder, seed=102, end_scale=1.6)),
    "t5-v1.0": (True, 1009, lambda folder: save_t5(folder, "1.0", seed=203, end_scale=3.5)),
    "qwen2": (False, 1003, lambda folder: save_qwen2(folder, seed=208, end_scale=1.7)),
}
# Of the small ones: (seed of the prompt, seed of the model, end scale).
SEEDS = {
    "gemma3_text": (1100, 300, 3.0),
    "mistral": (1100, 300, 1.5),
    "qwen3": (1101, 301, 2.0),
    "olmo3": (1102, 302, 1.5),
    "phi3": (1100, 300, 1.5),
    "smollm3": (1100, 300, 1.5),
    "olmo2": (1101, 301, 2.0),
    "gemma2": (1100, 300, 3.0),
    "granite": (1100, 300, 1.5),
    "exaone4": (1100, 300, 1.5),
    "ernie4_5": (1102, 302, 1.5),
    "mt5": (1100, 300, 1.5),
    "t5gemma2": (1102, 302, 5.0),
}


def save_small(kind, seed, end_scale):
    save = {"mt5": save_mt5, "t5gemma2": save_t5gemma2}.get(kind, lambda folder, *rest: save_family(folder, kind, *rest))
    return lambda folder: save(folder, seed, end_scale)


MODELS |= {kind: (kind in ("mt5", "t5gemma2"), prompt, save_small(kind, seed, end_scale))
           for kind, (prompt, seed, end_scale) in SEEDS.items()}


def capped_attention(module, query, key, value, mask, **rest):
    """Gemma 2's own attention, whose softmax in float32 would make infinities of float64's mask."""
    return gemma2_attention(module, query, key, value, None if mask is None else mask.clamp_min(-1e30), **rest)


# The fused kernels know no cap on scores.
AttentionInterface.register("capped", capped_attention)
AttentionMaskInterface.register("capped", eager_mask)


def load(folder, encoder_decoder):
    """The model as Transformers reads it (fp32, evaluation mode), checked against the file, and its tokenizer."""
    from safetensors.torch import load_file

    kind = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
    plain = {"attn_implementation": "capped"} if folder.name == "gemma2" else {}
    model, report = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **plain)
    assert not any(text_part(k) for k in report["missing_keys"]) and not report["unexpected_keys"] and not report["mismatched_keys"], report
    for name, value in load_file(folder / "model.safetensors").items():
        assert torch.equal(model.state_dict()[name], value.float()), name
    return model.eval(), AutoTokenizer.from_pretrained(folder)
