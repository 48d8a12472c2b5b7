#!/usr/bin/env python3
"""Do Transformers and tokenizers read the tokenizer files that promot writes, with the same ids?

    npm run compile && python packages/core/golden/verify_tokenizers.py

Lets promot (packages/core/dist, run by node) read every tokenizer of golden/tokenizers, folders and GGUF files, and write
its files; loads those with AutoTokenizer and with tokenizers, and compares the ids of all texts. Exit status 0 where all agree.

The Rust crate applies a SentencePiece character map to whole graphemes and by the shortest key where SentencePiece (and
promot) take the longest key wherever it stands, so texts that Rust reads otherwise than SentencePiece does are counted
and not compared; there must be few.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")

from tokenizers import Tokenizer
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent
WRITE_FILES = """
import { mkdirSync, writeFileSync } from 'node:fs';
const [dist, golden, out] = process.argv.slice(1);
const { loadTokenizer } = await import(`${dist}/tokenizer/load.js`);
const { tokenizerFromGguf } = await import(`${dist}/tokenizer/gguf.js`);
const { readGguf } = await import(`${dist}/formats/gguf.js`);
const folders = ['t5', 'mt5', 'llama', 'gemma', 'smollm', 'llama-bpe', 'qwen2', 'byt5'];
const files = ['llama', 'gemma', 'smollm', 'llama-bpe', 'qwen2'].map((name) => `${name}.gguf`);
for (const name of [...folders, ...files]) {
  const place = `${golden}/${name}`;
  const tokenizer = name.endsWith('.gguf') ? tokenizerFromGguf(readGguf(place).metadata) : loadTokenizer(place);
  mkdirSync(`${out}/${name}`);
  for (const [file, content] of tokenizer.files()) writeFileSync(`${out}/${name}/${file}`, content);
}
"""


def differences(encode, texts, ids):
    return [text for text, row in zip(texts, ids) if encode(text) != row]


def main():
    expected = json.loads((HERE / "tokenizers" / "expected.json").read_text())
    texts = expected["texts"]
    gemma = expected["gemma"]["texts"]
    cases = {
        "t5": (texts, expected["t5"]["ids"], 0.03),
        "mt5": (expected["mt5"]["texts"], expected["mt5"]["ids"], 0),
        "llama": (texts, expected["llama"]["ids"], 0),
        "llama.gguf": (texts, expected["llama"]["ids"], 0),
        "gemma": (gemma, expected["gemma"]["ids"], 0),
        "gemma.gguf": (gemma, expected["gemma"]["ids"], 0),
        "byt5": (texts[: len(expected["byt5"]["ids"])], expected["byt5"]["ids"], 0),
    }
    for name, rows in expected["byteLevel"].items():
        cases[name] = cases[f"{name}.gguf"] = (texts, rows["ids"], 0)
    failed = False
    with tempfile.TemporaryDirectory() as out:
        arguments = [str(HERE.parent / "dist"), str(HERE / "tokenizers"), out]
        subprocess.run(["node", "--input-type=module", "-e", WRITE_FILES, *arguments], check=True)
        for name, (samples, ids, share) in cases.items():
            auto = AutoTokenizer.from_pretrained(f"{out}/{name}")
            found = {"AutoTokenizer": differences(lambda text: auto(text).input_ids, samples, ids)}
            file = Path(out, name, "tokenizer.json")
            if file.exists():
                rust = Tokenizer.from_file(str(file))
                found["tokenizers"] = differences(lambda text: rust.encode(text).ids, samples, ids)
            for reader, texts_apart in found.items():
                good = len(texts_apart) <= share * len(samples)
                failed |= not good
                print(f"{'ok  ' if good else 'FAIL'} {name} in {reader}: {len(texts_apart)} of {len(samples)} texts differ {texts_apart[:3]}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
