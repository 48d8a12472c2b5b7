// What holds for every task with a name, the paper's and the lab's: one suite that each of them runs through.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrapInterval } from '@promot/core/metrics';
import {
  builtinTasks,
  type Example,
  fingerprintExamples,
  harnessTasks,
  loadTask,
  namedTasks,
  type Task,
  type TaskDefinition,
} from '@promot/core/tasks';
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'vitest';
import '../src/lab/register.js';

const entailment = [
  { premise: 'A dog runs in the park.', hypothesis: 'An animal moves.', label: 0 },
  { premise: 'Nobody is here.', hypothesis: 'Somebody sings.', label: 1 },
];
const question = (text: string, answers: readonly string[]) => ({ question: text, answers });
const questions = [question('who wrote it?', ['Jane Austen', 'Austen']), question('where is it?', ['in Bath'])];
const translations = [
  { source: 'A dog runs in the park.', target: 'Un chien court dans le parc.' },
  { source: 'Two men walk along a river.', target: 'Deux hommes marchent le long d’une rivière.' },
];
const summaries = [
  { document: 'It rained all day.\nRivers rose.', summary: 'Rain made the rivers rise again today.' },
  { document: 'A long match.', summary: 'The home team won the long match.' },
];

/** Two records of each task that reads files. */
const records: Readonly<Record<string, readonly object[]>> = {
  rte: entailment,
  cb: entailment,
  snli: entailment,
  wic: [
    { sentence1: 'They sat by the bank.', sentence2: 'The bank lends money.', word: 'bank', label: 0 },
    { sentence1: 'He ran home.', sentence2: 'She ran away.', word: 'run', label: 1 },
  ],
  openbookqa: ['B', 'D'].map((answerKey) => ({
    question_stem: 'What melts',
    choices: { text: ['stone', 'ice', 'iron', 'snow'], label: ['A', 'B', 'C', 'D'] },
    answerKey,
  })),
  'trivia-qa': questions,
  'web-questions': questions,
  'wmt14-en-fr': translations,
  'wmt16-en-de': translations,
  'wmt16-en-ro': translations,
  'multi30k-en-fr': translations,
  'multi30k-en-de': translations,
  'multi30k-en-cs': translations,
  xsum: summaries,
  'wikilingua-en': summaries.map(({ document, summary }) => ({ source: document, target: summary })),
};

let data: string;
const write = (folder: string, task: string, lines: readonly object[]) => {
  mkdirSync(join(folder, task), { recursive: true });
  for (const split of ['train', 'validation', 'test'])
    writeFileSync(join(folder, task, `${split}.jsonl`), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
};
beforeAll(() => {
  data = mkdtempSync(join(tmpdir(), 'promot-every-task-'));
  for (const [task, lines] of Object.entries(records)) write(data, task, lines);
});
afterAll(() => rmSync(data, { recursive: true, force: true }));

test('every built-in task has records here', () => {
  expect(Object.keys(records).sort()).toEqual(builtinTasks.map(({ name }) => name).sort());
});

const outputs = [
  '',
  ' ',
  'True',
  ' True.',
  'A dog runs.\nAnd more.',
  '<extra_id_0> True <extra_id_1> and',
  'x <extra_id_5> y',
  'Paris Q: Who? A: x',
  'Oui. Translate English to French: No.',
  'A summary. Article: another',
];

const names = namedTasks.names().filter((name) => name in records || name.startsWith('lab-'));

test('a task is in this suite, or it is of the harness: core/test/harness.test.ts compares those with lm-eval', () => {
  const others = namedTasks.names().filter((name) => !names.includes(name));
  expect(others.sort()).toEqual(harnessTasks.map(({ name }) => name).sort());
});

describe.each(names)('%s', (name) => {
  let task: Task;
  let examples: readonly Example[];
  beforeAll(async () => {
    task = await loadTask(name, { data });
    examples = (await task.load(task.evaluationSplit)).slice(0, 64);
  });

  test('loads by its name and version, with examples to score', async () => {
    expect(task.name).toBe(name);
    expect(examples.length).toBeGreaterThanOrEqual(2);
    await expect(loadTask(`${name}@${task.version}`, { data })).resolves.toMatchObject({ version: task.version });
    await expect(loadTask(`${name}@none`, { data })).rejects.toThrow('scores would not be comparable');
  });

  test('renders each record to an input and a target that is one of its references', () => {
    for (const { input, target, references, shortenable, location } of examples) {
      expect(input.trim()).not.toBe('');
      expect(target).toBe(target.trim());
      expect(target).not.toBe('');
      expect(references).toContain(target);
      if (task.labels) expect(task.labels).toContain(target);
      if (shortenable) expect(input.slice(...shortenable)).not.toBe('');
      expect(location).not.toBe('');
    }
  });

  test('gives the same examples again', async () => {
    const again = await (await loadTask(name, { data })).load(task.evaluationSplit);
    expect(fingerprintExamples(again.slice(0, 64))).toBe(fingerprintExamples(examples));
  });

  test('what a model says of a right answer survives, and once read it is not read otherwise', () => {
    const read = task.postprocess!;
    for (const { target } of examples) {
      expect(read(` ${target}`)).toBe(target);
      expect(read(`<extra_id_0> ${target}<extra_id_1> and more`)).toBe(target);
      expect(read(`${target} Q: What next? A: nothing`)).toBe(target);
    }
    for (const output of outputs) expect(read(read(output))).toBe(read(output));
  });

  test('right answers have the best score by every metric, none has the worst, in any order', () => {
    for (const metric of task.metrics) {
      const answers = (output: (example: Example) => string) =>
        examples.map((example) => ({ output: output(example), references: example.references }));
      const best = metric.score(
        answers(({ target }) => target),
        task.labels,
      );
      expect(best.score).toBe(100);
      expect(bootstrapInterval(best, { resamples: 50 })).toEqual({ low: 100, high: 100 });
      const worst = answers(() => '');
      expect(metric.score(worst, task.labels).score).toBe(0);
      const half = answers(({ target }) => target).map((one, i) => (i % 2 ? one : worst[i]!));
      const { score, signature } = metric.score(half, task.labels);
      expect(metric.score([...half].reverse(), task.labels).score).toBeCloseTo(score, 9);
      expect(score).toBeGreaterThan(0);
      expect(score).toBeLessThan(100);
      expect(signature).toBe(best.signature);
    }
  });

  test.skipIf(!(name in records))('a record that lacks a field is refused with its place', async () => {
    const broken = mkdtempSync(join(data, 'broken-'));
    write(broken, name, [{ unknown: 1 }]);
    const split = task.evaluationSplit;
    await expect((await loadTask(name, { data: broken })).load(split)).rejects.toThrow(
      new RegExp(`${split}\\.jsonl line 1: no field "`, 'u'),
    );
  });
});

test('types: what a task needs, and what it has once it is loaded', () => {
  const definition: TaskDefinition = {
    name: 'x',
    version: '1',
    metric: ['accuracy', { name: 'bleu', tokenize: 'zh' }],
    evaluationSplits: ['test'],
    input: () => '',
    target: () => '',
  };
  expectTypeOf(definition.stop).toEqualTypeOf<readonly string[] | undefined>();
  expectTypeOf<Task['metrics'][0]['score']>().returns.toHaveProperty('signature').toEqualTypeOf<string>();
  expectTypeOf<Task>().not.toHaveProperty('metric');
  expectTypeOf(loadTask).returns.resolves.toEqualTypeOf<Task>();
  // @ts-expect-error a task says how it is scored
  const unscored: TaskDefinition = { name: 'x', version: '1', evaluationSplits: [], input: String, target: String };
  expect(unscored.metric).toBeUndefined();
});
