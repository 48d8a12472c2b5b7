// Bits a byte and divergence against lm-evaluation-harness and PyTorch; golden/text.py makes the file.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { noGrad, zeros } from '@promot/torch';
import { describe, expect, test } from 'vitest';
import { type LoadedModel, loadFolder } from '../models/load.js';
import { evaluateText } from './text.js';

interface Golden {
  readonly window: number;
  readonly documents: readonly string[];
  readonly models: Readonly<
    Record<string, { readonly logprobs: readonly number[]; readonly divergences: readonly number[] }>
  >;
}
const golden = JSON.parse(readFileSync(new URL('../../golden/text.json', import.meta.url), 'utf8')) as Golden;
const { window, documents } = golden;
const open = (name: string): LoadedModel =>
  loadFolder(fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url)), 'float32');
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const bytes = (text: string) => Buffer.byteLength(text);

describe.each(Object.entries(golden.models))('%s', (name, wanted) => {
  test('every document has the bits that lm-evaluation-harness gives, and all together', async () => {
    using loaded = open(name);
    for (const [i, document] of documents.entries()) {
      const { bitsPerByte } = await evaluateText(loaded, [document], { window });
      expect(Math.abs((bitsPerByte * bytes(document) * Math.LN2) / -wanted.logprobs[i]! - 1)).toBeLessThan(1e-5);
    }
    const all = await evaluateText(loaded, documents, { window });
    const bits = -sum(wanted.logprobs) / sum(documents.map(bytes)) / Math.LN2;
    expect(all.bitsPerByte / bits).toBeCloseTo(1, 5);
    expect(all).toMatchObject({ documents: documents.length, bytes: sum(documents.map(bytes)) });
    expect(all.interval.low).toBeLessThanOrEqual(all.bitsPerByte);
    expect(all.interval.high).toBeGreaterThanOrEqual(all.bitsPerByte);
    expect(all.divergence).toBeUndefined();
    expect(all.perDocument).toHaveLength(documents.length);
    for (const [i, { nats, ...counts }] of all.perDocument.entries()) {
      expect(nats / -wanted.logprobs[i]!).toBeCloseTo(1, 5);
      expect(counts.bytes).toBe(bytes(documents[i]!));
    }
  });

  test('the divergence of a changed model from the one it was made from equals PyTorch', async () => {
    using base = open(name);
    using changed = open(name);
    noGrad(() => {
      for (const parameter of changed.model.parameters.values()) parameter.mul_(0.9);
    });
    for (const [i, document] of documents.entries()) {
      const { divergence, tokens } = await evaluateText(changed, [document], { window, base });
      expect(Math.abs(divergence! * tokens - wanted.divergences[i]!)).toBeLessThan(1e-4 * wanted.divergences[i]!);
    }
    const none = await evaluateText(base, documents, { window, base });
    expect(none.divergence).toBe(0);
  });
});

test('a soft prompt changes both figures, and needs room', async () => {
  using loaded = open('llama');
  const prompt = zeros([4, loaded.model.shape.width]);
  const plain = await evaluateText(loaded, documents, { window });
  const prompted = await evaluateText(loaded, documents, { window, prompt, base: loaded });
  expect(prompted.bitsPerByte).not.toBeCloseTo(plain.bitsPerByte, 6);
  expect(prompted.divergence!).toBeGreaterThan(0);
  const { positions } = loaded.model.shape;
  await expect(evaluateText(loaded, documents, { window: positions!, prompt })).rejects.toThrow('does not fit');
  prompt.dispose();
});

test('what has no bits a byte is refused', async () => {
  using loaded = open('llama');
  await expect(evaluateText(loaded, ['', ''])).rejects.toThrow('no text');
  const tokenizer = Object.create(loaded.tokenizer, { encode: { value: () => [1] } }) as LoadedModel['tokenizer'];
  const other = { ...loaded, tokenizer };
  await expect(evaluateText(loaded, documents, { base: other })).rejects.toThrow('different tokens');
  using t5 = open('t5-v1.0');
  await expect(evaluateText(t5, documents)).rejects.toThrow('decoder-only');
});
