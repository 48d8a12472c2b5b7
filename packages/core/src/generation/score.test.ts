// Scoring on a tiny model with random weights. Equality with Transformers: golden.test.ts.
import { noGrad, randn, scope, watchTensors } from '@promot/torch';
import { expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { buildModel } from '../models/load.js';
import type { TokenizedExample } from '../models/model.js';
import { RandomWeights } from '../models/weights.js';
import { score } from './score.js';

const model = buildModel(
  {
    model_type: 'llama',
    vocab_size: 30,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    tie_word_embeddings: false,
    initializer_range: 0.4,
    eos_token_id: 1,
  },
  new RandomWeights(5, 'float32'),
  'llama',
);
const prompt = randn([4, 16], 6);
const examples: TokenizedExample[] = [
  { input: [4], target: [7, 8, 1] },
  { input: [9, 3, 5, 5, 20, 21], target: [1] },
  { input: [], target: [12, 13, 14, 15, 16, 1] },
  { input: [2, 3], target: [29, 1] },
];

test('every token has its log-softmax; the loss is their negative mean', async () => {
  const scored = await score(model, examples, { prompt, batchSize: 3 });
  examples.forEach((example, i) => {
    const rows = noGrad(() => scope(() => model.logits([example], { prompt }).toNumbers()));
    const logprobs = example.target.map((id, t) => {
      const row = rows.slice(30 * t, 30 * (t + 1));
      return row[id]! - Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
    });
    expect(scored[i]!.tokens).toBe(example.target.length);
    expect(scored[i]!.logprobs.length).toBe(example.target.length);
    scored[i]!.logprobs.forEach((logprob, t) => {
      expect(logprob).toBeCloseTo(logprobs[t]!, 5);
    });
    expect(scored[i]!.loss).toBeCloseTo(-logprobs.reduce((a, b) => a + b) / logprobs.length, 5);
  });
});

test('batches of any size give the same, and leave no tensor behind', async () => {
  const singles = await score(model, examples, { prompt, batchSize: 1 });
  const left = watchTensors();
  const seen: number[] = [];
  const together = await score(model, examples, { prompt, onProgress: (done) => seen.push(done) });
  expect(left()).toBe(0);
  expect(seen).toEqual([1, 2, 3, 4]);
  together.forEach(({ loss }, i) => {
    expect(loss).toBeCloseTo(singles[i]!.loss, 5);
  });
});

test('an example without a target, and one that has nothing to start from, are refused', async () => {
  const left = watchTensors();
  await expect(score(model, [{ input: [3], target: [] }])).rejects.toThrow(UserError);
  await expect(score(model, examples)).rejects.toThrow(UserError);
  await expect(score(model, examples, { prompt, signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
  expect(left()).toBe(0);
});

test('weights that are not numbers: no NaN comes out, but a UserError', async () => {
  const broken = buildModel(model.config(), new RandomWeights(5, 'float32'), 'llama');
  noGrad(() => broken.parameters.get('model.norm.weight')!.fill_(Number.NaN));
  const scoring = score(broken, examples.slice(0, 1));
  await expect(scoring).rejects.toThrow(UserError);
  await expect(scoring).rejects.toThrow(/NaN/u);
});

test('answers inside of an input are scored as at its end, and a shared beginning changes nothing', async () => {
  const ids = [2, 3, 7, 8, 1, 4, 9, 12, 1];
  const shared = Array.from({ length: 20 }, (_, i) => (i % 20) + 3);
  for (const start of [[], shared]) {
    const all = [...start, ...ids];
    const place = start.length;
    const chat = {
      input: all.slice(0, place + 6),
      target: all.slice(place + 6),
      answers: [place + 2, place + 3, place + 4],
    };
    const first = { input: all.slice(0, place + 2), target: all.slice(place + 2, place + 5) };
    const last = { input: chat.input, target: chat.target };
    const apart = await score(model, [first, last], { prompt });
    const [together, other] = await score(model, [chat, { ...chat, answers: [place + 2] }, first], { prompt });
    expect(together!.tokens).toBe(6);
    const wanted = apart.flatMap(({ logprobs }) => logprobs);
    for (const [i, logprob] of together!.logprobs.entries()) expect(logprob).toBeCloseTo(wanted[i]!, 5);
    expect(other!.logprobs[0]).toBeCloseTo(wanted[0]!, 5);
  }
});
