// The built-in tasks: templates letter by letter, both forms of records, real data where it is at hand.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { DataRecord } from '../data/records.js';
import { fileSource, type Split } from '../data/source.js';
import { trimOutput } from './paper/output.js';
import { builtinTasks, loadTask } from './registry.js';
import { createTask, fingerprintExamples, type TaskDefinition } from './task.js';

function definition(name: string): TaskDefinition {
  return builtinTasks.find((task) => task.name === name)!;
}

describe('templates of Table 4', () => {
  const nli = { premise: 'P.', hypothesis: 'H.' };
  const article = 'One.\nTwo.';
  test.each<[string, DataRecord, string, string]>([
    ['rte', { ...nli, label: 'True' }, 'P. question: H. Is it true or false? answer:', 'True'],
    ['rte', { ...nli, label: 1 }, 'P. question: H. Is it true or false? answer:', 'False'],
    ['rte', { ...nli, label: 'not_entailment' }, 'P. question: H. Is it true or false? answer:', 'False'],
    ['cb', { ...nli, label: 1 }, 'P. question: H. Is it true or false or neither? answer:', 'False'],
    ['cb', { ...nli, label: 2 }, 'P. question: H. Is it true or false or neither? answer:', 'Neither'],
    ['snli', { ...nli, label: 1 }, 'P. question: H. Is it true or false or neither? answer:', 'Neither'],
    ['snli', { ...nli, label: 2 }, 'P. question: H. Is it true or false or neither? answer:', 'False'],
    [
      'wic',
      { sentence1: 'A b.', sentence2: 'C d.', word: 'b', label: 1 },
      'A b. C d. question: The word b is used in the same way in the two sentences. Is it true or False? answer:',
      'True',
    ],
    ['wic', { sentence1: 'A', sentence2: 'C', word: 'b', label: false }, expect.any(String) as string, 'False'],
    [
      'openbookqa',
      { question_stem: 'What', choices: { text: ['w', 'x', 'y', 'z'], label: ['A', 'B', 'C', 'D'] }, answerKey: 'C' },
      'Q: What A) w B) x C) y D) z A:',
      'C',
    ],
    ['trivia-qa', { question: 'Who?', answers: ['a', 'b'] }, 'Q: Who? A:', 'a'],
    ['trivia-qa', { question: 'Who?', answer: { value: 'v', aliases: ['b', 'v'] } }, 'Q: Who? A:', 'v'],
    ['web-questions', { question: 'who?', answers: ['a'] }, 'Q: who? A:', 'a'],
    ['wmt14-en-fr', { translation: { en: 'Yes.', fr: 'Oui.' } }, 'Translate English to French: Yes.', 'Oui.'],
    ['wmt16-en-de', { translation: { en: 'Yes.', de: 'Ja.' } }, 'Translate English to German: Yes.', 'Ja.'],
    ['wmt16-en-ro', { translation: { en: 'Yes.', ro: 'Da.' } }, 'Translate English to Romanian: Yes.', 'Da.'],
    ['multi30k-en-fr', { source: 'Yes.', target: 'Oui.' }, 'Translate English to French: Yes.', 'Oui.'],
    ['multi30k-en-de', { source: 'Yes.', target: 'Ja.' }, 'Translate English to German: Yes.', 'Ja.'],
    ['multi30k-en-cs', { source: 'Yes.', target: 'Ano.' }, 'Translate English to Czech: Yes.', 'Ano.'],
    ['xsum', { document: article, summary: 'S.' }, 'Article: One.\nTwo. One sentence summary:', 'S.'],
    ['wikilingua-en', { source: article, target: 'S.' }, 'Article: One.\nTwo. One sentence summary:', 'S.'],
  ])('%s', (name, record, input, target) => {
    expect(definition(name).input(record)).toEqual(input);
    expect(definition(name).target(record)).toBe(target);
  });

  test('every answer of a question counts, once', () => {
    const record = { question: 'Who?', answer: { value: 'v', aliases: ['b', 'v'] } };
    expect(definition('trivia-qa').references!(record)).toEqual(['v', 'b']);
    const blank = { question: 'who?', answers: ['', ' ', 'a'] };
    expect(definition('web-questions').references!(blank)).toEqual(['a']);
    expect(definition('web-questions').target(blank)).toBe('a');
  });
});

const temporary = mkdtempSync(join(tmpdir(), 'promot-tasks-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

function dataFolder(rows: Record<string, readonly DataRecord[]>): string {
  const folder = mkdtempSync(join(temporary, 'data-'));
  for (const [path, records] of Object.entries(rows)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), records.map((record) => JSON.stringify(record)).join('\n'));
  }
  return folder;
}

describe('loadTask', () => {
  const good = { premise: 'P.', hypothesis: 'H.', label: 'True' };

  test('examples of a split, with notes and a warning about the size', async () => {
    const data = dataFolder({ 'rte/validation.jsonl': [good], 'rte/train.jsonl': [good, good] });
    const warnings: string[] = [];
    const task = await loadTask('rte@1', { data, onWarning: (message) => warnings.push(message) });
    expect(task.evaluationSplit).toBe('validation');
    const examples = await task.load('validation');
    expect(examples).toEqual([
      {
        input: 'P. question: H. Is it true or false? answer:',
        target: 'True',
        references: ['True'],
        record: good,
        location: join(data, 'rte/validation.jsonl line 1'),
      },
    ]);
    expect(warnings).toEqual(["rte validation: 1 examples, 277 in the paper's Table 5"]);
    expect(fingerprintExamples(examples)).toMatch(/^[0-9a-f]{64}$/);
    expect(fingerprintExamples(await task.load('train'))).not.toBe(fingerprintExamples(examples));
    await expect(task.load('test')).rejects.toThrow('has no test split; it has train, validation');
  });

  test('underscored names and folders, stand-in notes', async () => {
    const data = dataFolder({
      'trivia_qa/validation.jsonl': [{ question: 'q', answers: ['a'] }],
      'multi30k_en_fr/test.jsonl': [{ source: 'a', target: 'b' }],
    });
    const trivia = await loadTask('trivia_qa', { data });
    expect(trivia.evaluationSplit).toBe('validation');
    expect(trivia.notes).toEqual(['trivia-qa: the validation split stands in for the test split']);
    const multi30k = await loadTask('multi30k-en-fr', { data });
    expect(multi30k.notes).toEqual([expect.stringContaining('stands in for WMT14 En-Fr')]);
  });

  test.each([
    [
      'label outside the set',
      { ...good, label: 'Maybe' },
      /validation\.jsonl line 2: label "Maybe" is not one of True, False/,
    ],
    ['unlabelled', { ...good, label: -1 }, /line 2: label -1 is not one of/],
    ['prototype name as a label', { ...good, label: 'constructor' }, /line 2: label "constructor"/],
    ['missing field', { premise: 'P.', label: 'True' }, /line 2: no field "hypothesis"; the record has premise, label/],
    ['field of a wrong kind', { ...good, premise: 7 }, /line 2: field "premise" should be text, not 7/],
  ])('%s', async (_name, record, message) => {
    const task = await loadTask('rte', { data: dataFolder({ 'rte/validation.jsonl': [good, record] }) });
    await expect(task.load('validation')).rejects.toThrow(message);
  });

  test('unlabelled SNLI records and WMT pairs with an empty side are left out', async () => {
    const data = dataFolder({
      'snli/test.jsonl': [good, { ...good, label: -1 }],
      'wmt14-en-fr/test.jsonl': [
        { source: 'a', target: '' },
        { source: 'a', target: 'b' },
      ],
    });
    expect(await (await loadTask('snli', { data })).load('test')).toHaveLength(1);
    expect(await (await loadTask('wmt14-en-fr', { data })).load('test')).toHaveLength(1);
  });

  test.each([
    ['rtee', {}, /unknown task "rtee": did you mean rte/],
    ['something-else-entirely', {}, /known tasks are rte, cb, wic/],
    ['rte@2', {}, 'this release has rte@1'],
    ['rte', { data: '/nonexistent' }, /there is no folder .*rte/],
    ['no-such-file.yaml', {}, 'cannot read the task file no-such-file.yaml'],
  ])('%s %j is refused', async (name, options, message) => {
    await expect(loadTask(name, options)).rejects.toThrow(message);
  });
});

describe('a split used to be read anew at each load', () => {
  const records = dataFolder({ 'train.jsonl': [{ premise: 'a', hypothesis: 'b', label: 'True' }] });
  const counting = () => {
    const source = fileSource('data', {
      train: join(records, 'train.jsonl'),
      validation: join(records, 'train.jsonl'),
    });
    const reads: Split[] = [];
    const read = (split: Split) => {
      reads.push(split);
      return source.read(split);
    };
    return { reads, task: createTask(definition('rte'), { ...source, read }) };
  };

  test('the one that was loaded last is kept, and no other', async () => {
    const { reads, task } = counting();
    const [first, second] = await Promise.all([task.load('train'), task.load('train')]);
    expect(second).toBe(first);
    await task.load('validation');
    await task.load('train');
    expect(reads).toEqual(['train', 'validation', 'train']);
  });

  test("a task never gets another's", async () => {
    const [one, other] = [counting(), counting()];
    await one.task.load('train');
    await other.task.load('train');
    expect(other.reads).toEqual(['train']);
  });

  test('a failure is not kept', async () => {
    const file = join(records, 'late.jsonl');
    const task = createTask(definition('rte'), fileSource('data', { train: file }));
    await expect(task.load('train')).rejects.toThrow('no such data file');
    writeFileSync(file, readFileSync(join(records, 'train.jsonl')));
    expect(await task.load('train')).toHaveLength(1);
  });
});

test('accuracy refuses targets that it could never match', async () => {
  const bad: TaskDefinition = { ...definition('rte'), labels: undefined, target: () => 'not sure' };
  const data = dataFolder({ 'train.jsonl': [{ premise: 'a', hypothesis: 'b' }] });
  const task = createTask(bad, fileSource('bad', { train: join(data, 'train.jsonl') }));
  await expect(task.load('train')).rejects.toThrow('accuracy reads the first word only');
});

test.each([
  ['<extra_id_0> True<extra_id_1> and more', 'True'],
  ['<extra_id_0> Paris', 'Paris'],
  ['noise<extra_id_0> Paris <extra_id_1>', 'Paris'],
  ['Paris<extra_id_1> London', 'Paris'],
  ['<extra_id_0> a <extra_id_2> b<extra_id_1>', 'a  b'],
  [' Paris Q: Who else? A: x', 'Paris'],
  ['Oui. Translate English to French: No.', 'Oui.'],
  ['A summary.\n\nArticle: another', 'A summary.'],
  ['Q: only a question', ''],
  ['', ''],
])('trimOutput %j', (output, text) => {
  expect(trimOutput(output)).toBe(text);
});

const realData = fileURLToPath(new URL('../../../../../shared/data', import.meta.url));

describe.skipIf(!existsSync(realData))('real data (skipped where ../shared/data is absent)', () => {
  test.each([
    ['rte', 'validation', 277],
    ['rte', 'train', 2490],
    ['cb', 'validation', 56],
    ['wic', 'validation', 200],
    ['snli', 'test', 1483],
    ['openbookqa', 'test', 400],
    ['trivia-qa', 'test', 900],
    ['web-questions', 'test', 1800],
    ['xsum', 'test', 1279],
    ['multi30k-en-fr', 'train', 29_000],
    ['multi30k-en-de', 'test', 1000],
    ['multi30k-en-cs', 'test', 1000],
  ] as const)('%s %s', async (name, split, count) => {
    const task = await loadTask(name, { data: realData });
    const examples = await task.load(split);
    expect(examples).toHaveLength(count);
    for (const { target } of examples) expect(target).toBe(target.trim());
  });
});
