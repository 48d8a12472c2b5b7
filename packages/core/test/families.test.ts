// What every family of models must do, asked of the golden model of each: a new family runs through it as soon as it
// has one.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keep, noGrad, scope, type Tensor, watchTensors } from '@promot/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPromptAdapter } from '../src/adapters/peft.js';
import { generate } from '../src/generation/generate.js';
import { families } from '../src/models/families/index.js';
import type { LinearPlace } from '../src/models/linear-place.js';
import { type LoadedModel, loadFolder } from '../src/models/load.js';
import type { Ids, LanguageModel, TokenizedExample } from '../src/models/model.js';
import { saveModel } from '../src/models/save.js';
import { goldenFolder, goldenModels } from './golden-folders.js';

const temporary = mkdtempSync(join(tmpdir(), 'promot-families-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const read = (name: string, file: string) => JSON.parse(readFileSync(join(goldenFolder, name, file), 'utf8'));

test('every family has a golden model', () => {
  const types = new Set(goldenModels.map((name) => read(name, 'config.json').model_type as string));
  expect([...types].sort()).toEqual(families.names().sort());
});

/** The likeliest tokens one after the other, each from the whole sequence anew. */
function uncached(model: LanguageModel, input: Ids, count: number, prompt: Tensor | undefined): number[] {
  const ids: number[] = [];
  while (ids.length < count) {
    // The last target token is what is asked for; its own id does not matter.
    const token = noGrad(() =>
      scope(() =>
        model
          .logits([{ input, target: [...ids, 0] }], { prompt })
          .select(0, ids.length)
          .argmax(0)
          .item(),
      ),
    );
    if (model.shape.endOfSequence.includes(token)) break;
    ids.push(token);
  }
  return ids;
}

describe.each(goldenModels)('%s', (name) => {
  const { batch, generation } = read(name, 'expected.json') as {
    batch: { inputIds: number[][]; targetIds: number[][] };
    generation: { inputIds: number[][] };
  };
  const examples: TokenizedExample[] = batch.inputIds.map((input, i) => ({ input, target: batch.targetIds[i]! }));
  let loaded: LoadedModel;
  let model: LanguageModel;
  let prompt: Tensor;
  let left: () => number;
  beforeAll(() => {
    left = watchTensors();
    loaded = loadFolder(join(goldenFolder, name), 'float32');
    model = loaded.model;
    prompt = keep(readPromptAdapter(join(goldenFolder, name, 'prompt'), model));
  });
  afterAll(() => {
    for (const tensor of [prompt, ...model.parameters.values()]) tensor.dispose();
    expect(left()).toBe(0);
  });
  const logits = (of: LanguageModel, some: readonly TokenizedExample[], soft?: Tensor) =>
    noGrad(() => keep(of.logits(some, { prompt: soft })));

  test('generation with the cache gives what the whole sequence read anew gives', async () => {
    const inputs = generation.inputIds.slice(0, 3);
    for (const soft of [undefined, prompt]) {
      const found = await generate(model, inputs, { beams: 1, maxNewTokens: 12, prompt: soft });
      expect(found.map(({ ids }) => ids)).toEqual(inputs.map((input) => uncached(model, input, 12, soft)));
    }
  });

  test('padding does not matter: an example in a batch has the logits that it has alone', () => {
    for (const soft of [undefined, prompt]) {
      const together = logits(model, examples, soft);
      let start = 0;
      for (const example of examples) {
        const alone = logits(model, [example], soft);
        const same = together.narrow(0, start, example.target.length);
        expect(scope(() => alone.sub(same).abs().amax().item())).toBeLessThan(1e-4);
        start += example.target.length;
        for (const tensor of [alone, same]) tensor.dispose();
      }
      together.dispose();
    }
  });

  test('what is read once before all inputs is as good as what is read with each', () => {
    const shared = [5, 9, 14, 33, 21, 8, 40, 12, 7, 19, 25, 11];
    const prefix = noGrad(() => model.readPrefix?.(shared, prompt));
    if (!prefix) return;
    const whole = examples.map(({ input, target }) => ({ input: [...shared, ...input], target }));
    const [anew, behind] = [logits(model, whole, prompt), noGrad(() => keep(model.logits(examples, { prefix })))];
    expect(scope(() => anew.sub(behind).abs().amax().item())).toBeLessThan(1e-4);
    // Cached generation behind the prefix, inputs of different lengths side by side.
    const first = (inputs: readonly Ids[], options: object) => {
      const decoding = noGrad(() => model.startDecoding(inputs, options));
      const steps = noGrad(() => [decoding.first(), decoding.next(inputs.map(() => 30))]);
      decoding.dispose();
      return steps;
    };
    const inputs = examples.map(({ input }) => input);
    const a = first(
      inputs.map((input) => [...shared, ...input]),
      { prompt },
    );
    const b = first(inputs, { prefix });
    a.forEach((one, i) => {
      expect(scope(() => one.sub(b[i]!).abs().amax().item())).toBeLessThan(1e-4);
    });
    for (const tensor of [anew, behind, ...a, ...b]) tensor.dispose();
    prefix.dispose();
  });

  test('saved and loaded again it is the same, to the bit', async () => {
    const folder = join(temporary, name);
    await saveModel(folder, loaded);
    const again = loadFolder(folder, 'float32').model;
    // The precision is that of the saved weights, also in the parts of a configuration.
    const stored = JSON.stringify({ ...model.config(), dtype: 'float32' });
    expect(again.config()).toEqual(JSON.parse(stored.replaceAll(/"dtype":(null|"\w+")/gu, '"dtype":"float32"')));
    expect(again.architecture).toEqual(model.architecture);
    const [one, other] = [logits(model, examples), logits(again, examples)];
    expect(one.equal(other)).toBe(true);
    for (const tensor of [one, other, ...again.parameters.values()]) tensor.dispose();
  });

  test('every linear layer has a place, whose parts are its rows', () => {
    const isHead = ([, { parts }]: [string, LinearPlace]) => parts[0]!.role === 'head';
    expect([...model.places].filter((one) => !isHead(one)).map(([of]) => of)).toEqual([...model.linears.keys()]);
    expect([...model.places].filter(isHead)).toHaveLength(1);
    for (const [of, { parts }] of model.places) {
      const { weight } = model.linears.get(of) ?? model.head;
      expect(parts.reduce((sum, { rows }) => sum + rows, 0)).toBe(weight.size(0));
    }
    const { layers } = model.shape;
    const count = (stack: string) =>
      new Set([...model.places.values()].flatMap((place) => (place.stack === stack ? (place.layer ?? []) : []))).size;
    expect({ encoder: count('encoder'), decoder: count('decoder') }).toEqual(layers);
  });
});
