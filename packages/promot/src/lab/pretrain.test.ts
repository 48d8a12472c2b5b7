// The pretraining recipe: sizes of the models, what is predicted, and a few steps of each.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkEvent } from '@promot/core/base';
import { predictedIds } from '@promot/core/models';
import { openModel } from '@promot/core/open';
import { noGrad, scope } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { labModelNames } from './models.js';
import { newLabModel, pretrainLab, tokenizePretraining } from './pretrain.js';
import { pretrainExample } from './pretraining.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-pretrain-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('the models are small: all weights in bf16 are under 24 MB', () => {
  const sizes = labModelNames.map((name) => {
    const { parameters } = newLabModel(name, 0).model;
    return [...parameters.values()].reduce((n, t) => n + t.numel, 0);
  });
  expect(sizes.map((n) => Math.round(n / 1e5) / 10)).toEqual([4.4, 2.1, 3.7]);
  expect(2 * sizes.reduce((a, b) => a + b)).toBeLessThan(24e6);
});

describe('a decoder-only model predicts the answers of the exemplars, too', () => {
  const loaded = newLabModel('lab-decoder', 3);
  const example = Array.from({ length: 100 }, (_, i) => pretrainExample(1, i, 1)).find(
    (e) => e.exemplars.length === 4,
  )!;
  const tokenized = tokenizePretraining(example, loaded);

  test('at their places', () => {
    const answers = [...example.exemplars.map(({ target }) => target), example.target];
    const ids = answers.flatMap((text) => loaded.tokenizer.encode(text, { specialTokens: false }));
    expect(predictedIds(tokenized)).toEqual([...ids, loaded.tokenizer.endOfSequence]);
    expect(tokenizePretraining(example, newLabModel('lab', 3)).answers).toBeUndefined();
  });

  test('each from what stands before it alone', () => {
    noGrad(() =>
      scope(() => {
        const all = loaded.model.logits([tokenized]);
        tokenized.answers!.forEach((place, i) => {
          const alone = { input: tokenized.input.slice(0, place), target: [tokenized.input[place]!] };
          const difference = loaded.model.logits([alone]).select(0, 0).sub(all.select(0, i)).square().sum().item();
          expect(difference).toBeLessThan(1e-8);
        });
      }),
    );
  });
});

test.each(['lab-small', 'lab-decoder'] as const)(
  '%s: some steps, stopped and resumed, leave a model',
  async (model) => {
    const out = join(folder, model);
    const losses: number[] = [];
    const until = (last: number) => {
      const abort = new AbortController();
      const onEvent = (event: WorkEvent) => {
        if (event.type !== 'step') return;
        losses.push(event.loss);
        if (event.step === last) abort.abort();
      };
      return pretrainLab(out, { model, signal: abort.signal, onEvent, batchSize: 4 });
    };
    await until(2);
    await until(4);
    expect(losses.length).toBe(4);
    const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
    expect(lines.slice(1).map((line) => JSON.parse(line).step)).toEqual([1, 2, 3, 4]);
    expect(existsSync(join(out, 'model', 'tokenizer.json'))).toBe(true);
    const { model: reopened } = await openModel(join(out, 'model'), 'float32');
    expect(reopened.kind).toBe(model === 'lab-decoder' ? 'decoder-only' : 'encoder-decoder');
    await expect(pretrainLab(out, { model: 'lab' })).rejects.toThrow(/is a run of lab-/u);
  },
);
