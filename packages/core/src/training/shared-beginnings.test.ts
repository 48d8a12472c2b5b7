// Beginnings read once for all examples of a step, against ones that each pass reads anew.
import { fileURLToPath } from 'node:url';
import { keep, randn, scope, type Tensor, watchTensors } from '@promot/torch';
import { describe, expect, test } from 'vitest';
import { loadFolder } from '../models/load.js';
import { type LanguageModel, predictedIds, type TokenizedExample } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import type { MicroBatch } from './micro-batch.js';
import { sumOfLosses } from './objectives/index.js';
import { SharedBeginnings, withoutBeginning } from './shared-beginnings.js';
import { TableGradient } from './table-gradient.js';

const golden = (name: string) => fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url));
const fresh: TokenizedExample[][] = [
  [
    { input: [5, 6, 7, 5, 1], target: [8, 9, 1] },
    { input: [11, 5, 1], target: [8, 1] },
  ],
  [{ input: [9, 9, 12, 1], target: [30, 5, 1] }],
];
/** The same behind these tokens; what was an answer's place still is one. */
const behind = (tokens: readonly number[], of: readonly TokenizedExample[]) =>
  of.map((one) => ({
    ...one,
    input: [...tokens, ...one.input],
    answers: one.answers?.map((place) => place + tokens.length),
  }));
const last: TokenizedExample[] = [{ input: [3], target: [4] }];
const withAnswer: TokenizedExample[] = [{ input: [5, 8, 7], target: [4, 9], answers: [1] }];

/** Gradients of the prompt and of all parameters over the passes. */
function gradients(
  model: LanguageModel,
  passes: readonly MicroBatch[],
  skips?: readonly number[],
  table?: TableGradient,
): number[][] {
  const prompts = new Set(passes.flatMap(({ prompt }) => prompt ?? []));
  const trained = [...prompts, ...model.parameters.values()];
  for (const tensor of trained) tensor.requiresGrad = true;
  const shared = new SharedBeginnings(model, skips ? passes : [], passes, { rate: 0, seed: 0, table });
  const read = (work: () => void) => (table ? table.pass(work) : work());
  passes.forEach((pass, i) => {
    const { skip, attach } = shared.inFrontOf(pass);
    expect(skip).toBe(skips?.[i] ?? 0);
    read(() =>
      scope(() => {
        const examples = pass.examples.map((example) => withoutBeginning(example, skip));
        const targets = idTensor(pass.examples.flatMap(predictedIds));
        sumOfLosses(model.logits(examples, attach), targets, { labelSmoothing: 0.1, zLoss: 0 }).backward();
      }),
    );
  });
  shared.backward();
  shared.dispose();
  table?.finish();
  return trained.map((tensor) => {
    const found = scope(() => (tensor.grad as Tensor).toNumbers());
    tensor.clearGrad();
    tensor.requiresGrad = false;
    return found;
  });
}

function expectClose(some: readonly number[][], others: readonly number[][]): void {
  expect(some.flat().length).toBeGreaterThan(1000);
  some.forEach((gradient, i) => {
    const apart = gradient.map((x, j) => Math.abs(x - others[i]![j]!));
    expect(Math.max(...apart)).toBeLessThan(1e-4);
  });
}

describe.each(['llama', 'gemma3_text'])('%s', (name) => {
  const { model } = loadFolder(golden(name), 'float32');
  const prompt = keep(randn([4, model.shape.width], 1));
  // Of another task of a mixture.
  const other = keep(randn([2, model.shape.width], 2));

  test('all gradients are the same, with prompts and without, and no tensor is left', () => {
    const left = watchTensors();
    const twelve = Array.from({ length: 12 }, (_, i) => 20 + i);
    const cases: [passes: MicroBatch[], skips: number[]][] = [
      // Nobody shares the prompt of one pass of one example.
      [
        [...fresh.map((of) => ({ examples: of, prompt })), { examples: last, prompt: other }],
        [0, 0, 0],
      ],
      // The first place of the answer in `withAnswer` is predicted behind the last common token.
      [[...fresh, withAnswer].map((of) => ({ examples: behind([9, 6], of), prompt })), [2, 2, 2]],
      // One pass of two examples, and none but it has this prompt.
      [
        [
          { examples: behind([9, 6], fresh[0]!), prompt },
          { examples: last, prompt: other },
        ],
        [2, 0],
      ],
      // Without a prompt: 12 tokens of seven examples save 72 places, of three 24.
      [[...fresh, withAnswer, fresh[0]!, last].map((of) => ({ examples: behind(twelve, of) })), [12, 12, 12, 12, 12]],
      [fresh.map((of) => ({ examples: behind(twelve, of) })), [0, 0]],
    ];
    for (const [passes, skips] of cases) {
      const anew = gradients(model, passes);
      expectClose(gradients(model, passes, skips), anew);
      expectClose(gradients(model, passes, skips, TableGradient.of(model, model.parameters.values(), 1)), anew);
    }
    expect(left()).toBe(0);
  });

  test('what predicts a token is not shared, nor are tokens where there is dropout', () => {
    const skipOf = (examples: TokenizedExample[][], rate = 0) => {
      const passes = examples.map((of) => ({ examples: of, prompt }));
      const shared = new SharedBeginnings(model, passes, passes, { rate, seed: 0 });
      const found = passes.map((pass) => {
        const { skip, attach } = shared.inFrontOf(pass);
        return 'prefix' in attach ? skip : undefined;
      });
      shared.dispose();
      return found;
    };
    const same: TokenizedExample = { input: [5, 6, 7, 8], target: [9] };
    expect(skipOf([[same], [same]])).toEqual([3, 3]);
    expect(skipOf([[same, { ...same, answers: [2] }]])).toEqual([1]);
    expect(skipOf([[same], [same]], 0.1)).toEqual([0, 0]);
    // The first token behind an empty input is predicted at the prompt's last row.
    expect(skipOf([[same], [{ input: [], target: [9] }]])).toEqual([undefined, undefined]);
  });
});
