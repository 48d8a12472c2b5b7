"""Writes chat/expected.json: conversations as Transformers' apply_chat_template renders them, and which tokens of them
the assistant says (return_assistant_tokens_mask), for the templates in chat/.

    pip install torch transformers && python packages/core/golden/chat.py

Transformers tells the assistant's tokens only where a template marks them with {% generation %}. Of each template there
is a second form with these marks; the first form, without them, must give the same in promot.
"""

import json
import re
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

folder = Path(__file__).parent / "chat"
CORPUS = ["the assistant answers the user with a short text", "What is the capital of France? Paris.", "user model system", "1 2 3 + - * {} : , \" the tool call name arguments"] * 20
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False))
    return tokenizer


def gemma_like():
    """Spaces are a letter, line breaks merge, letters that the vocabulary lacks become bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    data = [line.replace(" ", "▁") for line in CORPUS] + ["\n\n", "\n\nthe", "a\n"] * 30
    tokens = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator(data, trainers.BpeTrainer(vocab_size=420, special_tokens=tokens, show_progress=False))
    # Bytes are ordinary tokens.
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = [token for token in description["added_tokens"] if token["content"] in SPECIAL]
    return Tokenizer.from_str(json.dumps(description))


CONVERSATIONS = {
    "one": {"messages": [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": "Paris."}]},
    "several": {
        "messages": [
            {"role": "user", "content": "the user"},
            {"role": "assistant", "content": "a short text"},
            {"role": "user", "content": "1 + 2?"},
            {"role": "assistant", "content": "3"},
            {"role": "user", "content": "and * 3"},
            {"role": "assistant", "content": "9, of course"},
        ]
    },
    "system": {
        "messages": [
            {"role": "system", "content": "answers are short"},
            {"role": "user", "content": "the capital?"},
            {"role": "assistant", "content": "Paris"},
            {"role": "user", "content": "the same again"},
            {"role": "assistant", "content": "Paris"},
        ]
    },
    "odd": {
        "messages": [
            {"role": "user", "content": "  spaces \n\n and lines\n"},
            {"role": "assistant", "content": "\n日本 👍 {{ not a template }}\n\n"},
            {"role": "user", "content": "<|im_end|> é"},
            {"role": "assistant", "content": "the end  "},
        ]
    },
    "tools": {
        "messages": [
            {"role": "user", "content": "the weather in Paris?"},
            {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris", "days": 2, "exact": True, "unit": None}}}]},
            {"role": "tool", "name": "weather", "content": "{\"sky\": \"clear\"}"},
            {"role": "assistant", "content": "Clear."},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "the weather, “today”", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}],
    },
    "calls": {
        "messages": [
            {"role": "system", "content": "answers are short"},
            {"role": "user", "content": "the weather in Paris?"},
            {"role": "assistant", "reasoning_content": "a tool", "content": "", "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}]},
            {"role": "tool", "name": "weather", "content": "{\"sky\": \"clear\"}"},
            {"role": "assistant", "reasoning_content": "no more", "content": "Clear."},
            {"role": "user", "content": "and in Rome and Gent?"},
            {"role": "assistant", "content": "The tool knows.", "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}, {"function": {"name": "weather", "arguments": {"city": "Gent"}}}]},
            {"role": "tool", "name": "weather", "content": "clear"},
            {"role": "tool", "name": "weather", "content": "rain"},
            {"role": "assistant", "content": "Clear, and rain."},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "the weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}],
    },
    "thoughts": {
        "messages": [
            {"role": "user", "content": "1 + 2?"},
            {"role": "assistant", "content": "<think>\n1 and 2\n</think>\n\n3"},
            {"role": "user", "content": "and 3 + 4?"},
            {"role": "assistant", "reasoning_content": "3 and 4", "content": "7"},
        ]
    },
}
# Templates that know tools, and the one that knows thoughts.
ONLY = {"tools": ["qwen2.5", "qwen3"], "calls": ["qwen2.5", "qwen3"], "thoughts": ["qwen3", "smollm2"]}


def marked(name, template):
    """The same template with {% generation %} around what the assistant says."""
    if name == "smollm2":
        turn = "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
        assert turn in template
        head, said = "{{'<|im_start|>' + message['role'] + '\\n'}}", "{{ message['content'] + '<|im_end|>' }}"
        return template.replace(turn, head + both(said, "") + "{{ '\\n' }}")
    if name in ("gemma", "llama3"):
        dash = "-" if name == "gemma" else ""
        return re.sub(rf"{{#{dash}answer{dash}#}}(.*?){{#{dash}end{dash}#}}", lambda m: both(m[1], dash), template, flags=re.S)
    return re.sub(r"\{#(-?)answer(-?)#\}", r"{%\1 generation \2%}", re.sub(r"\{#(-?)end(-?)#\}", r"{%\1 endgeneration \2%}", template))


def both(said, dash):
    open_, close = f"{{%{dash} ", f" {dash}%}}"
    return f"{open_}if message['role'] == 'assistant'{close}{open_}generation{close}{said}{open_}endgeneration{close}{open_}else{close}{said}{open_}endif{close}"


tokenizers = {}
for name, tokenizer in (("byte-level", byte_level()), ("gemma-like", gemma_like())):
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    fast.save_pretrained(folder / name)
    tokenizers[name] = PreTrainedTokenizerFast.from_pretrained(folder / name)

cases = []
for path in sorted(folder.glob("*.jinja")):
    template = path.read_text()
    with_marks = marked(path.stem, template)
    assert with_marks != template
    for conversation, content in CONVERSATIONS.items():
        if path.stem not in ONLY.get(conversation, [path.stem]):
            continue
        for kind, tokenizer in tokenizers.items():
            messages, tools = content["messages"], content.get("tools")
            options = {"chat_template": template, "tools": tools, "tokenize": False}
            text = tokenizer.apply_chat_template(messages, **options)
            prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, **options)
            found = tokenizer.apply_chat_template(messages, chat_template=with_marks, tools=tools, return_dict=True, return_assistant_tokens_mask=True)
            assert text == tokenizer.apply_chat_template(messages, chat_template=with_marks, tools=tools, tokenize=False)
            assert found["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]
            assert sum(found["assistant_masks"]) > 0
            cases.append({"template": path.stem, "conversation": conversation, "tokenizer": kind, "text": text, "prompt": prompt, "ids": found["input_ids"], "mask": "".join(map(str, found["assistant_masks"]))})
    if path.stem in ("gemma",):
        try:
            tokenizer.apply_chat_template([{"role": "user", "content": "a"}] * 2, chat_template=template, tokenize=False)
            raise SystemExit("the template should refuse two user turns")
        except Exception as error:
            refused = {"template": path.stem, "message": str(error)}

result = {
    "versions": {"transformers": version("transformers"), "tokenizers": version("tokenizers")},
    "conversations": CONVERSATIONS,
    "marked": {path.stem: marked(path.stem, path.read_text()) for path in sorted(folder.glob("*.jinja"))},
    "refused": refused,
    "cases": cases,
}
(folder / "expected.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
print(len(cases), "cases")
