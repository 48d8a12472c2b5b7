import { fileURLToPath } from 'node:url';
import type { Tensor } from '@promot/torch';
import { afterAll, expect, test } from 'vitest';
import { readPromptAdapter } from '../adapters/peft.js';
import { UserError } from '../base/errors.js';
import { type LoadedModel, loadFolder } from '../models/load.js';
import { score } from './score.js';
import { scoreContinuations } from './score-continuations.js';

const open: (() => void)[] = [];
afterAll(() => {
  for (const close of open) close();
});
async function load(name: string): Promise<LoadedModel & { prompt: Tensor }> {
  const folder = fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url));
  const loaded = await loadFolder(folder, 'float32');
  const prompt = readPromptAdapter(`${folder}/prompt`, loaded.model);
  open.push(
    () => prompt.dispose(),
    () => loaded.dispose(),
  );
  return { ...loaded, prompt };
}

const range = (start: number, count: number) =>
  Array.from({ length: count }, (_, i) => 20 + ((start * 7 + i * 3) % 200));

test.each(['llama', 'qwen2', 't5-v1.1'])('%s: what `score` gives, however the contexts are shared', async (name) => {
  const { model, prompt } = await load(name);
  const exemplars = range(1, 40);
  const choices = [range(2, 3), range(3, 1), range(4, 5), [...range(2, 2), 77]];
  const cases = {
    'contexts of their own': [5, 6, 7].map((i) => choices.map((ids) => ({ context: range(i, 12 + i), ids }))),
    'exemplars in front of all': [5, 6, 7].map((i) =>
      choices.map((ids) => ({ context: [...exemplars, ...range(i, 3)], ids })),
    ),
    'another context for each choice': [5, 6].map((i) =>
      [1, 2].map((own) => ({ context: [...range(i, 11), own], ids: range(8, 4) })),
    ),
    'a single choice': [5, 6].map((i) => [{ context: range(i, 9), ids: range(i, 2) }]),
  };
  for (const [title, questions] of Object.entries(cases))
    for (const attached of [undefined, prompt]) {
      const heard: number[] = [];
      const found = await scoreContinuations(model, questions, {
        prompt: attached,
        onResult: (question) => heard.push(question),
      });
      expect(heard.sort(), title).toEqual(questions.map((_, i) => i));
      const flat = questions.flat();
      const expected = await score(
        model,
        flat.map(({ context, ids }) => ({ input: context, target: ids })),
        { prompt: attached },
      );
      for (const [i, { logprob, tokens }] of found.flat().entries()) {
        expect(tokens).toBe(flat[i]!.ids.length);
        expect(logprob, title).toBeCloseTo(-expected[i]!.loss * tokens, 3);
      }
    }
});

test('an empty choice is refused; an aborted run rejects', async () => {
  const { model } = await load('llama');
  await expect(scoreContinuations(model, [[{ context: [1], ids: [] }]])).rejects.toBeInstanceOf(UserError);
  const question = [{ context: [1, 2], ids: [3] }];
  await expect(scoreContinuations(model, [question], { signal: AbortSignal.abort('stop') })).rejects.toBe('stop');
});
