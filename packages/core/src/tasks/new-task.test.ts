import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { newTask, safeName } from './new-task.js';
import { loadTask } from './registry.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-new-task-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const rows = (count: number, row: (i: number) => string) => Array.from({ length: count }, (_, i) => row(i)).join('\n');

test('few answers are labels; a fixed part is for validation; the file is a task', async () => {
  const data = file(
    'my tickets.csv',
    `text,team\n${rows(60, (i) => `"ticket ${i}, urgent",${['billing', 'sales: EU'][i % 2]}`)}\n`,
  );
  const { name, yaml, notes } = await newTask({ data, input: '{text} Which team?', target: '{team}' });
  expect(name).toBe('my-tickets');
  expect(notes).toEqual([
    `${data}: 60 rows`,
    '12 of them, drawn with a fixed seed, are for validation',
    '2 answers occur, so they are labels: billing, sales: EU',
    'scored by accuracy',
  ]);
  const task = await loadTask(file('task.yaml', yaml));
  expect(task).toMatchObject({ name, labels: ['billing', 'sales: EU'], evaluationSplit: 'validation' });
  expect(await task.load('train')).toHaveLength(48);
  const validation = await task.load('validation');
  expect(validation).toHaveLength(12);
  expect(validation[0]!.input).toMatch(/^ticket \d+, urgent Which team\?$/);
  expect((await newTask({ data, input: '{text} Which team?', target: '{team}' })).yaml).toBe(yaml);
});

test('many answers: exact match, or the words where they are long', async () => {
  const short = file(
    'short.jsonl',
    rows(30, (i) => `{"q":"q${i}","a":"answer ${i}"}`),
  );
  const exact = await newTask({ data: short, input: '{q}', target: '{a}' });
  expect(exact.yaml).toMatch(/^metric: exact-match$/m);
  expect(exact.yaml).not.toMatch(/^labels/m);
  const long = file(
    'long.jsonl',
    rows(30, (i) => `{"q":"q","a":"${'word '.repeat(20)}${i}"}`),
  );
  expect((await newTask({ data: long, input: '{q}', target: '{a}' })).yaml).toMatch(/^metric: rouge-L$/m);
  const lists = file(
    'lists.jsonl',
    rows(10, (i) => `{"q":"q","a":["x","y${i}"]}`),
  );
  const task = await loadTask(file('lists.yaml', (await newTask({ data: lists, input: '{q}', target: '{a}' })).yaml));
  expect((await task.load('train'))[0]!.references).toHaveLength(2);
});

test('a validation file of its own', async () => {
  const data = file('train.jsonl', '{"q":"a","a":"b"}');
  const { yaml } = await newTask({ data, validation: data, input: '{q}', target: '{a}', name: 'own' });
  expect(yaml).not.toContain('validationShare');
  expect(await (await loadTask(file('own.yaml', yaml))).load('validation')).toHaveLength(1);
});

test('columns that are not there, with those that are', async () => {
  const data = file('columns.csv', 'text,team\nx,y\nz,w\n');
  await expect(newTask({ data, input: '{txt}', target: '{team}' })).rejects.toThrow(
    /--input names \{txt\}, but .*columns\.csv has no such column; did you mean \{text\}\? Its columns: \{text\}, \{team\}$/,
  );
  await expect(newTask({ data, input: '{text}', target: 'team' })).rejects.toThrow('--target names no field');
  await expect(newTask({ data, input: 'text', target: '{team}' })).rejects.toThrow('--input names no field, such as');
  const exact = join(folder, 'exact.jsonl');
  writeFileSync(exact, '{"a":{"b":[1.0]},"c":1.0}\n');
  const missing = newTask({ data: exact, input: '{c.text}', target: '{c}' });
  await expect(missing).rejects.toThrow(/no such column.* Its columns: \{a\.b\}, \{c\}$/u);
});

test('what looks like a mistake is said', async () => {
  const teams = (i: number) => ['Tech', 'tech', 'billling'][i] ?? ['tech', 'billing'][i % 2];
  const data = file('typos.csv', `text,team\n${rows(30, (i) => `${i === 4 ? '' : `ticket ${i}`},${teams(i)}`)}\n`);
  const { notes } = await newTask({ data, input: '{text}', target: '{team}' });
  expect(notes.slice(-3)).toEqual([
    `answers that occur once: "Tech" (${data} line 2), "billling" (${data} line 4). Correct them where they are ` +
      'typing errors',
    'the answers "Tech" and "tech" differ only in case',
    `{text} is empty in 1 row (${data} line 6)`,
  ]);
  const same = file('same.csv', `text,team\n${rows(9, (i) => `ticket ${i},tech`)}\n`);
  expect((await newTask({ data: same, input: '{text}', target: '{team}' })).notes.at(-1)).toBe(
    'every row has the same answer, "tech": there is nothing to tell apart',
  );
  const blank = file('blank.csv', `text,team\n${rows(9, (i) => `ticket ${i},${i % 4 === 3 ? ' ' : 'tech'}`)}\n`);
  await expect(newTask({ data: blank, input: '{text}', target: '{team}' })).rejects.toThrow(
    `the answer, {team}, is empty in 2 rows, the first is ${blank} line 5. Fill it in, or remove the rows`,
  );
  const nested = file(
    'nested.jsonl',
    rows(9, (i) => `{"ticket":{"text":"${i}"},"team":"a"}`),
  );
  await expect(newTask({ data: nested, input: '{text}', target: '{team}' })).rejects.toThrow(
    /Its columns: \{ticket\.text\}, \{team\}$/u,
  );
  const wrapped = file('wrapped.json', '{"tickets":[{"text":"a","team":"b"}]}');
  await expect(newTask({ data: wrapped, input: '{text}', target: '{team}' })).rejects.toThrow(/hold the list itself$/u);
});

test('names', () => {
  expect(['a b.csv.gz', '-x.jsonl', 'ünï.csv'].map(safeName)).toEqual(['a-b', 'x', 'n-']);
});
