import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { loadFolder } from '../models/load.js';
import type { Task } from '../tasks/task.js';
import { TrainingExamples } from './examples.js';
import { boundLengths, measureLengths } from './lengths.js';

test.each(['t5-v1.1', 'llama'])('no example of %s is longer than its bound', (name) => {
  using loaded = loadFolder(fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url)), 'float32');
  const texts = ['the cat', '', 'Ünïcode \u2603 \u{1f600}', 'x'.repeat(50), 'the red cat sees the dog'];
  const examples = texts.map((input) => ({ input, target: input, references: [input], record: {}, location: '' }));
  for (const [maxInputLength, shots] of [
    [0, 0],
    [0, 1],
    [3, 0],
  ] as const) {
    const training = new TrainingExamples({ name } as Task, examples, { loaded, seed: 1, maxInputLength });
    const [bound, measured] = [boundLengths, measureLengths].map((of) => of(training, shots, maxInputLength));
    for (const part of ['inputs', 'targets'] as const)
      for (const [i, length] of measured![part].entries()) expect(bound![part][i]).toBeGreaterThanOrEqual(length);
  }
});
