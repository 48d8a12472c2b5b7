import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { computeMetric } from './index.js';
import { computeMetricOnFiles } from './metric-files.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-metric-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

test('plain text, one a line', async () => {
  const p = file('p.txt', 'True.\r\nFalse\n');
  const r = file('r.txt', 'True\nTrue');
  expect(await computeMetricOnFiles('accuracy', p, r)).toEqual({
    metric: 'accuracy',
    score: 50,
    n: 2,
    signature: 'accuracy|label|case:mixed|version:1',
  });
});

test('labels with signs, punctuation and several words: what is identical is right', async () => {
  const outputs = file('p2.txt', '-1\n(A)\nC++\nnot entailment\nPositive.\n');
  const labels = file('r2.txt', '-1\n(A)\nC++\nnot entailment\npositive\n');
  expect((await computeMetricOnFiles('accuracy', outputs, labels)).score).toBe(80);
  expect((await computeMetricOnFiles('accuracy', outputs, outputs)).score).toBe(100);
  const others = await computeMetricOnFiles(
    'accuracy',
    file('p1.txt', '1\nA\n\nC\n'),
    file('r1.txt', '-1\na\nA\nC++\n'),
  );
  expect(others.score).toBe(0);
});

test('empty lines are empty predictions, the final newline is not one', async () => {
  const report = await computeMetricOnFiles('exact-match', file('p.txt', 'a\n\n\n'), file('r.txt', 'a\n\nb\n'));
  expect(report).toMatchObject({ n: 3 });
  expect(report.score).toBeCloseTo(200 / 3, 9);
});

test('JSON Lines, several references, settings from the command line', async () => {
  const p = file('p.jsonl', '"the cat sat\\non the mat today"\n"x\u2028y"\n');
  const r = file('r.jsonl', '["a cat sat on the mat today", "the cat"]\n"x"\n');
  const report = await computeMetricOnFiles('bleu', p, r, { tokenize: 'intl' });
  const wanted = computeMetric(
    'bleu',
    ['the cat sat\non the mat today', 'x\u2028y'],
    [['a cat sat on the mat today', 'the cat'], ['x']],
    { tokenize: 'intl' },
  );
  expect(report).toEqual({ metric: 'bleu', score: wanted.score, n: 2, signature: wanted.signature });
  expect(report.signature).toBe('nrefs:var|case:mixed|eff:no|tok:intl|smooth:exp|version:2.6.0');
  const stemmed = await computeMetricOnFiles('rouge-1', file('a.txt', 'running\n'), file('b.txt', 'runs\n'), {
    stemmer: true,
  });
  expect(stemmed.score).toBe(100);
  expect((await computeMetricOnFiles('rouge-L', file('a.txt', 'running\n'), file('b.txt', 'runs\n'))).score).toBe(0);
});

const p = file('good-p.txt', 'a\nb\n');
const r = file('good-r.txt', 'a\nb\n');
test.each<[string, Parameters<typeof computeMetricOnFiles>, string]>([
  ['unknown metric', ['blue', p, r], 'unknown metric "blue" (did you mean "bleu"?)'],
  [
    'unknown setting',
    ['bleu', p, r, { tokenise: 'intl' }],
    'bleu has no setting "tokenise" (did you mean "tokenize"?)',
  ],
  ['wrong value', ['bleu', p, r, { tokenize: 'de' }], 'bleu: tokenize: "de" should be one of 13a, intl'],
  ['metric of a model', ['label-likelihood', p, r], 'label-likelihood needs a model'],
  ['setting of another metric', ['bleu', p, r, { stemmer: true }], 'bleu has no setting "stemmer"'],
  ['missing file', ['bleu', join(folder, 'none'), r], 'cannot read'],
  ['empty file', ['bleu', file('empty.txt', ''), r], 'is empty'],
  ['not UTF-8', ['bleu', file('latin.txt', Buffer.from([0xe9])), r], 'is not UTF-8 text'],
  ['different lengths', ['bleu', file('short.txt', 'a\n'), r], 'has 1 lines but'],
  ['malformed line', ['bleu', file('bad.jsonl', '"a"\nb\n'), r], 'bad.jsonl line 2: malformed JSON'],
  [
    'array as a prediction',
    ['bleu', file('arrays.jsonl', '"a"\n["b"]\n'), r],
    'arrays.jsonl line 2: a JSON string is expected, not a list',
  ],
  ['number as a reference', ['bleu', p, file('numbers.jsonl', '"a"\n2\n')], 'numbers.jsonl line 2: a JSON string'],
  ['no references', ['bleu', p, file('none.jsonl', '"a"\n[]\n')], 'none.jsonl line 2: a JSON string'],
])('%s', async (_name, [name, ...rest], message) => {
  const error: unknown = await computeMetricOnFiles(name, ...rest).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).message).toContain(message);
});
