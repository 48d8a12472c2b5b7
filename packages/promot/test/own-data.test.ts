// The shortest way: a data file and two templates on the command line, then answers for new records.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { smallModel } from '../../core/test/small-task.js';
import { promot } from './command-line.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-own-data-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const data = join(folder, 'tickets.csv');
const teams = ['the cat', 'the dog'];
writeFileSync(data, `text,team\n${Array.from({ length: 30 }, (_, i) => `a man ${i},${teams[i % 2]}`).join('\n')}\n`);

const out = join(folder, 'tickets');
const flags = ['train', '--model', smallModel(), '--data', data, '--out'];
const templates = ['--input', '{text} Which team?', '--target', '{team}'];
const brief = ['precision=fp32', 'batchSize=4', 'promptLength=2', 'beams=1', 'stage1.steps=1', 'stage2.steps=1'];

test('train, then generate and evaluate by the name of the task', async () => {
  const trained = await promot(...flags, out, ...templates, '--set', ...brief, '--json');
  expect(trained.err).toContain('30 rows');
  expect(JSON.parse(trained.out)).toMatchObject({
    next: `promot eval --model ${out} --prompt ${out} --task tickets --shots 0`,
  });
  expect(trained.code).toBe(0);
  expect(trained.err).toMatch(/6 of them, drawn with a fixed seed, are for validation/);
  expect(trained.err).toMatch(/2 answers occur, so they are labels: the cat, the dog/);
  expect(trained.err).toContain(`the task is written to ${join(out, 'task.yaml')}`);
  expect(readFileSync(join(out, 'task.yaml'), 'utf8')).toMatch(/^labels: \[ the cat, the dog \]$/m);

  // The data is not needed to answer.
  renameSync(data, `${data}.away`);
  const record = ['--task', 'tickets', '--record'];
  const generated = await promot('generate', '--model', out, ...record, '{"text": "a man 3"}', '--beams', '1');
  expect(generated.code).toBe(0);
  expect(generated.err).toContain("tickets is this run's own task: its soft prompt is attached");
  const explicit = await promot(
    'generate',
    '--model',
    out,
    '--prompt',
    out,
    '--input',
    'a man 3 Which team?',
    '--beams',
    '1',
    '--max-new-tokens',
    '8',
  );
  expect(generated.out).toBe(explicit.out);
  writeFileSync(join(folder, 'new.jsonl'), '{"text":"a man 3"}\n{"text":"a man 4"}\n');
  const several = await promot(
    'generate',
    '--model',
    out,
    ...record,
    `@${join(folder, 'new.jsonl')}`,
    '--beams',
    '1',
    '--json',
  );
  expect(JSON.parse(several.out)).toMatchObject({
    outputs: [{ input: 'a man 3 Which team?' }, { input: 'a man 4 Which team?' }],
  });
  const scored = await promot('score', '--model', out, ...record, '{"text": "a man 3", "team": "the dog"}', '--json');
  const same = await promot(
    'score',
    '--model',
    out,
    '--prompt',
    out,
    '--input',
    'a man 3 Which team?',
    '--target',
    'the dog',
    '--json',
  );
  expect(scored.out).toBe(same.out);
  expect((await promot('score', '--model', out, ...record, '{"text": "a man 3"}')).err).toContain('no field "team"');
  renameSync(`${data}.away`, data);

  const evaluated = await promot('eval', '--model', out, '--task', 'tickets', '--beams', '1', '--json');
  expect(evaluated.code).toBe(0);
  expect(JSON.parse(evaluated.out)).toMatchObject({ task: 'tickets', n: 6 });
  expect(evaluated.err).toContain("tickets is asked without the run's soft prompt");
});

test('what is wrong is told in a line, and nothing is written', async () => {
  const refused = async (message: RegExp, ...args: string[]) => {
    const { code, err } = await promot(...args);
    expect(err.trim().split('\n').at(-1)).toMatch(message);
    expect(code).toBe(2);
  };
  const other = join(folder, 'other');
  await refused(
    /--input names \{txt\}.*did you mean \{text\}/,
    ...flags,
    other,
    '--input',
    '{txt}',
    '--target',
    '{team}',
  );
  await refused(/--input and --target go together/, ...flags, other, '--input', '{text}');
  await refused(/take the place of --task/, ...flags, other, ...templates, '--task', 'rte');
  expect(existsSync(other)).toBe(false);
  const generate = ['generate', '--model', smallModel()];
  await refused(/needs either --input or --task with --record/, ...generate);
  await refused(/--task and --record go together/, ...generate, '--task', 'rte');
  await refused(/--record: not JSON/, ...generate, '--task', 'rte', '--record', 'x');
  await refused(/--record: no field "premise"/, ...generate, '--task', 'rte', '--record', '{}');
});
