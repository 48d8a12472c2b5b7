// Properties that hold for every model, on tiny ones with random weights: what the caches give is what the model gives
// without them, and batching changes nothing. Equality with Transformers: golden.test.ts.
import { keep, noGrad, randn, scope, type Tensor, watchTensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { buildModel } from '../models/load.js';
import type { Ids, LanguageModel } from '../models/model.js';
import { RandomWeights } from '../models/weights.js';
import { type Generated, type GenerateOptions, generate } from './generate.js';
import { score } from './score.js';
import { scoreChoices } from './score-choices.js';

const vocabulary = 64;
const width = 16;
/** Several ids end a sequence, so that random models (of chosen seeds) do end, each input at another step. */
const ends = [1, 17, 30];

const t5 = (seed: number) =>
  buildModel(
    {
      model_type: 't5',
      vocab_size: vocabulary,
      d_model: width,
      d_kv: 8,
      d_ff: 24,
      num_layers: 2,
      num_heads: 2,
      relative_attention_num_buckets: 8,
      relative_attention_max_distance: 12,
      feed_forward_proj: 'gated-gelu',
      tie_word_embeddings: false,
      eos_token_id: ends,
    },
    new RandomWeights(seed, 'float32'),
    't5',
  );
const llama = (seed: number, more: object = {}) =>
  buildModel(
    {
      model_type: 'llama',
      vocab_size: vocabulary,
      hidden_size: width,
      intermediate_size: 24,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      tie_word_embeddings: false,
      initializer_range: 0.4,
      eos_token_id: ends,
      ...more,
    },
    new RandomWeights(seed, 'float32'),
    'llama',
  );

/** Inputs of different lengths, two of them equal in length. */
const inputs: Ids[] = [
  [5, 9, 2, 30],
  [8],
  [3, 3, 12, 25, 31, 6, 7, 11, 20, 21, 22],
  [39, 38],
  [14, 15],
  [30, 2, 9, 5, 4, 33],
];

const cases: [name: string, model: LanguageModel][] = [
  ['T5', t5(7)],
  ['Llama', llama(6)],
  ['Mistral with a window shorter than the inputs', llama(1, { model_type: 'mistral', sliding_window: 5 })],
];

/** The likeliest tokens one after the other, each from the whole sequence anew. */
function uncached(model: LanguageModel, input: Ids, maxNewTokens: number, prompt: Tensor | undefined): Generated {
  const ids: number[] = [];
  let sum = 0;
  while (ids.length < maxNewTokens) {
    const { token, logprob } = noGrad(() =>
      scope(() => {
        // The last target token is what is asked for; its own id does not matter.
        const logprobs = model.logits([{ input, target: [...ids, 0] }], { prompt }).logSoftmax(1);
        const last = logprobs.select(0, ids.length);
        const best = last.argmax(0).item();
        return { token: best, logprob: last.select(0, best).item() };
      }),
    );
    sum += logprob;
    if (ends.includes(token)) return { ids, score: sum / (ids.length + 1), finished: true };
    ids.push(token);
  }
  return { ids, score: sum / ids.length, finished: false };
}

describe.each(cases)('%s', (_, model) => {
  const prompt = keep(randn([3, width], 7));
  afterAll(() => {
    for (const tensor of [prompt, ...model.parameters.values()]) tensor.dispose();
  });
  const one = async (input: Ids, options: GenerateOptions) => (await generate(model, [input], options))[0]!;
  /** Equal tokens, and scores but for rounding. */
  const expectSame = (found: readonly Generated[], wanted: readonly Generated[]) => {
    expect(found.map(({ ids, finished }) => ({ ids, finished }))).toEqual(
      wanted.map(({ ids, finished }) => ({ ids, finished })),
    );
    found.forEach((one, i) => {
      expect(one.score).toBeCloseTo(wanted[i]!.score, 4);
    });
  };

  test.each([undefined, prompt])('greedy search gives what the model gives without a cache', async (attached) => {
    const found = await generate(model, inputs, { beams: 1, maxNewTokens: 14, prompt: attached });
    expectSame(
      found,
      inputs.map((input) => uncached(model, input, 14, attached)),
    );
    // The test means something: outputs differ, and inputs leave the batch at different steps.
    expect(new Set(found.map(({ ids }) => ids.length)).size).toBeGreaterThan(2);
  });

  test.each([
    [{ lengthPenalty: 1 }, (length: number) => length],
    [{ lengthPenalty: -0.5 }, (length: number) => length ** -0.5],
    [{ brevityPenalty: 0.6 }, (length: number) => ((5 + length) / 6) ** 0.6],
  ])('the score of a beam (%o) is that of its tokens, teacher-forced', async (options, penalty) => {
    const found = await generate(model, inputs, { ...options, beams: 4, maxNewTokens: 12, prompt });
    // Which of the end ids it was is not told: the score fits one of them.
    const targets = found.map(({ ids, finished }) => (finished ? ends.map((end) => [...ids, end]) : [ids]));
    for (const [i, variants] of targets.entries()) {
      const scored = await score(
        model,
        variants.map((target) => ({ input: inputs[i]!, target })),
        { prompt },
      );
      const wanted = scored.map(({ logprobs, tokens }) => logprobs.reduce((a, b) => a + b) / penalty(tokens));
      expect(Math.min(...wanted.map((w) => Math.abs(w - found[i]!.score)))).toBeLessThan(1e-4);
    }
    expect(found.some(({ finished }) => finished)).toBe(true);
  });

  test.each([1, 2, 4])('%i beams: batches of any size give what single inputs give', async (beams) => {
    const singles = await Promise.all(inputs.map((input) => one(input, { beams, maxNewTokens: 12, prompt })));
    for (const batchSize of [undefined, 2, 5])
      expectSame(await generate(model, inputs, { beams, maxNewTokens: 12, prompt, batchSize }), singles);
  });

  test('more beams find no worse a sequence than greedy search where nothing ends early', async () => {
    const options = { maxNewTokens: 6, minNewTokens: 6 };
    const greedy = await generate(model, inputs, { ...options, beams: 1 });
    const wide = await generate(model, inputs, { ...options, beams: 12 });
    wide.forEach(({ score }, i) => {
      expect(score).toBeGreaterThanOrEqual(greedy[i]!.score - 1e-5);
    });
    expect(wide.some(({ score }, i) => score > greedy[i]!.score + 1e-3)).toBe(true);
  });

  test('the prompt changes the output', async () => {
    const plain = await generate(model, inputs, { maxNewTokens: 8 });
    expect(await generate(model, inputs, { maxNewTokens: 8, prompt })).not.toEqual(plain);
  });

  test.each([1, 4])('%i beams: no sequence is shorter than the minimum or longer than the maximum', async (beams) => {
    const free = await generate(model, inputs, { beams, maxNewTokens: 12 });
    expect(free.some(({ ids, finished }) => finished && ids.length < 5)).toBe(true);
    for (const { ids, finished } of await generate(model, inputs, { beams, minNewTokens: 5, maxNewTokens: 7 })) {
      expect(ids.length).toBeGreaterThanOrEqual(5);
      expect(ids.length).toBeLessThanOrEqual(finished ? 6 : 7);
      expect(ids.some((id) => ends.includes(id))).toBe(false);
    }
    for (const { ids, finished } of await generate(model, inputs, { beams, maxNewTokens: 1 }))
      expect(ids.length).toBe(finished ? 0 : 1);
  });

  test.each([1, 3])('%i beams: a stop string ends a sequence and cuts its text', async (beams) => {
    const decode = (ids: readonly number[]) => ids.map((id) => `<${id}>`).join('');
    const free = await generate(model, inputs, { beams, maxNewTokens: 10, minNewTokens: 10 });
    // Every input's own fourth token, and half of the token after it.
    for (const [i, { ids }] of free.entries()) {
      const string = `${decode(ids.slice(3, 4))}<`;
      const options = { beams, maxNewTokens: 10, minNewTokens: 10, stop: { strings: ['never', string], decode } };
      const stopped = await one(inputs[i]!, options);
      expect(stopped.text).not.toContain(string);
      expect(decode(stopped.ids).startsWith(stopped.text!)).toBe(true);
      if (beams > 1) continue;
      const place = ids.indexOf(ids[3]!);
      expect(stopped.ids).toEqual(ids.slice(0, place + 2));
      expect(stopped.text).toBe(decode(ids.slice(0, place)));
      expect(stopped.finished).toBe(true);
    }
  });

  test('no tensor is left behind: after a run, an error on the way, an abort', async () => {
    await generate(model, inputs, { prompt, maxNewTokens: 4 });
    const left = watchTensors();
    await generate(model, inputs, { prompt, maxNewTokens: 12, batchSize: 4 });
    expect(left()).toBe(0);
    let asked = 0;
    const decode = () => {
      if (++asked > 20) throw new Error('cannot decode');
      return '';
    };
    const broken = generate(model, inputs, { stop: { strings: ['x'], decode }, maxNewTokens: 12 });
    await expect(broken).rejects.toThrow('cannot decode');
    expect(left()).toBe(0);

    const controller = new AbortController();
    const aborted = generate(model, inputs, {
      maxNewTokens: 12,
      batchSize: 2,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(aborted).rejects.toThrow('enough');
    expect(left()).toBe(0);
  });

  test('progress counts every input', async () => {
    const seen: number[] = [];
    await generate(model, inputs, { maxNewTokens: 6, batchSize: 2, onProgress: (done, of) => seen.push(done / of) });
    expect(seen).toEqual(inputs.map((_, i) => (i + 1) / inputs.length));
  });

  test.each([1, 4])('%i beams: a shared beginning that is read once changes nothing', async (beams) => {
    const beginning = Array.from({ length: 20 }, (_, i) => 2 + ((7 * i) % 40));
    // One input does not share it, one is nothing but it.
    const some = [...inputs.map((input) => [...beginning, ...input]), [4, 4, 9], beginning];
    const left = watchTensors();
    for (const attached of [undefined, prompt]) {
      const options = { beams, maxNewTokens: 12, prompt: attached };
      const seen: number[] = [];
      const together = await generate(model, some, { ...options, onResult: (i) => seen.push(i) });
      // Alone, an input shares nothing.
      expectSame(together, await Promise.all(some.map((input) => one(input, options))));
      expect(seen.sort((a, b) => a - b)).toEqual(some.map((_, i) => i));
    }
    expect(left()).toBe(0);
  });

  test('a shared beginning changes no score; choices have the score of targets', async () => {
    const beginning = Array.from({ length: 20 }, (_, i) => 2 + ((7 * i) % 40));
    const some = inputs.map((input) => [...beginning, ...input]);
    const targets = [[3, 1], [8, 9, 10, 1], [40]];
    const left = watchTensors();
    for (const attached of [undefined, prompt]) {
      const pairs = some.flatMap((input) => targets.map((target) => ({ input, target })));
      const together = await score(model, pairs, { prompt: attached });
      const choices = await scoreChoices(model, some, targets, { prompt: attached });
      for (const [i, pair] of pairs.entries()) {
        const alone = (await score(model, [pair], { prompt: attached }))[0]!;
        expect(together[i]!.loss).toBeCloseTo(alone.loss, 4);
        const sum = alone.logprobs.reduce((a, b) => a + b);
        expect(choices[Math.floor(i / targets.length)]![i % targets.length]).toBeCloseTo(sum, 3);
      }
    }
    expect(left()).toBe(0);
  });

  test.each([1, 4])(
    '%i beams: choices that are scored on the way change no output, nor their scores',
    async (beams) => {
      const choices = [[3, 1], [8, 9, 10, 1], [40]];
      const beginning = Array.from({ length: 20 }, (_, i) => 2 + ((7 * i) % 40));
      const left = watchTensors();
      for (const some of [inputs, inputs.map((input) => [...beginning, ...input])])
        for (const attached of [undefined, prompt]) {
          const options = { beams, maxNewTokens: 12, prompt: attached };
          const found = await generate(model, some, { ...options, choices });
          expectSame(found, await generate(model, some, options));
          const alone = await scoreChoices(model, some, choices, { prompt: attached });
          found.forEach(({ choiceLogprobs }, i) => {
            choiceLogprobs!.forEach((logprob, c) => {
              expect(logprob).toBeCloseTo(alone[i]![c]!, 4);
            });
          });
        }
      expect(left()).toBe(0);
    },
  );

  test('no inputs, no outputs; options that make no sense are refused', async () => {
    expect(await generate(model, [])).toEqual([]);
    for (const options of [
      { beams: 0 },
      { beams: 1.5 },
      { beams: 22 },
      { maxNewTokens: 0 },
      { minNewTokens: 9, maxNewTokens: 8 },
      { lengthPenalty: 1, brevityPenalty: 0.6 },
      { batchSize: 0 },
    ])
      await expect(generate(model, inputs, options)).rejects.toThrow(UserError);
  });
});
