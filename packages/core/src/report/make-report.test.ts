// Reports of folders: small ones that training and evaluation really made, and hand-written ones where the numbers
// matter.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseHTML } from 'linkedom';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { otherTask } from '../../test/small-task.js';
import { evaluateTasks } from '../evaluation/evaluate-tasks.js';
import { train } from '../training/train.js';
import { confusionSection } from './confusion.js';
import type { NamedEvaluation } from './evaluation-sections.js';
import { makeReport } from './make-report.js';
import { sideBySides } from './side-by-side.js';
import { headlineOf, titleOf } from './summary.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'promot-make-report-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The report's page. */
function open(out: string) {
  const { document } = parseHTML(readFileSync(join(out, 'index.html'), 'utf8'));
  const texts = (selector: string): string[] =>
    [...document.querySelectorAll(selector)].map((element: { textContent: string }) => element.textContent.trim());
  const section = (heading: string) =>
    [...document.querySelectorAll('section')].find(
      (one: { querySelector(name: string): { textContent: string } }) =>
        one.querySelector('h2').textContent === heading,
    );
  /** The rows of a section's table, by name. */
  const table = (heading: string): Record<string, string[]> =>
    Object.fromEntries(
      [...section(heading).querySelectorAll('tr')].map((row: { children: Iterable<{ textContent: string }> }) => {
        const [name, ...cells] = [...row.children].map((cell) => cell.textContent.trim());
        return [name, cells];
      }),
    );
  return { texts, section, table };
}

describe('hand-written folders', () => {
  interface Task {
    readonly task: string;
    readonly score: number;
    readonly outputs: readonly string[];
    readonly more?: object;
  }
  function evaluation(name: string, tasks: readonly Task[], settings: object = { model: 'm', beams: 4 }): string {
    const out = join(folder, name);
    mkdirSync(out, { recursive: true });
    const entries = tasks.map(({ task, score, outputs, more }) => {
      const lines = outputs.map((trimmed, i) =>
        JSON.stringify({ input: `Ask ${i}?`, output: trimmed, trimmed, references: [`right ${i}`], score: 0 }),
      );
      writeFileSync(join(out, `samples-${task}.jsonl`), lines.map((line) => `${line}\n`).join(''));
      const facts = { version: '1', split: 'test', metric: 'accuracy', n: 3, shots: 1, seed: 0, signature: 's' };
      return { task, ...facts, score, interval: { low: score - 4, high: score + 4 }, dataFingerprint: 'd', ...more };
    });
    const content = entries.length === 1 ? entries[0]! : { tasks: entries };
    writeFileSync(join(out, 'results.json'), JSON.stringify({ ...content, settings, date: '2026-11-24' }));
    return out;
  }
  function run(
    name: string,
    lines: readonly object[],
    config: object = { seed: 0, stage1: { steps: 40 } },
    end = '\n',
  ) {
    const out = join(folder, name);
    mkdirSync(join(out, 'samples'), { recursive: true });
    writeFileSync(
      join(out, 'run.json'),
      JSON.stringify({ method: 'fine-tune', model: '/models/lab', task: 'rte', config }),
    );
    writeFileSync(join(out, 'environment.json'), JSON.stringify({ date: '2026-11-23', libtorch: '2.13.0', cores: 2 }));
    writeFileSync(join(out, 'metrics.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n') + end);
    return out;
  }
  const stepLine = (step: number, loss: number) => ({
    stage: 'model',
    step,
    loss,
    learningRate: 0.1,
    gradientNorm: 1,
    tokensPerSecond: 250,
    elapsed: 3 * step,
    remaining: 0,
    memory: 1.5e9,
  });
  const keepLine = (step: number, score: number, formShare: number) => ({
    stage: 'model',
    step,
    keep: [
      { task: 'wic', metric: 'accuracy', score, formShare, nll: 2.25 },
      { task: 'cb', metric: 'accuracy', score: score + 10, formShare, nll: 1.75 },
    ],
    keepAverage: score + 5,
  });
  const evaluationLine = (step: number, score: number) => ({ stage: 'model', step, evalLoss: 1.125, accuracy: score });

  const metrics = (...scores: readonly number[]) =>
    scores.map((score, i) => ({ metric: ['accuracy', 'f1'][i], score, signature: ['s', 'f'][i] }));

  test('scores: differences to the folder named pretrained, intervals, average, what cannot be compared', async () => {
    const tuned = evaluation('tuned', [
      {
        task: 'a',
        score: 30.5,
        outputs: ['x', 'right 1', 'same'],
        more: { formShare: 40, labels: ['True'], nll: 1.5 },
      },
      { task: 'b', score: 50, outputs: ['y', 'y', 'y'], more: { metrics: metrics(50, 70.5) } },
      { task: 'c', score: 7, outputs: ['z'], more: { dataFingerprint: 'other' } },
    ]);
    const pretrained = evaluation('pretrained', [
      { task: 'a', score: 41.75, outputs: ['right 0', 'right 1', 'same'], more: { nll: 1.25, notes: ['a stand-in'] } },
      { task: 'b', score: 20, outputs: ['y', 'y', 'y'], more: { metrics: metrics(20, 60) } },
      { task: 'c', score: 5, outputs: ['z'] },
    ]);
    const part = evaluation('part', [{ task: 'a', score: 41.75, outputs: ['', 'right 1', 'same'] }], {
      model: 'n',
      beams: 4,
    });
    const out = join(folder, 'report-scores');
    const { files } = await makeReport({ folders: [tuned, pretrained, part], out });
    expect(files.map((path) => basename(path))).toEqual(['index.html', 'report.md', 'scores.svg']);
    const { table, section, texts } = open(out);
    expect(table('Scores')).toEqual({
      evaluation: ['a (accuracy)', 'b (accuracy)', 'c (accuracy)', 'average'],
      tuned: ['30.5−11.3 [26.5, 34.5]', '50.0+30.0 [46.0, 54.0]', '7.0[3.0, 11.0]', '29.2'],
      pretrained: ['41.8[37.8, 45.8]', '20.0[16.0, 24.0]', '5.0[1.0, 9.0]', '22.3'],
      part: ['41.80.0 [37.8, 45.8]', '–', '–', '–'],
    });
    expect(table('Scores by other metrics')).toEqual({
      evaluation: ['b (f1)'],
      tuned: ['70.5+10.5'],
      pretrained: ['60.0'],
      part: ['–'],
    });
    expect(texts('.note')[0]).toContain('c: tuned has another dataFingerprint than pretrained: not compared.');
    expect(texts('.note')[0]).toContain('a: a stand-in.');
    expect(table('Share of outputs in the form of labels').tuned).toEqual(['40.0', '–', '–']);
    expect(table('Negative log-likelihood of the references').tuned![0]).toBe('1.500+0.250');
    expect(section('Negative log-likelihood of the references').querySelector('.worse').textContent).toBe('+0.250');
    expect(table('Settings of the evaluations that differ')).toEqual({
      setting: ['tuned', 'pretrained', 'part'],
      model: ['m', 'm', 'n'],
    });
    // On task a all three share prompts, and the one on which they differ comes first; task b has two speakers.
    expect(texts('article h3')).toEqual(['a', 'a', 'a', 'b', 'b', 'b', 'c']);
    expect(texts('article:first-of-type dd').slice(0, 4)).toEqual(['✗ x', '✗ right 0', '✗ (nothing)', 'right 0']);
    expect(texts('.facts dd')).toContain('beams 4');
  });

  test('runs: curves, the other tasks, the best step by the rule of the run, costs', async () => {
    const lines = (loss: number, kept: readonly [number, number]) => [
      keepLine(0, 60, 0),
      ...[10, 20].map((step) => stepLine(step, loss / step)),
      evaluationLine(10, 61.5),
      keepLine(10, kept[0], 12.5),
      ...[30, 40].map((step) => stepLine(step, loss / step)),
      evaluationLine(40, 70.25),
      keepLine(40, kept[1], 62.5),
    ];
    const plain = run('plain', lines(50, [40, 20]));
    const careful = run('careful', lines(40, [58, 20]), { seed: 1, stage1: { steps: 40 }, keep: { tolerance: 5 } });
    writeFileSync(
      join(plain, 'samples', 'model-000040.jsonl'),
      `${JSON.stringify({ input: 'in?', output: 'True', score: 0, trimmed: 'True', references: ['False'] })}\n`,
    );
    writeFileSync(
      join(careful, 'samples', 'model-000010.jsonl'),
      `${JSON.stringify({ input: 'in?', output: 'False', score: 0, trimmed: 'False', references: ['False'] })}\n`,
    );
    const out = join(folder, 'report-runs');
    const { files } = await makeReport({ folders: [plain, careful], out });
    const figures = ['training-loss', 'validation', 'keep-average', 'keep-nll', 'form-share', 'trade-off'];
    expect(files.slice(2).map((path) => basename(path, '.svg'))).toEqual(figures);
    const { table, texts } = open(out);
    expect(table('Training runs')).toEqual({
      run: ['method', 'task', 'best step', 'validation score', 'validation loss', 'wic', 'cb', 'mean of the others'],
      plain: ['fine-tune', 'rte', '40', '70.3', '1.125', '20.0−40.0', '30.0−40.0', '25.0−40.0'],
      careful: ['fine-tune', 'rte', '10', '61.5', '1.125', '58.0−2.0', '68.0−2.0', '63.0−2.0'],
    });
    const described = texts('figure desc');
    expect(described[0]).toContain('plain: (10, 5) to (40, 1.25), 4 points; careful: (10, 4) to (40, 1)');
    expect(described[1]).toContain('plain: (10, 61.5) to (40, 70.25)');
    expect(described[2]).toContain('plain: (0, 65) to (40, 25), 3 points; careful: (0, 65) to (40, 25)');
    expect(described[3]).toContain('plain: (0, 2) to (40, 2)');
    expect(described[4]).toContain('plain: (0, 0) to (40, 62.5)');
    expect(described[5]).toContain('plain: (61.5, -20), 40 (70.25, -40); careful: (61.5, -2), 40 (70.25, -40)');
    expect(table('Costs')['plain, model']).toEqual(['40', '2.0', '250', '1.50']);
    expect(table('Settings of the training runs that differ')).toMatchObject({
      seed: ['0', '1'],
      'keep.tolerance': ['–', '5'],
    });
    expect(texts('article dd')).toEqual(['✗ True', '✗ False', 'False']);
    expect(texts('.facts dd')).toContain('stage1.steps 40');
    expect(texts('.facts dd')).toContain('libtorch 2.13.0, cores 2');
  });

  test('one run has a line for each of the other tasks; a line that is being written is left out', async () => {
    const one = run('one', [keepLine(0, 60, 0), stepLine(10, 3), keepLine(10, 50, 5)], undefined, '\n{"stage": "mo');
    const out = join(folder, 'report-one');
    await makeReport({ folders: [one], out });
    const { texts, section } = open(out);
    expect(section('Each of the other tasks').querySelector('desc').textContent).toContain('cb: (0, 70) to (10, 60)');
    expect(texts('h2')).not.toContain('Validation');
    expect(texts('h2')).not.toContain('Gain and loss');
  });

  test('what is no folder of ours, or damaged, is named, and nothing is written', async () => {
    const out = join(folder, 'report-none');
    const make = (...folders: string[]) => makeReport({ folders, out });
    const good = run('good', [stepLine(1, 1)]);
    mkdirSync(join(folder, 'empty'));
    await expect(make()).rejects.toThrow('a report needs folders');
    await expect(make(good, join(folder, 'empty'))).rejects.toThrow(
      'neither a training run (run.json) nor an evaluation (results.json)',
    );
    await expect(make(good, join(folder, 'nowhere'))).rejects.toThrow('nowhere: no such folder');
    await expect(make(good, `${good}/`)).rejects.toThrow('is named twice');
    await expect(make(run('no-number', [{ ...stepLine(1, 1), loss: 'x' }]))).rejects.toThrow(
      /metrics\.jsonl line 1: loss: /u,
    );
    await expect(make(run('no-json', [], {}, 'nonsense\n'))).rejects.toThrow('metrics.jsonl line 1: malformed JSON');
    await expect(make(run('no-score', [{ stage: 'model', step: 1, evalLoss: 1 }]))).rejects.toThrow('without a score');
    await expect(
      make(evaluation('escapes', [{ task: 'a', score: 1, outputs: [], more: { task: '../a' } }])),
    ).rejects.toThrow(/results\.json: tasks\.0\.task: /u);
    expect(() => readFileSync(join(out, 'index.html'))).toThrow();
  });

  test('two folders of one name are told apart', async () => {
    const folders = [run('x/same', [stepLine(1, 1)]), run('y/same', [stepLine(1, 1)])];
    const out = join(folder, 'report-same');
    await makeReport({ folders, out });
    expect(Object.keys(open(out).table('Training runs')).slice(1)).toEqual(folders);
  });
});

test('folders that training and evaluation made', async () => {
  const model = fileURLToPath(new URL('../../golden/models/t5-v1.1', import.meta.url));
  const line = (i: number) => `${JSON.stringify({ question: `Is ${i} odd?`, label: i % 2 ? 'True' : 'False' })}\n`;
  writeFileSync(join(folder, 'train.jsonl'), Array.from({ length: 8 }, (_, i) => line(i)).join(''));
  writeFileSync(join(folder, 'validation.jsonl'), Array.from({ length: 4 }, (_, i) => line(i)).join(''));
  const task = join(folder, 'odd.yaml');
  const yaml = [
    'name: odd',
    'files: { train: train.jsonl, validation: validation.jsonl }',
    'input: "{question} answer:"',
  ];
  writeFileSync(task, [...yaml, 'target: "{label}"', 'labels: ["True", "False"]', 'metric: accuracy', ''].join('\n'));
  const stage = { steps: 2, keepEvery: 1 };
  const settings = {
    precision: 'fp32',
    batchSize: 4,
    beams: 1,
    promptLength: 3,
    stage1: stage,
    stage2: stage,
    keep: { tasks: [otherTask(folder)], shots: 0, limit: 2 },
  };
  const run = join(folder, 'real-run');
  await train({ model, task, method: 'promot', out: run, settings });
  const results = ['real-pretrained', 'real-tuned'].map((name) => join(folder, name));
  await evaluateTasks({ model, tasks: [task], beams: 1, nll: true, out: results[0]! });
  await evaluateTasks({ model: run, prompt: run, tasks: [task], beams: 1, nll: true, out: results[1]! });

  const out = join(folder, 'report-real');
  await makeReport({ folders: [run, ...results], out });
  const { table, texts } = open(out);
  const [stored] = JSON.parse(readFileSync(join(results[1]!, 'results.json'), 'utf8')).tasks;
  expect(table('Scores')['real-tuned']![0]).toContain(stored.score.toFixed(1));
  expect(table('Negative log-likelihood of the references')['real-tuned']![0]).toContain(stored.nll.toFixed(3));
  expect(table('Training runs').run).toContain('shades');
  expect(Object.keys(table('Costs'))).toEqual(['run and stage', 'real-run, prompt', 'real-run, model']);
  const losses = readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .flatMap((text) => (text.includes('"loss"') ? [JSON.parse(text) as { loss: number }] : []));
  expect(losses).toHaveLength(4);
  for (const { loss } of losses) expect(texts('figure desc').join('\n')).toContain(String(Number(loss.toPrecision(6))));
  expect(texts('article h3')).toContain('odd');
});

test('outputs stand side by side where the prompts are the same', () => {
  const said = (...inputs: string[]) =>
    inputs.map((input) => ({ input, output: `${input}!`, reference: 'r', score: input === '2' ? 0 : 50 }));
  const speaker = (name: string, task: string, ...inputs: string[]) => ({
    name,
    tasks: new Map([[task, said(...inputs)]]),
  });
  const found = sideBySides([speaker('a', 't', '1', '2'), speaker('b', 't', '2', '3'), speaker('c', 't', '4')], 5);
  expect(found).toEqual([
    {
      names: ['a', 'b'],
      items: [{ task: 't', input: '2', reference: 'r', outputs: ['2!', '2!'], right: [false, false] }],
    },
  ]);
  // Who alone has a task shows its own outputs, the wrong ones first.
  expect(sideBySides([speaker('a', 't', '1', '2'), speaker('b', 'u', '1')], 1)).toEqual([
    { names: ['a'], items: [{ task: 't', input: '2', reference: 'r', outputs: ['2!'], right: [false] }] },
    { names: ['b'], items: [{ task: 'u', input: '1', reference: 'r', outputs: ['1!'], right: undefined }] },
  ]);
});

test('right and answered labels are counted', () => {
  const sample = (reference: string, output: string) => ({ input: '', output, reference, score: 0 });
  const samples = [sample('yes', 'yes'), sample('yes', 'no, never'), sample('no', 'no'), sample('no', 'maybe')];
  const [section] = confusionSection('run', 'odd', samples);
  expect(section!.table!.columns).toEqual(['right label', 'no', 'yes', 'none of them']);
  const counts = section!.table!.rows.map(({ name, cells }) => [name, ...cells.map(({ value }) => value)]);
  expect(counts).toEqual([
    ['no', 1, 0, 1],
    ['yes', 1, 1, 0],
  ]);
  const texts = ['a', 'b', 'c'].map((text) => sample(text, text));
  expect(confusionSection('run', 'free', texts)).toEqual([]);
});

test('a title and a headline from the numbers', () => {
  const task = (name: string, score: number) => ({ task: name, shots: 0, score });
  const evaluation = (name: string, ...tasks: object[]) =>
    ({ name, evaluation: { tasks } }) as unknown as NamedEvaluation;
  const all = [
    evaluation('pretrained', task('a', 0), task('b', 90)),
    evaluation('tuned', task('a', 95), task('b', 60)),
  ];
  expect(titleOf([], all)).toBe('pretrained and tuned on a and b');
  expect(headlineOf([], all)).toBe('tuned beside pretrained: most gained a (+95.0), most lost b (−30.0).');
  expect(headlineOf([], all.slice(0, 1))).toBeUndefined();
});
