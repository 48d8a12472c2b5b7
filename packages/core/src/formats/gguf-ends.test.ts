import { expect, test } from 'vitest';
import type { GgufValue } from './gguf.js';
import { endTokens } from './gguf-ends.js';

const metadata = (tokens: string[], more: Record<string, GgufValue> = {}) =>
  new Map<string, GgufValue>([
    ['tokenizer.ggml.tokens', tokens],
    ...Object.entries(more).map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const),
  ]);

// What llama.cpp prints as "EOG token" when it loads files with these vocabularies.
test.each([
  ["Qwen2's", ['a', '<|endoftext|>', '<|im_start|>', '<|im_end|>'], { eos_token_id: 3 }, [3, 1]],
  ["Llama 3's", ['<|end_of_text|>', '<|eot_id|>', '<|eom_id|>'], { eos_token_id: 1 }, [1, 0, 2]],
  ["Gemma's", ['<eos>', '<end_of_turn>', '</s>'], { eos_token_id: 0, token_type: [3, 3, 4] }, [0, 1]],
  ["Llama 2's", ['<unk>', '<s>', '</s>'], { eos_token_id: 2, token_type: [2, 3, 3] }, [2]],
  ["SmolLM2's", ['<|endoftext|>', '<|im_end|>', '<repo_name>', '<reponame>'], { eos_token_id: 1 }, [1, 0, 3]],
  ["gpt-oss'", ['<|return|>', '<|call|>', '<|end|>', '<|endoftext|>'], { eos_token_id: 0 }, [0, 1, 3]],
  ['a file with eot alone', ['x', 'stop'], { eot_token_id: 1 }, [1]],
  ['an end past the vocabulary', ['x'], { eos_token_id: 7 }, []],
])('%s ends', (_what, tokens, more, ends) => {
  expect(endTokens(metadata(tokens, more as Record<string, GgufValue>))).toEqual(ends);
});

test('no vocabulary, no ends', () => expect(endTokens(new Map())).toEqual([]));
