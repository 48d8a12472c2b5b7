import { expect, test } from 'vitest';
import type { QuickstartResult } from './quickstart.js';
import { htmlReport, markdownReport, resultTable } from './report.js';

const contender = (name: string, target: number, other: number, formShare: number) => ({
  name,
  target: { task: 'lab-rte', metric: 'accuracy', score: target },
  others: [{ task: 'lab-reading', metric: 'exact-match', score: other }],
  formShare,
});
const result: QuickstartResult = {
  labels: ['True', 'False'],
  contenders: [
    contender('pretrained', 0, 90, 0),
    contender('fine-tuned', 91.25, 1, 97.5),
    contender('ProMoT', 90, 85, 2),
  ],
  sideBySide: [
    { task: 'lab-reading', input: 'Who <b> | eats?', reference: 'Tisa & Co', outputs: ['Tisa', 'True', ''] },
  ],
  pretrainedInPlace: false,
  seconds: 100,
};

test('the table has a line a task and a column a model', () => {
  expect(resultTable(result).split('\n')).toEqual([
    'model                      pretrained  fine-tuned  ProMoT',
    'lab-rte (accuracy)                0.0        91.3    90.0',
    'lab-reading (exact-match)        90.0         1.0    85.0',
    'says True/False elsewhere       0.0 %      97.5 %   2.0 %',
  ]);
});

test('outputs are shown as text, not as markup', () => {
  const page = htmlReport(result);
  expect(page).toContain('<p>Who &lt;b&gt; | eats?</p>');
  expect(page).toContain('<dd>Tisa &amp; Co</dd>');
  expect(page).toContain('<dd>(nothing)</dd>');
  expect(page).not.toMatch(/<script|src=|href=/u);
  const markdown = markdownReport(result);
  expect(markdown).toContain('| lab-reading (exact-match) | 90.0 | 1.0 | 85.0 |');
  expect(markdown).toContain('Who &lt;b> \\| eats?');
});
