// New tokens: exact text in both directions, rows from their neighbours, other answers unchanged.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { noGrad, scope } from '@promot/torch';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { scoreText } from '../generation/texts.js';
import { addTokens } from './add-tokens.js';
import { type LoadedModel, loadFolder } from './load.js';
import { saveModel } from './save.js';

const folder = (name: string) => fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url));
let temporary: string;
beforeAll(() => {
  temporary = mkdtempSync(join(tmpdir(), 'promot-tokens-'));
});
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const row = ({ model }: LoadedModel, id: number) =>
  noGrad(() => scope(() => model.embedding.narrow(0, id, 1).toNumbers()));

test.each(['t5-v1.0', 't5-v1.1', 'mt5', 'llama', 'gemma3_text'])(
  '%s: text comes back, saved and loaded, too',
  async (name) => {
    const before = loadFolder(folder(name), 'float32');
    const text = 'the cat';
    const { loss } = await scoreText(before, text, 'a dog');
    const rows = before.model.embedding.size(0);
    const first = before.tokenizer.vocabularySize;
    const tokens = name.includes('t5') ? ['@@', '\n', '…'] : ['<|tool|>'];
    const { loaded, added } = addTokens(before, tokens, []);
    expect(added.map(({ id }) => id)).toEqual(tokens.map((_, i) => first + i));
    expect(loaded.model.embedding.size(0)).toBe(Math.max(rows, first + tokens.length));
    for (const token of tokens) {
      const around = `the${token}cat ${token} the`;
      const ids = loaded.tokenizer.encode(around, { specialTokens: false });
      expect(ids.filter((id) => id >= first)).toHaveLength(2);
      expect(loaded.tokenizer.decode(ids).trim()).toBe(around);
    }
    // What has no new token in it: the same tokens, and almost the same likelihood (the new rows take a little).
    const after = await scoreText(loaded, text, 'a dog');
    expect(Math.abs(after.loss - loss)).toBeLessThan(0.05);
    await saveModel(join(temporary, name), loaded);
    const again = loadFolder(join(temporary, name), 'float32');
    const sample = `the cat${tokens[0]}`;
    expect(again.tokenizer.encode(sample)).toEqual(loaded.tokenizer.encode(sample));
    expect((await scoreText(again, sample, 'a')).loss).toBe((await scoreText(loaded, sample, 'a')).loss);
    again.dispose();
    loaded.dispose();
  },
);

test('a row is the mean of what stands beside the token', () => {
  const plain = loadFolder(folder('t5-v1.1'), 'float32');
  const [one, two] = ['the', 'cat'].map((word) => plain.tokenizer.encode(word, { specialTokens: false }));
  const [left, right] = [row(plain, one!.at(-1)!), row(plain, two![1] ?? two![0]!)];
  plain.dispose();
  const { loaded, added } = addTokens(loadFolder(folder('t5-v1.1'), 'float32'), ['@@', '##'], ['the@@']);
  expect(added.map(({ neighbours }) => neighbours)).toEqual([1, 0]);
  for (const [i, value] of row(loaded, added[0]!.id).entries()) expect(value).toBeCloseTo(left[i]!, 6);
  expect(right).not.toEqual(left);
  loaded.dispose();
});

test('what cannot be added is refused', () => {
  const loaded = loadFolder(folder('t5-v1.1'), 'float32');
  expect(() => addTokens(loaded, ['</s>'], [])).toThrow('addTokens: "</s>" is a token already');
  expect(() => addTokens(loaded, ['@', '@'], [])).toThrow('addTokens: "@" is named twice');
  expect(() => addTokens(loaded, [' '], [])).toThrow(/addTokens: spaces alone/u);
  loaded.dispose();
});
