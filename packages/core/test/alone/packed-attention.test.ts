// Attention over packed sequences, which libtorch has a kernel for on some GPUs. A stand-in computes on the CPU what
// that kernel is said to compute: decoder-only models must then have PyTorch's logits and gradients, by the golden
// files.
import { readFileSync } from 'node:fs';
import {
  cat,
  grad,
  hasPackedAttention,
  keep,
  noGrad,
  openSafetensors,
  scope,
  Tensor,
  tensor,
  watchTensors,
  zeros,
} from '@promot/torch';
import { afterAll, expect, test, vi } from 'vitest';
import { type Handle, native } from '../../../torch/src/native.js';
import { readPromptAdapter } from '../../src/adapters/peft.js';
import { loadFolder } from '../../src/models/load.js';
import { idTensor } from '../../src/models/padding.js';
import { sumOfLosses } from '../../src/training/objectives/index.js';
import { goldenFolder, goldenModels } from '../golden-folders.js';

/** softmax(q k^T * scale) v of each sequence: its last query sees all keys, and the others so many fewer. */
function byFormula(
  [query, key, value, queries, keys]: readonly Tensor[],
  { scale, window }: { scale: number; window: number },
): Tensor {
  const [ofQueries, ofKeys] = [queries!.toNumbers(), keys!.toNumbers()];
  const heads = query!.size(1);
  const results = ofQueries.slice(1).flatMap((to, b) => {
    const [from, first, last] = [ofQueries[b]!, ofKeys[b]!, ofKeys[b + 1]!];
    const [length, all] = [to - from, last - first];
    if (length === 0) return [];
    const part = (x: Tensor, begin: number, count: number) => {
      const own = x.narrow(0, begin, count).transpose(0, 1); // [heads, L, D]
      return own.size(0) === heads ? own : own.repeatInterleave(heads / own.size(0), 0);
    };
    const hidden = Array.from({ length: length * all }, (_, at) => {
      const behind = Math.floor(at / all) + all - length - (at % all);
      return Number(behind < 0 || behind >= window);
    });
    const scores = part(query!, from, length)
      .matmul(part(key!, first, all).transpose(1, 2))
      .mul(scale)
      .maskedFill(tensor(hidden).gt(0.5).view(length, all), Number.NEGATIVE_INFINITY);
    return [
      scores
        .softmax(-1)
        .matmul(part(value!, first, all))
        .transpose(0, 1),
    ];
  });
  return cat(results);
}

let calls = 0;
/** `wrong`: with a window, one place too few is seen. */
let kernel: 'right' | 'wrong' | 'absent' = 'right';
const plain = native.callOperator;
const flash = native.findOperator('aten::_flash_attention_forward');
/** Whether promot's own kernel for CPUs takes a query: never here. */
const takes = native.findOperator('promot::packed_attention_takes');
const spy = vi.spyOn(native, 'callOperator').mockImplementation((operator, ...args) => {
  if (operator === takes) return false;
  if (operator !== flash || kernel === 'absent') return plain(operator, ...args);
  calls++;
  const [mostQueries, mostKeys, dropout, causal, table, scale, back, ahead] = args.slice(5) as number[];
  expect([dropout, causal, table, ahead]).toEqual([0, true, false, null]);
  expect(mostKeys).toBeGreaterThanOrEqual(mostQueries!);
  const window = back === null ? Number.POSITIVE_INFINITY : back! + (kernel === 'wrong' ? 0 : 1);
  return scope(() => {
    const tensors = (args.slice(0, 5) as Handle[]).map((handle) => new Tensor(native.alias(handle)));
    return [native.alias(byFormula(tensors, { scale: scale!, window }).handle)];
  });
});
afterAll(() => spy.mockRestore());

test('a kernel that is not there, or computes something else, is not used', () => {
  const like = zeros([1]);
  const has = (as: typeof kernel, headWidth: number) => {
    kernel = as;
    return hasPackedAttention(like, headWidth);
  };
  expect([has('wrong', 200), has('absent', 208), has('right', 216)]).toEqual([false, false, true]);
});

interface Expected {
  readonly labelSmoothing: number;
  readonly batch: { readonly inputIds: number[][]; readonly targetIds: number[][] };
  readonly gradients: Record<'plain' | 'prompted', Record<string, { readonly norm: number }>>;
}

const decoders = goldenModels.filter((name) => !/t5/.test(name));

test.each(decoders)("%s: PyTorch's logits and gradients, with and without a prompt", (name) => {
  const folder = `${goldenFolder}/${name}`;
  const { batch, gradients, labelSmoothing } = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8')) as Expected;
  const golden = openSafetensors(`${folder}/expected.safetensors`);
  const { model } = loadFolder(folder, 'float32');
  const prompt = keep(readPromptAdapter(`${folder}/prompt`, model));
  const examples = batch.inputIds.map((input, i) => ({ input, target: batch.targetIds[i]! }));
  const layers = model.shape.layers.decoder;
  let left: (() => number) | undefined;
  for (const kind of ['plain', 'prompted'] as const)
    scope(() => {
      const attached = kind === 'plain' ? undefined : prompt;
      const before = calls;
      const logits = noGrad(() => model.logits(examples, { prompt: attached }));
      // Scores with a cap go another way.
      if (name !== 'gemma2') expect(calls).toBeGreaterThanOrEqual(before + layers);
      expect(
        logits
          .sub(golden.tensor(`${kind}.logits`))
          .abs()
          .amax()
          .item(),
      ).toBeLessThan(1e-4);
      const named = new Map(model.parameters);
      if (attached) named.set('prompt', attached);
      for (const parameter of named.values()) parameter.requiresGrad = true;
      const targets = idTensor(batch.targetIds.flat());
      const loss = sumOfLosses(model.logits(examples, { prompt: attached }), targets, { labelSmoothing, zLoss: 0 });
      const found = grad([loss.div(targets.numel)], [...named.values()]);
      for (const parameter of named.values()) parameter.requiresGrad = false;
      [...named.keys()].forEach((parameter, i) => {
        const { norm } = gradients[kind][parameter]!;
        expect(Math.abs(found[i]!.norm().item() - norm), parameter).toBeLessThan(1e-4 * Math.max(1, norm));
      });
      // The first pass makes what a model keeps.
      left ??= watchTensors();
    });
  expect(left!()).toBe(0);
  golden.close();
  for (const one of [...model.parameters.values(), prompt]) one.dispose();
});
