// Sampling beside Transformers: golden/sampling.py wrote what its processors and warpers make of scores.
import { readFileSync } from 'node:fs';
import { noGrad, scope, tensor } from '@promot/torch';
import { describe, expect, test } from 'vitest';
import { goldenFolder } from '../../test/golden-folders.js';
import { loadFolder } from '../models/load.js';
import { generate } from './generate.js';
import { drawn, processed, type SamplingSettings, warped } from './sampling.js';

interface Golden {
  readonly scores: readonly (readonly number[])[];
  readonly histories: readonly (readonly number[])[];
  /** null: minus infinity. */
  readonly cases: readonly { settings: SamplingSettings; scores: readonly (readonly (number | null)[])[] }[];
  readonly models: Readonly<
    Record<
      string,
      readonly {
        settings: SamplingSettings & { beams: number };
        maxNewTokens: number;
        outputs: readonly (readonly number[])[];
      }[]
    >
  >;
}
const golden: Golden = JSON.parse(readFileSync(new URL('../../golden/sampling.json', import.meta.url), 'utf8'));
const table = () => tensor(golden.scores.flat(), { shape: [golden.scores.length, golden.scores[0]!.length] });

describe('a distribution', () => {
  test.each(golden.cases.map((one) => [JSON.stringify(one.settings), one] as const))(
    '%s',
    (_, { settings, scores }) => {
      const found = noGrad(() =>
        scope(() => warped(processed(table(), golden.histories, settings), settings).toNumbers()),
      );
      const wanted = scores.flat();
      expect(found.map((x) => (x === -Infinity ? null : true))).toEqual(wanted.map((x) => (x === null ? null : true)));
      for (const [i, x] of found.entries()) if (wanted[i] !== null) expect(x).toBeCloseTo(wanted[i]!, 5);
    },
  );
});

describe.each(Object.keys(golden.models))('%s', (name) => {
  test.each(golden.models[name]!.map((one) => [JSON.stringify(one.settings), one] as const))(
    '%s',
    async (_, { settings, maxNewTokens, outputs }) => {
      using loaded = loadFolder(`${goldenFolder}/${name}`, 'float32');
      const { generation } = JSON.parse(readFileSync(`${goldenFolder}/${name}/expected.json`, 'utf8')) as {
        generation: { inputIds: number[][]; endIds: number[] };
      };
      // As a batch, of inputs of different lengths.
      const found = await generate(loaded.model, generation.inputIds, { ...settings, maxNewTokens });
      const isEnd = (id: number) => generation.endIds.includes(id);
      expect(found.map(({ ids }) => ids)).toEqual(outputs.map((ids) => (isEnd(ids.at(-1)!) ? ids.slice(0, -1) : ids)));
    },
  );
});

test('draws are as frequent as their probabilities say, and of no token without one', () => {
  const scores = [0, -Infinity, 2, 1, -Infinity];
  const sum = scores.reduce((total, x) => total + Math.exp(x), 0);
  const rows = 4000;
  const ids = noGrad(() =>
    scope(() => {
      const many = tensor(scores, { shape: [1, 5] }).expand(rows, 5);
      return drawn(
        many,
        Array.from({ length: rows }, (_, i) => i),
        3,
        42,
      ).toNumbers();
    }),
  );
  for (const [id, x] of scores.entries()) {
    const share = ids.filter((one) => one === id).length / rows;
    // Four standard errors.
    const p = Math.exp(x) / sum;
    expect(Math.abs(share - p)).toBeLessThanOrEqual(4 * Math.sqrt((p * (1 - p)) / rows));
  }
});

describe('draws of a model', () => {
  const inputs = [[5, 9, 2], [8], [3, 3, 12, 25, 31, 6, 7, 11, 20], [5, 9, 2, 4]];
  const options = { temperature: 1.5, topK: 50, maxNewTokens: 8 };

  test('depend on the seed and not on the batches', async () => {
    using loaded = loadFolder(`${goldenFolder}/llama`, 'float32');
    const of = async (more: object) =>
      (await generate(loaded.model, inputs, { ...options, ...more })).map((x) => x.ids);
    const first = await of({ seed: 1 });
    expect(await of({ seed: 1, batchSize: 1 })).toEqual(first);
    expect(await of({ seed: 2 })).not.toEqual(first);
    expect(await of({ seed: 0 })).toEqual(await of({}));
  });

  test('are heard of one by one', async () => {
    using loaded = loadFolder(`${goldenFolder}/llama`, 'float32');
    const heard: number[][] = inputs.map(() => []);
    const found = await generate(loaded.model, inputs, { ...options, onToken: (i, token) => heard[i]!.push(token) });
    expect(heard).toEqual(found.map(({ ids }) => ids));
  });

  test('from one token alone are greedy', async () => {
    using loaded = loadFolder(`${goldenFolder}/llama`, 'float32');
    const of = async (more: object) =>
      (await generate(loaded.model, inputs, { maxNewTokens: 8, ...more })).map(({ ids }) => ids);
    const greedy = await of({ beams: 1 });
    expect(await of({ topK: 1 })).toEqual(greedy);
    expect(await of({ temperature: 0, topP: 0.9, beams: 1 })).toEqual(greedy);
  });

  test.each([
    [{ topP: 0 }, 'topP is 0: give a number above 0 and up to 1'],
    [{ temperature: -1 }, 'temperature is -1'],
    [{ repetitionPenalty: 0 }, 'repetitionPenalty is 0'],
    [{ noRepeatNgram: 1.5 }, 'noRepeatNgram is 1.5'],
    [{ topK: 3, beams: 4 }, 'beams is 4: temperature, topK, topP and minP draw tokens, which goes with one beam'],
  ])('%o is refused', async (settings, message) => {
    using loaded = loadFolder(`${goldenFolder}/llama`, 'float32');
    await expect(generate(loaded.model, inputs, settings)).rejects.toThrow(message);
  });
});
