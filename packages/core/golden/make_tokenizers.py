#!/usr/bin/env python3
"""Rebuilds golden/tokenizers: python packages/core/golden/make_tokenizers.py

Small tokenizers of every kind and what SentencePiece, tokenizers and Transformers make of nasty texts with them.
Needs sentencepiece, tokenizers, transformers, gguf (expected.json holds the versions); half a minute of one CPU core.
"""

import io
import json
import os
import random
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

sys.dont_write_bytecode = True
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, ByT5Tokenizer

OUT = Path(__file__).resolve().parent / "tokenizers"
PACKAGES = ("sentencepiece", "tokenizers", "transformers", "gguf")

SUBJECTS = "The cat,A small dog,My neighbour,The old teacher,Their train,Une maison,Das alte Haus,Every student,Nobody,It".split(",")
VERBS = "sees,carries,answers,doesn't like,will translate,summarises,has written,is,était,findet,believed,isn't".split(",")
OBJECTS = "the question,two hypotheses,a premise about water,123 pages,naïve café menus,über 45 Häuser,it's true,False,the article (1984),3.14".split(",")

# Texts that tokenizers disagree on: white space, compositions, compatibility characters, numbers, emoji, controls.
NASTY = [
    "", " ", "   ", "hello", " hello", "hello ", "  hello   world  ", "a\tb\nc\r\nd", "a\n\n\nb", "\u00a0x\u00a0", "\u3000日本語\u3000",
    "ｆｕｌｌ ｗｉｄｔｈ", "①②③ ½ ¾ ²³", "ﬁ ﬂ ﬀ", "e\u0301 é e\u0301\u0323", "\u1100\u1161\u11a8 각", "क्षि", "👨‍👩‍👧‍👦 👍🏽 🇩🇪",
    "\ufeffbom\ufeff", "\u200bzero\u200dwidth\u200c", "\u00adsoft", "▁under▁score ▁", "<0x41> <0xFF>", "Ω Å K", "ſt ẛ̣", "\u0085nel\u0085 x",
    "\u2028ls\u2029", "\x00\x01\x02\x7f", "٣٤٥ 123 ４５６ Ⅷ ⅷ ௧", "ἀ ᾳ ᾴ", "…………", "“quotes” ‘x’ — – ‐", "～~∼", "𝕏𝒜", "İıſß", "مرحبا بالعالم",
    "שָׁלוֹם", "ไทยภาษา", "x" * 300, "1234567890" * 5, "don't I'll we've IT'S It'S", "http://a.b/c?d=e&f=g#h", "tabs\t\t\tend", "\U0010ffff\ue000",
    "a\u0300\u0301\u0302\u0303b", "㍿ ㌀ ㎏", "Ǆ ǆ ǅ", "\u202eRTL\u202c", "\ufffd", "def f(x):\n    return x**2  # c\n\n\n", "\r", "\n",
    "\u2002en\u2003em\u2009thin", "ﷺ ﷻ", "\u0344 \u0374 \u037e", "\u212b\u2126", "a\u00a0\u00a0b", "aaa aaaa aaaaa aaaaaa", "the the the", "  .  ,",
]  # fmt: skip

# For T5, whose folder goes through Transformers here: special tokens in the text.
SPECIAL = ["a <extra_id_0> b<extra_id_1>", "<extra_id_99>", "The cat</s>", "<pad> x <unk> y", "The <extra_id_5>", "two  <extra_id_0>  words "]

# For Gemma: its user-defined symbols, as words and as the marks themselves.
GEMMA = ["a  b   c    d     e", "the▁▁▁cat", "x\n\n\n\ny", "<b>The cat</b> [multimodal]  is", "  \n  ", "\n\n ▁\n"]


def corpus(rng):
    lines = [f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)}." for _ in range(1500)]
    return lines + ["日本語 と ひらがな", "Привет, мир!", "ελληνικά", "price: $12.50; 7%", 'he said: "yes"'] * 5


def texts(rng):
    """The nasty texts, random mixtures of scripts, and some ordinary lines."""
    ranges = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x900, 0xA00), (0x1E00, 0x2070), (0x2070, 0x2800),
              (0x3000, 0x3400), (0x4E00, 0x4F00), (0xAC00, 0xAD00), (0xF900, 0xFB50), (0xFE00, 0xFFFF), (0x1D400, 0x1D500)]  # fmt: skip
    words = [" ", "  ", "the", "ing", "un", "\n", "\t", "é", "12", ".", ", ", "café", "▁"]
    mixed = []
    for _ in range(200):
        parts = []
        for _ in range(rng.randint(1, 12)):
            low, high = rng.choice(ranges if rng.random() < 0.5 else ranges[:1])
            parts.append(rng.choice(words) if rng.random() < 0.5 else "".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 3))))
        mixed.append("".join(parts))
    return NASTY + mixed + corpus(rng)[:40]


def train_sentencepiece(lines, folder, name, **settings):
    """Trains by way of memory and drops the rules' path: a model must not tell where it was made."""
    folder.mkdir(parents=True)
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=trained, hard_vocab_limit=False,
                                             num_threads=1, minloglevel=2, **settings)  # fmt: skip
    model = proto.ModelProto()
    model.ParseFromString(trained.getvalue())
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    (folder / name).write_bytes(model.SerializeToString())
    return sentencepiece.SentencePieceProcessor(str(folder / name))


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True) + "\n")


def t5(lines, samples):
    folder = OUT / "t5"
    model = train_sentencepiece(lines, folder, "spiece.model", model_type="unigram", vocab_size=400, normalization_rule_name="nmt_nfkc",
                                pad_id=0, eos_id=1, unk_id=2, bos_id=-1)  # fmt: skip
    write_json(folder / "config.json", {"model_type": "t5"})
    transformers = AutoTokenizer.from_pretrained(folder)
    assert len(transformers) == len(model) + 100
    ids = [model.encode(text) + [1] for text in samples]
    decoded = [transformers.decode(row, skip_special_tokens=True) for row in ids]
    special = [transformers(text).input_ids for text in SPECIAL]
    shown = [transformers.decode(row) for row in special]
    return {"ids": ids, "decoded": decoded, "special": special, "specialDecoded": shown}


def mt5(lines):
    """mT5's spiece.model holds its sentinels itself, as user-defined pieces with the space's mark, and extra_ids is 0."""
    folder = OUT / "mt5"
    rules = OUT / "rules.tsv"  # a small map of its own: no-break and ideographic space, fi ligature
    rules.write_text("A0\t20\n3000\t20\nFB01\t66 69\n")
    train_sentencepiece(lines, folder, "spiece.model", model_type="unigram", vocab_size=120, normalization_rule_tsv=str(rules), pad_id=0,
                        eos_id=1, unk_id=2, bos_id=-1, character_coverage=0.98)  # fmt: skip
    rules.unlink()
    model = proto.ModelProto()
    model.ParseFromString((folder / "spiece.model").read_bytes())
    for i in reversed(range(100)):
        model.pieces.add(piece=f"▁<extra_id_{i}>", score=0.0, type=proto.ModelProto.SentencePiece.USER_DEFINED)
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    write_json(folder / "config.json", {"model_type": "mt5"})
    write_json(folder / "tokenizer_config.json", {"extra_ids": 0, "additional_special_tokens": None, "tokenizer_class": "T5Tokenizer"})
    transformers = AutoTokenizer.from_pretrained(folder)
    samples = ["The cat sees it.", "The <extra_id_0> sees <extra_id_1> .", "<extra_id_99>"]
    return {"texts": samples, "ids": [transformers(text).input_ids for text in samples], "size": len(model.pieces)}


def mt5_bytes(lines, samples):
    """As mT5's own file: a unigram vocabulary that has the bytes, which T5's class does not use."""
    folder = OUT / "mt5-bytes"
    rules = OUT / "rules.tsv"
    rules.write_text("A0\t20\n")
    train_sentencepiece(lines, folder, "spiece.model", model_type="unigram", vocab_size=400, normalization_rule_tsv=str(rules), pad_id=0,
                        eos_id=1, unk_id=2, bos_id=-1, character_coverage=0.98, byte_fallback=True)  # fmt: skip
    rules.unlink()
    write_json(folder / "config.json", {"model_type": "mt5"})
    write_json(folder / "tokenizer_config.json", {"extra_ids": 0, "tokenizer_class": "T5Tokenizer"})
    transformers = AutoTokenizer.from_pretrained(folder)
    # The small map leaves other white space than the space alone, at which Transformers splits and SentencePiece does not.
    texts = [text for text in samples if all(word == "".join(word.split()) for word in text.split(" "))]
    return {"texts": texts, "ids": [transformers(text).input_ids for text in texts]}


def unigram_bytes(lines, samples):
    """A tokenizer.json whose unigram model falls back on bytes."""
    folder = OUT / "unigram-bytes"
    folder.mkdir()
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=250, special_tokens=["<unk>", "</s>"], unk_token="<unk>",
                                                                 show_progress=False))  # fmt: skip
    description = json.loads(tokenizer.to_str())
    description["model"]["byte_fallback"] = True
    description["model"]["vocab"] += [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
    tokenizer = Tokenizer.from_str(json.dumps(description))
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write_json(folder / "tokenizer_config.json", {"eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"})
    rows = [tokenizer.encode(text).ids for text in samples]
    return {"ids": rows, "decoded": [tokenizer.decode(row) for row in rows]}


# A template around the text, and what each class makes of it and of the two keys.
CLASSES = ["PreTrainedTokenizerFast", "LlamaTokenizerFast", "GPT2Tokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizerFast"]
KEYS = [{}, {"add_bos_token": True, "add_eos_token": True}, {"add_bos_token": False, "add_eos_token": False}]


def classes():
    cases = []
    for name in CLASSES:
        for has_template in (True, False):
            for keys in KEYS:
                folder = OUT / "class"
                shutil.copytree(OUT / "smollm", folder)
                description = json.loads((folder / "tokenizer.json").read_text())
                if has_template:
                    around = processors.TemplateProcessing(single="<|endoftext|> $A <|im_end|>", special_tokens=[("<|endoftext|>", 0), ("<|im_end|>", 1)])
                    description["post_processor"] = json.loads(around.__getstate__())
                config = {"tokenizer_class": name, "bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", **keys}
                write_json(folder / "tokenizer.json", {**description, "truncation": None, "padding": None})
                write_json(folder / "tokenizer_config.json", config)
                # Only what stands around the text: some classes take the text apart in their own way.
                ids = AutoTokenizer.from_pretrained(folder)("the cat").input_ids
                cases.append({"config": config, "template": has_template, "before": ids[:1] == [0], "after": ids[-1:] == [1]})
                shutil.rmtree(folder)
    return cases


def llama(lines, samples):
    """As Llama 2's: text taken as it is, a space in front, unknown characters as bytes."""
    folder = OUT / "llama"
    model = train_sentencepiece(lines, folder, "tokenizer.model", model_type="bpe", vocab_size=500, normalization_rule_name="identity",
                                byte_fallback=True, remove_extra_whitespaces=False, character_coverage=0.98)  # fmt: skip
    ids = [model.encode(text) for text in samples]
    pieces = range(len(model))
    kind = [2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i) else 1 for i in pieces]
    writer = gguf.GGUFWriter(OUT / "llama.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([model.id_to_piece(i) for i in pieces])
    writer.add_token_scores([model.get_score(i) for i in pieces])
    writer.add_token_types(kind)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    finish(writer)
    return {"ids": [[1, *row] for row in ids], "decoded": [model.decode(row) for row in ids]}


def gemma(lines, samples):
    """As Gemma's: no space in front; runs of spaces and of line breaks, and pieces of HTML, are user-defined symbols."""
    folder = OUT / "gemma"
    # Where two marks stand beside a space, Gemma's own tokenizer.json finds the marks first, and SentencePiece the whole run.
    samples = [text for text in samples if "▁▁ " not in text and " ▁▁" not in text]
    symbols = ["▁" * n for n in (2, 3, 4)] + ["\n" * n for n in (1, 2, 3)] + ["<b>", "[multimodal]"]
    model = train_sentencepiece(lines, folder, "tokenizer.model", model_type="bpe", vocab_size=520, normalization_rule_name="identity",
                                byte_fallback=True, remove_extra_whitespaces=False, add_dummy_prefix=False, character_coverage=0.98,
                                pad_id=0, eos_id=1, bos_id=2, unk_id=3, user_defined_symbols=symbols)  # fmt: skip
    write_json(folder / "tokenizer_config.json", {"add_bos_token": True})
    description = proto.ModelProto()
    description.ParseFromString((folder / "tokenizer.model").read_bytes())
    writer = gguf.GGUFWriter(OUT / "gemma.gguf", "gemma3")
    writer.add_tokenizer_model("llama")
    # As llama.cpp's converter does it: user-defined pieces with plain spaces.
    writer.add_token_list([p.piece.replace("▁", " ") if p.type == p.USER_DEFINED else p.piece for p in description.pieces])
    writer.add_token_scores([-1000.0 if p.type == p.USER_DEFINED else p.score for p in description.pieces])
    writer.add_token_types([p.type for p in description.pieces])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    finish(writer)
    ids = [model.encode(text) for text in samples]
    return {"texts": samples, "ids": [[2, *row] for row in ids], "decoded": [model.decode(row) for row in ids]}


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def byte_level(lines, samples):
    """Byte-level BPE with the three ways of splitting that the Llama family uses."""
    contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    rest = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    word = r"[^\r\n\p{L}\p{N}]?\p{L}+"
    split = lambda regex: pre_tokenizers.Split(Regex(regex), "isolated")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    kinds = {
        "smollm": (None, [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)], False),
        "llama-bpe": (None, [split(rf"{contractions}|{word}|\p{{N}}{{1,3}}|{rest}"), plain], True),
        "qwen2": (normalizers.NFC(), [split(rf"{contractions}|{word}|\p{{N}}|{rest}"), plain], False),
    }
    expected = {}
    for name, (normalizer, steps, ignore_merges) in kinds.items():
        tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=450, special_tokens=["<|endoftext|>", "<|im_end|>"], show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
        tokenizer.train_from_iterator(lines, trainer)
        tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
        # Truncation and padding of the file must be ignored by the reader.
        rows = [tokenizer.encode(text, add_special_tokens=False).ids for text in samples]
        decoded = [tokenizer.decode(row, skip_special_tokens=True) for row in rows]
        special = tokenizer.encode("a <tool> b<|im_end|>\n12345").ids
        tokenizer.enable_truncation(4)
        tokenizer.enable_padding(length=8)
        folder = OUT / name
        folder.mkdir()
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        write_json(folder / "tokenizer_config.json", {"eos_token": "<|im_end|>", "model_max_length": 4})
        description = json.loads(tokenizer.to_str())["model"]
        vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
        writer = gguf.GGUFWriter(OUT / f"{name}.gguf", "llama")
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(name)
        writer.add_token_list([token for token, _ in vocabulary])
        writer.add_token_types([3, 3] + [1] * (len(vocabulary) - 3) + [4])
        writer.add_token_merges([" ".join(merge) for merge in description["merges"]])
        writer.add_add_bos_token(False)
        writer.add_eos_token_id(1)
        finish(writer)
        expected[name] = {"ids": rows, "decoded": decoded, "special": special}
    return expected


def byt5(samples):
    tokenizer = ByT5Tokenizer()
    rows = [tokenizer(text).input_ids for text in samples]
    folder = OUT / "byt5"
    folder.mkdir()
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "ByT5Tokenizer", "extra_ids": 125})
    special = "a <extra_id_0> b<extra_id_124></s>c"
    broken = [230, 104, 260, 1, 259, 2, 75, 198, 75, 400 - 3 - 3]  # bytes that are no UTF-8, special tokens, an id past the end
    added = ByT5Tokenizer()
    added.add_tokens(["<tool>", "</tool>"], special_tokens=True)
    added.add_tokens(["<note>"])
    added.save_pretrained(OUT / "byt5-added")
    marked = ["<tool> hi", "a</tool>  <tool>b <note> c</s> d<extra_id_3>e", "<tool", " <note> "]
    return {
        "added": {"texts": marked, "ids": [added(text).input_ids for text in marked], "size": len(added),
                  "decoded": [added.decode(added(text).input_ids, skip_special_tokens=True) for text in marked]},
        "ids": rows,
        "decoded": [tokenizer.decode(row, skip_special_tokens=True) for row in rows],
        "special": {"text": special, "ids": tokenizer(special).input_ids},
        "broken": {"ids": broken[:-1], "decoded": tokenizer.decode(broken[:-1], skip_special_tokens=True)},
    }


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    rng = random.Random(17)
    lines = corpus(rng)
    samples = texts(rng)
    expected = {
        "versions": {name: version(name) for name in PACKAGES},
        "texts": samples,
        "specialTexts": SPECIAL,
        "t5": t5(lines, samples),
        "mt5": mt5([line for line in lines if line.isascii()]),
        "mt5Bytes": mt5_bytes(lines, samples),
        "unigramBytes": unigram_bytes(lines, samples),
        "llama": llama(lines, samples),
        "gemma": gemma(lines, samples + GEMMA),
        "byteLevel": byte_level(lines, samples),
        "byt5": byt5(samples[:60]),
    }
    expected["classes"] = classes()
    write_json(OUT / "expected.json", expected)


if __name__ == "__main__":
    main()
