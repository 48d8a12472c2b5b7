// The cosine of the task's and the format's gradient: against computations by hand, its properties, and that nothing is
// left behind.
import { fileURLToPath } from 'node:url';
import { permutation, type WorkEvent } from '@promot/core/base';
import type { LinearPlace, TokenizedExample } from '@promot/core/models';
import { idTensor, type LoadedModel, loadFolder } from '@promot/core/models';
import { noGrad, scope, type Tensor, tensor, uniform, watchTensors } from '@promot/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareGradients, gradientAlignment, parameterGroups } from './gradient-alignment.js';

const kinds = ['t5-v1.1', 't5-v1.0', 'llama', 'qwen2'] as const;
const models = new Map<string, LoadedModel>();
beforeAll(() => {
  for (const kind of kinds)
    models.set(
      kind,
      loadFolder(fileURLToPath(new URL(`../../../core/golden/models/${kind}`, import.meta.url)), 'float32'),
    );
});
afterAll(() => {
  for (const { model } of models.values()) for (const parameter of model.parameters.values()) parameter.dispose();
});

/** Ragged inputs, and targets of one to three tokens with the end of sequence. */
const examples: readonly TokenizedExample[] = Array.from({ length: 6 }, (_, i) => ({
  input: Array.from({ length: 3 + (i % 3) }, (_, j) => 10 + ((7 * i + 13 * j) % 90)),
  target: [...Array.from({ length: 1 + (i % 2) }, (_, j) => 20 + 11 * i + j), 1],
}));
const seed = 3;
const order = permutation(examples.length, seed);
const shuffled = examples.map(({ input }, i) => ({ input, target: examples[order[i]!]!.target }));

/** The plain mean cross-entropy of all targets in one pass, by log-softmax. */
function meanLoss({ model }: LoadedModel, batch: readonly TokenizedExample[], prompt?: Tensor): Tensor {
  return scope(() => {
    const ids = batch.flatMap(({ target }) => target);
    return model.logits(batch, { prompt }).logSoftmax(1).gather(1, idTensor(ids).unsqueeze(1)).mean().neg();
  });
}

/** Gradients of that loss with respect to some parameters, by `backward`, as plain numbers one after the other. */
function gradientOf(
  loaded: LoadedModel,
  names: readonly string[],
  batch: readonly TokenizedExample[],
  prompt?: Tensor,
) {
  const parameters = names.map((name) => loaded.model.parameters.get(name)!);
  for (const parameter of parameters) parameter.requiresGrad = true;
  const numbers = scope(() => {
    meanLoss(loaded, batch, prompt).backward();
    return parameters.flatMap((parameter) => parameter.grad!.toNumbers());
  });
  for (const parameter of parameters) {
    parameter.clearGrad();
    parameter.requiresGrad = false;
  }
  return numbers;
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

describe('against computations by hand', () => {
  test.each(kinds)('%s: cosines and norms of every group, without and with a prompt', async (kind) => {
    const loaded = models.get(kind)!;
    const prompt = uniform([2, loaded.model.shape.width], -0.5, 0.5, 1);
    for (const front of [undefined, prompt]) {
      const options = { prompt: front, seed, labelSmoothing: 0, batchSize: 2 };
      const { groups } = await gradientAlignment(loaded, examples, options);
      for (const [group, members] of parameterGroups(loaded.model)) {
        const names = members.map(({ name }) => name);
        if (group === 'all') continue;
        const task = gradientOf(loaded, names, examples, front);
        const format = gradientOf(loaded, names, shuffled, front);
        const [norm, formatNorm] = [Math.sqrt(dot(task, task)), Math.sqrt(dot(format, format))];
        const found = groups[group]!;
        expect(found.norm / norm, group).toBeCloseTo(1, 4);
        expect(found.formatNorm / formatNorm, group).toBeCloseTo(1, 4);
        expect(found.cosine, group).toBeCloseTo(dot(task, format) / (norm * formatNorm), 4);
        expect(Math.abs(found.cosine!), group).toBeLessThan(0.999);
      }
    }
    prompt.dispose();
  });

  test.each(['t5-v1.1', 'llama'])(
    '%s: the loss along the format gradient changes by g times it (finite differences)',
    async (kind) => {
      const loaded = models.get(kind)!;
      const { groups } = await gradientAlignment(loaded, examples, { seed, labelSmoothing: 0 });
      const names = parameterGroups(loaded.model)
        .get('mlp')!
        .map(({ name }) => name);
      const format = gradientOf(loaded, names, shuffled);
      const { cosine, norm, formatNorm } = groups.mlp!;
      const epsilon = 0.02 / formatNorm;
      /** The loss with the group moved along the format gradient, and moved back bit for bit. */
      const lossAt = (step: number) =>
        noGrad(() =>
          scope(() => {
            const parameters = names.map((name) => loaded.model.parameters.get(name)!);
            const saved = parameters.map((parameter) => parameter.clone());
            let at = 0;
            for (const parameter of parameters) {
              const part = format.slice(at, at + parameter.numel);
              parameter.add_(tensor(part, { shape: parameter.shape }), step);
              at += parameter.numel;
            }
            const loss = meanLoss(loaded, examples).item();
            for (const [i, parameter] of parameters.entries()) parameter.copy_(saved[i]!);
            return loss;
          }),
        );
      const slope = (lossAt(epsilon) - lossAt(-epsilon)) / (2 * epsilon);
      expect(slope / (cosine! * norm * formatNorm)).toBeCloseTo(1, 1);
    },
  );

  test('a group of two parameters, on paper', () => {
    scope(() => {
      const first = new Map([
        ['a', tensor([3, 0])],
        ['b', tensor([4])],
      ]);
      const second = new Map([
        ['a', tensor([0, 1])],
        ['b', tensor([1])],
      ]);
      const found = compareGradients([{ name: 'a' }, { name: 'b' }], first, second);
      expect(found).toEqual({
        cosine: expect.closeTo(4 / (5 * Math.SQRT2), 6),
        norm: 5,
        formatNorm: expect.closeTo(Math.SQRT2, 6),
      });
      // Scale has no part in the cosine, sign has; a missing gradient is zero, and zero has no direction.
      const scaled = new Map([...second].map(([name, gradient]) => [name, gradient.mul(-1000)]));
      expect(compareGradients([{ name: 'a' }, { name: 'b' }], first, scaled).cosine).toBeCloseTo(-found.cosine!, 6);
      expect(compareGradients([{ name: 'a' }, { name: 'b' }], first, new Map([['b', tensor([2])]])).cosine).toBeCloseTo(
        0.8,
        6,
      );
      expect(compareGradients([{ name: 'a' }], first, new Map())).toEqual({ norm: 3, formatNorm: 0 });
    });
  });
});

describe('properties', () => {
  test('equal targets, so nothing but format: cosine 1 everywhere', async () => {
    const same = examples.map(({ input }) => ({ input, target: [25, 26, 1] }));
    const { groups, unchanged } = await gradientAlignment(models.get('t5-v1.1')!, same, { seed });
    expect(unchanged).toBe(1);
    for (const [group, { cosine }] of Object.entries(groups)) expect(cosine, group).toBeCloseTo(1, 5);
  });

  test('the size of the passes changes nothing, the seed does', async () => {
    const loaded = models.get('llama')!;
    const whole = await gradientAlignment(loaded, examples, { seed, batchSize: 6 });
    const parts = await gradientAlignment(loaded, examples, { seed, batchSize: 1 });
    const other = await gradientAlignment(loaded, examples, { seed: 4 });
    expect(whole.unchanged).toBe(shuffled.filter(({ target }, i) => target === examples[i]!.target).length / 6);
    expect(Object.keys(whole.groups)).toEqual(['mlp', 'query', 'key', 'value', 'all']);
    for (const [group, { cosine }] of Object.entries(whole.groups)) {
      expect(parts.groups[group as 'mlp']!.cosine, group).toBeCloseTo(cosine!, 4);
      expect(Math.abs(other.groups[group as 'mlp']!.cosine! - cosine!), group).toBeGreaterThan(1e-3);
    }
  });

  test('the model is as it was: weights, gradients, flags; no tensor is left, after an error neither', async () => {
    const loaded = models.get('t5-v1.1')!;
    const [first, second] = loaded.model.parameters.values();
    first!.requiresGrad = true;
    scope(() => first!.sum().backward());
    const bytes = () => [...loaded.model.parameters.values()].map((parameter) => Buffer.from(parameter.toBytes()));
    const weights = bytes();
    const left = watchTensors();
    await gradientAlignment(loaded, examples, { seed });
    await expect(
      gradientAlignment(loaded, [...examples, { input: [1], target: [999_999] }], { seed, batchSize: 1 }),
    ).rejects.toThrow();
    const stop = new AbortController();
    const onEvent = (event: WorkEvent) => event.type === 'progress' && event.done > 7 && stop.abort();
    await expect(gradientAlignment(loaded, examples, { seed, signal: stop.signal, onEvent })).rejects.toThrow(/abort/u);
    expect(left()).toBe(0);
    bytes().forEach((now, i) => {
      expect(now.equals(weights[i]!)).toBe(true);
    });
    expect([first!.requiresGrad, second!.requiresGrad]).toEqual([true, false]);
    scope(() => {
      expect(new Set(first!.grad!.toNumbers())).toEqual(new Set([1]));
      expect(second!.grad).toBeUndefined();
    });
    first!.clearGrad();
    first!.requiresGrad = false;
  });

  test('one example cannot be shuffled', async () => {
    await expect(gradientAlignment(models.get('llama')!, examples.slice(0, 1), { seed })).rejects.toThrow(
      /two examples/u,
    );
  });
});

test('the groups are the matrices of the last decoder layer', () => {
  const groups = (kind: string) =>
    Object.fromEntries(
      [...parameterGroups(models.get(kind)!.model)].map(([group, members]) => [group, members.map(({ name }) => name)]),
    );
  const [block, layer] = ['decoder.block.1.layer', 'model.layers.1'];
  expect(groups('t5-v1.1')).toMatchObject({
    mlp: ['wi_0', 'wi_1', 'wo'].map((name) => `${block}.2.DenseReluDense.${name}.weight`),
    query: [`${block}.0.SelfAttention.q.weight`],
    'cross-key': [`${block}.1.EncDecAttention.k.weight`],
    all: [...models.get('t5-v1.1')!.model.parameters.keys()],
  });
  expect(groups('t5-v1.0').mlp).toEqual([`${block}.2.DenseReluDense.wi.weight`, `${block}.2.DenseReluDense.wo.weight`]);
  // Qwen2's query has a bias, too, which is no kernel.
  expect(groups('qwen2').query).toEqual([`${layer}.self_attn.q_proj.weight`]);
  expect(groups('llama').mlp).toEqual(['gate', 'up', 'down'].map((name) => `${layer}.mlp.${name}_proj.weight`));
  expect(() => parameterGroups({ places: new Map(), parameters: new Map() })).toThrow(/no mlp matrices/u);
});

test('of a matrix that is query, key and value, a group is its own rows', () => {
  const parts = (['query', 'key', 'value'] as const).map((role, i) => ({ role, rows: i + 1 }));
  const mlp = { stack: 'decoder', layer: 0, parts: [{ role: 'down', rows: 4 }] } as const;
  const groups = parameterGroups({
    places: new Map<string, LinearPlace>([
      ['qkv', { stack: 'decoder', layer: 0, attention: 'self', parts }],
      ['down', mlp],
    ]),
    parameters: new Map(),
  });
  expect(groups.get('key')).toEqual([{ name: 'qkv.weight', rows: [1, 2] }]);
  const gradient = tensor(Float32Array.of(9, 3, 4, 9, 9, 9), { shape: [6, 1] });
  const gradients = new Map([['qkv.weight', gradient]]);
  expect(compareGradients(groups.get('key')!, gradients, gradients)).toEqual({ cosine: 1, norm: 5, formatNorm: 5 });
});
