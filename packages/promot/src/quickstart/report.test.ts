import type { TrainingRun } from '@promot/core/artifacts';
import { htmlReport, markdownReport } from '@promot/core/report';
import { expect, test } from 'vitest';
import { headline } from './headline.js';
import { quickstartReport, resultTable } from './report.js';
import type { QuickstartResult } from './result.js';

const score = (title: string, metric: string, value: number) => ({
  task: `lab-${title}`,
  title,
  metric,
  score: value,
  interval: { low: value - 5, high: value + 5 },
});
const contender = (name: string, target: number, other: number, formShare: number) => ({
  name,
  target: score('enfr', 'bleu', target),
  others: [score('reading', 'exact-match', other)],
  formShare,
});
const result: Omit<QuickstartResult, 'files'> = {
  language: 'Frelan',
  contenders: [
    contender('pretrained', 10, 90, 0),
    contender('fine-tuned', 91.25, 15, 97.5),
    contender('ProMoT', 90, 85, 2),
  ],
  sideBySide: [
    {
      task: 'lab-reading',
      input: 'Who eats?',
      reference: 'Tisa',
      outputs: ['Tisa', 'True', 'Nero'],
      right: [true, false, false],
    },
  ],
  pretrainedInPlace: false,
  seconds: 100,
};
const keep = (step: number, formShare: number) => ({
  type: 'keep' as const,
  stage: 'model',
  step,
  keep: [{ task: 'lab-reading', metric: 'exact-match', score: 50, formShare, nll: 1 }],
  keepAverage: 50,
});
const run = (shares: readonly number[]): TrainingRun => ({
  folder: 'run',
  method: 'promot',
  model: '/models/lab',
  task: 'lab-rte',
  settings: { seed: '0' },
  environment: { libtorch: '2.13.0' },
  steps: [
    {
      type: 'step',
      stage: 'model',
      step: 40,
      loss: 2.5,
      learningRate: 0.001,
      gradientNorm: 1,
      tokensPerSecond: 100,
      elapsed: 5,
      remaining: 0,
      memory: 1e9,
    },
  ],
  evaluations: [
    { type: 'evaluation', stage: 'model', step: 40, metric: 'accuracy', score: 61.25, evalLoss: 1.5, tasks: [] },
  ],
  owns: [],
  keeps: shares.map((share, i) => keep(40 * i, share)),
});
const report = quickstartReport(result, [
  { name: 'fine-tuned', run: run([0, 43.75]) },
  { name: 'ProMoT', run: run([0, 6.25]) },
]);

test('the table has a line a task and a column a model', () => {
  expect(resultTable(result).split('\n')).toEqual([
    'model                  pretrained  fine-tuned  ProMoT',
    'enfr (bleu)                  10.0        91.3    90.0',
    'reading (exact-match)        90.0        15.0    85.0',
    'Frelan elsewhere            0.0 %      97.5 %   2.0 %',
  ]);
});

test('the report has the scores beside the pretrained model’s', () => {
  expect(markdownReport(report)).toContain(
    '| fine-tuned | 91.3 (+81.3) [86.3, 96.3] | 15.0 (−75.0) [10.0, 20.0] | 97.5 (+97.5) |',
  );
});

test('and the curves and the outputs', async () => {
  const page = await htmlReport(report);
  expect(page).toContain('<span class="worse">+97.5</span>');
  expect(page).toContain('fine-tuned: (0, 0) to (40, 43.75)');
  expect(page).toContain('ProMoT: (0, 0) to (40, 6.25)');
  expect(page).toContain('fine-tuned: (40, 61.25)');
  expect(page).toContain('fine-tuned: (40, 2.5)');
  expect(page).toContain('<dt>ProMoT</dt><dd class="damage"><span class="mark">✗</span> Nero</dd>');
  expect(page).toContain('<dt>machine</dt><dd>libtorch 2.13.0</dd>');
});

test('the headline says what was lost, of what, and whether the comparison is fair', () => {
  expect(headline(result)).toBe(
    'Fine-tuning forgot 83 % of "reading" (90\u00a0→\u00a015), ProMoT 6 % (90\u00a0→\u00a085). Both learned ' +
      '"enfr": 91 and 90 of 100.',
  );
  const [pretrained, , promot] = result.contenders;
  const unequal = { contenders: [pretrained!, contender('fine-tuned', 60, 15, 90), promot!] };
  expect(headline(unequal)).toContain('they are not equal: 60 and 90 of 100');
  const safe = { contenders: [pretrained!, contender('fine-tuned', 91, 15, 90), contender('ProMoT', 90, 92, 0)] };
  expect(headline(safe)).toContain('ProMoT nothing (90\u00a0→\u00a092).');
  const kept = { contenders: [pretrained!, contender('fine-tuned', 91, 90, 0), contender('ProMoT', 90, 92, 0)] };
  expect(headline(kept)).toMatch(/^Neither model forgot anything/u);
});
