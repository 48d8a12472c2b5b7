"""The tiny random models and their tokenizers, written as Hugging Face folders."""

import io
import json
import math

import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import (AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM,
                          PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, T5Config, T5ForConditionalGeneration,
                          T5Tokenizer)

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


@torch.no_grad()
def randomize(model, seed, embedding_std, head_std, end_ids, end_scale, norm_scale={}):
    """Weights that give logits of a standard deviation of about 2, scales away from 1 and biases away from 0.

    `end_scale` stretches the output rows of the end-of-sequence ids: some outputs then end early and some do not.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            p.copy_(norm_scale.get(name, 1.0) * (0.5 + torch.rand(p.shape, generator=generator)))
        elif name.endswith("bias"):
            normal_(p, 0.3, generator)
        elif "relative_attention_bias" in name:
            normal_(p, 1.0, generator)
        elif name in ("shared.weight", "model.embed_tokens.weight"):
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


def save_model(folder, model, generation, changes, drop):
    state = {}
    for name, value in model.state_dict().items():
        if not any(value.data_ptr() == kept.data_ptr() for kept in state.values()):
            state[name] = value.contiguous()
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


# name -> (encoder-decoder?, seed of the prompt, maker). Seeds and end scales are chosen so that generation is worth testing
# and that rounding does not decide the sign of a prompt's first step; expected.py asserts both.
MODELS = {
    "t5-v1.1": (True, 1000, lambda folder: save_t5(folder, "1.1", seed=101, end_scale=1.6)),
    "llama": (False, 1001, lambda folder: save_llama(folder, seed=102, end_scale=1.6)),
    "t5-v1.0": (True, 1009, lambda folder: save_t5(folder, "1.0", seed=203, end_scale=3.5)),
    "qwen2": (False, 1003, lambda folder: save_qwen2(folder, seed=208, end_scale=1.7)),
}


def load(folder, encoder_decoder):
    """The model as Transformers reads it (fp32, evaluation mode), checked against the file, and its tokenizer."""
    from safetensors.torch import load_file

    kind = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
    model, report = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"], report
    for name, value in load_file(folder / "model.safetensors").items():
        assert torch.equal(model.state_dict()[name], value), name
    return model.eval(), AutoTokenizer.from_pretrained(folder)
