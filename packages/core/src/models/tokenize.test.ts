// The conventions that score, generate and train share, on the golden models' tokenizers.
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadTokenizer } from '../tokenizer/load.js';
import { tokenizeExample, tokenizeInput, tokenizeTarget } from './tokenize.js';

const golden = (name: string) => loadTokenizer(fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url)));
const t5 = golden('t5-v1.1');
const llama = golden('llama');

describe('from text to token ids', () => {
  test('an encoder-decoder input ends with </s>, also when it is empty or cut', () => {
    const ids = tokenizeInput('The river crosses the garden', t5, 'encoder-decoder');
    expect(ids.at(-1)).toBe(t5.endOfSequence);
    expect(tokenizeInput('', t5, 'encoder-decoder')).toEqual([t5.endOfSequence]);
    expect(tokenizeInput('The river crosses the garden', t5, 'encoder-decoder', 4)).toEqual([
      ...ids.slice(0, 3),
      t5.endOfSequence,
    ]);
  });

  test('a decoder-only input keeps its start token and an empty one has something to predict from', () => {
    expect(tokenizeInput('A dog', llama, 'decoder-only')[0]).toBe(llama.beginningOfSequence);
    expect(tokenizeInput('', llama, 'decoder-only').length).toBe(1);
  });

  test('a target has no special tokens but the end of sequence; decoder-only targets own the joining space', () => {
    expect(tokenizeTarget('True', llama)).toEqual([
      ...llama.encode('True', { specialTokens: false }),
      llama.endOfSequence,
    ]);
    const { target } = tokenizeExample({ input: 'A dog', target: 'True' }, llama, 'decoder-only');
    expect(target).toEqual([...llama.encode(' True', { specialTokens: false }), llama.endOfSequence]);
    expect(tokenizeExample({ input: 'A dog', target: 'True' }, t5, 'encoder-decoder').target).toEqual([
      ...t5.encode('True', { specialTokens: false }),
      t5.endOfSequence,
    ]);
  });
});
