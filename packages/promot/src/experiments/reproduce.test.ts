// Experiments end to end on a tiny golden model: stopped, gone on with, shared between experiments, reported. Seconds.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { watchTensors } from '@promot/torch';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { smallModel } from '../../../core/test/small-task.js';
import { findExperiment } from './catalogue/index.js';
import { execute } from './execute.js';
import { ExperimentFolder } from './folder.js';
import { measureOf } from './numbers.js';
import { plan } from './plan.js';
import { outlook, type ReproduceRequest, reproduce } from './reproduce.js';
import { scales } from './scales.js';
import type { RowNumbers } from './tables.js';

const model = smallModel();
// Seconds on a free machine; ten times that where something else trains.
vi.setConfig({ testTimeout: 600_000 });

let out: string;
beforeAll(() => {
  out = mkdtempSync(join(tmpdir(), 'promot-reproduce-'));
});
afterAll(() => rmSync(out, { recursive: true, force: true }));

const request = (name: string, more: Partial<ReproduceRequest> = {}): ReproduceRequest => ({
  name,
  model,
  out,
  limit: 1,
  settings: {
    batchSize: 2,
    microBatchSize: 2,
    promptLength: 2,
    validationLimit: 1,
    stage1: { steps: 1, keepEvery: 1 },
    stage2: { steps: 2, keepEvery: 1 },
    keep: { limit: 1 },
  },
  ...more,
});
const results = (name: string) =>
  JSON.parse(readFileSync(join(out, name, 'results.json'), 'utf8')) as { results: unknown; facts: object };

test('a table: Ctrl-C in the middle of a run, then on to the report', async () => {
  const left = watchTensors();
  const abort = new AbortController();
  const done: string[] = [];
  let isRandom = false;
  const stopped = await reproduce(
    request('table-3', {
      signal: abort.signal,
      onEvent: (event) => {
        if (event.type === 'job-done') done.push(event.name);
        if (event.type === 'job') isRandom = event.name.includes('random-prompt');
        if (event.type === 'step' && isRandom && event.stage === 'model' && event.step === 1) abort.abort();
      },
    }),
  );
  expect(stopped).toMatchObject({ finished: false, files: [] });
  expect(stopped.jobs.filter((job) => job.done).map(({ name }) => name)).toEqual(done);
  expect(done.length).toBeGreaterThan(2);
  const stoppedRun = stopped.jobs.find(({ name }) => name.startsWith('random-prompt'))!;
  expect(readdirSync(join(out, 'runs', stoppedRun.name, 'checkpoints'))).toHaveLength(1);

  const rest: string[] = [];
  const whole = await reproduce(
    request('table-3', { onEvent: (event) => event.type === 'job-done' && rest.push(event.name) }),
  );
  expect(left()).toBe(0);
  expect(whole.finished).toBe(true);
  expect([...done, ...rest].sort()).toEqual(whole.jobs.map(({ name }) => name).sort());
  for (const file of whole.files) expect(existsSync(file)).toBe(true);
  expect(existsSync(join(out, 'runs', stoppedRun.name, 'checkpoints'))).toBe(false);

  const rows = results('table-3').results as RowNumbers[];
  expect(rows.map(({ label }) => label)).toEqual([
    'Pretrained',
    'Joint fine-tuning',
    'Fine-tuning + 1-shot',
    'Fine-tuning with random prompt',
    'ProMoT + 1-shot',
    'Standard fine-tuning',
    'ProMoT',
  ]);
  const promot = rows[4]!;
  expect(promot.targets.rte).toMatchObject({ paper: 93.86, interval: [expect.any(Number), expect.any(Number)] });
  const { scores, nll, average } = promot.unseen[0]!;
  expect(scores['trivia-qa']).toMatchObject({ paper: 17.82 });
  expect(Object.keys(scores)).toHaveLength(7);
  expect(nll.value).toBeGreaterThan(0);
  expect(nll.difference).toBeCloseTo(nll.value - rows[0]!.unseen[0]!.nll.value, 9);
  expect(average.value).toBeCloseTo(Object.values(scores).reduce((sum, { value }) => sum + value, 0) / 7, 9);
  expect(readFileSync(join(out, 'table-3', 'report.md'), 'utf8')).toContain('93.86');
});

test('another experiment takes over what it shares; prompt tuning trains nothing; seeds have a spread', async () => {
  const done: string[] = [];
  const { all, left } = outlook(request('table-6'));
  expect(left.runs).toBe(all.runs - 1);
  const { finished } = await reproduce(
    request('table-6', { seeds: 2, onEvent: (event) => event.type === 'job-done' && done.push(event.name) }),
  );
  expect(finished).toBe(true);
  expect(
    done.filter((name) => /^promot-1-shot-[^+]*-s\d-[0-9a-f]{12}$/u.test(name) && !name.includes('-on-')),
  ).toHaveLength(3);
  const rows = results('table-6').results as RowNumbers[];
  expect(rows[1]!.targets['wmt14-en-fr']!.paper).toBe(41.19);
  expect(rows.every(({ unseen }) => unseen.length === 0)).toBe(true);
});

test('figures along training, with gradients, from the same runs', async () => {
  await reproduce(request('figure-7'));
  const [fineTune] = results('figure-7').results as {
    seeds: { step: number; score?: number; keep: { task: string }[]; alignment: Record<string, number> }[][];
  }[];
  const [seed] = fineTune!.seeds;
  expect(seed!.map(({ step }) => step)).toEqual([0, 1, 2]);
  for (const { alignment, keep } of seed!) {
    expect(Math.abs(alignment.mlp!)).toBeLessThanOrEqual(1);
    expect(keep.map(({ task }) => task)).toEqual(['lab-closed-book', 'lab-reading', 'lab-translation']);
  }
  expect(seed!.map(({ score }) => score !== undefined)).toEqual([false, true, true]);
  expect(outlook(request('figure-1')).left).toMatchObject({ runs: 0, evaluations: 0 });
  const { files } = await reproduce(request('figure-1'));
  expect(files.some((file) => file.endsWith('figure-1-nll.svg'))).toBe(true);
  const report = readFileSync(join(out, 'figure-1', 'report.md'), 'utf8');
  expect(report).toMatch(/## At equal score on the target.*\| Before \|.*\| Standard fine-tuning \|.*\| ProMoT \|/su);
});

test('a trade-off: WiSE-FT mixes the long run, and is asked what its checkpoints are asked', async () => {
  const methods = ['fine-tune', 'wise-ft-0.5'];
  const { jobs } = outlook(request('figure-6', { methods }));
  expect(jobs.map(({ kind }) => kind)).toEqual(['run', 'interpolation', 'evaluation', 'evaluation']);
  const { files } = await reproduce(request('figure-6', { methods }));
  for (const name of ['figure-6-nll.svg', 'figure-6-form.svg'])
    expect(files.some((file) => file.endsWith(name))).toBe(true);
  const [, mixed] = results('figure-6').results as { seeds: { score: number; keep: { task: string }[] }[][] }[];
  expect(mixed!.seeds[0]!).toHaveLength(1);
  expect(mixed!.seeds[0]![0]!.keep.map(({ task }) => task)).toEqual([
    'lab-cb',
    'lab-wic',
    'lab-translation',
    'lab-translation-enro',
  ]);
  const planned = plan(findExperiment('figure-6'), { scale: scales[0]!, seeds: [0] }).jobs.values();
  const ofMixed = [...planned].filter((job) => job.kind === 'evaluation');
  expect(new Set(ofMixed.map(({ split, limit, tasks }) => `${split} ${limit} ${tasks.length}`))).toEqual(
    new Set(['validation 200 1', 'undefined 60 4']),
  );
  // Without a run's course there is nothing to compare along training.
  const alone = await reproduce(request('figure-6', { methods: ['wise-ft-0.5'] }));
  expect(alone.finished).toBe(true);
});

test('seeds that differ have a spread, also where they come to the same; brackets are their mean', () => {
  const same = { value: 100, interval: [90, 100] as const };
  expect(measureOf([same, same])).toEqual({ value: 100, seeds: [100, 100], spread: 0, interval: [90, 100] });
  expect(
    measureOf([
      { value: 1, interval: [0, 2] },
      { value: 3, interval: [2, 6] },
    ]),
  ).toMatchObject({
    value: 2,
    interval: [1, 4],
    spread: Math.SQRT2,
  });
});

test('a job of another process is waited for; the lock of a process that is gone counts for nothing', async () => {
  const folder = new ExperimentFolder(join(out, 'shared'));
  const [job] = plan(findExperiment('table-6'), { scale: scales[0]!, seeds: [0] }).jobs.values();
  const lock = join(folder.path, 'jobs', job!.name, 'lock');
  mkdirSync(dirname(lock), { recursive: true });
  writeFileSync(lock, JSON.stringify({ pid: process.ppid, host: hostname() }));
  expect(await folder.claim(job!)).toBeUndefined();
  const lines: string[] = [];
  const waits = execute([job!], {
    folder,
    onEvent: (event) => {
      if (event.type !== 'note') return;
      lines.push(event.text);
      // The other one finishes.
      mkdirSync(folder.of(job!), { recursive: true });
      void folder.finish(job!, { seconds: 1 });
    },
  });
  expect(await waits).toBe(true);
  expect(lines).toEqual([expect.stringMatching(/^waiting for 1 job of other processes\. .*lock/u)]);
  writeFileSync(lock, JSON.stringify({ pid: 999_999_999, host: hostname() }));
  const release = await folder.claim(job!);
  expect(release).toBeDefined();
  await release!();
  expect(existsSync(lock)).toBe(false);
  // What says that the job is done is damaged.
  const marker = join(dirname(lock), 'finished.json');
  for (const text of ['null', '{"seconds":"1"}', '{']) {
    writeFileSync(marker, text);
    expect(() => folder.finished(job!)).toThrow(marker);
  }
});

test('what is wrong is said before anything is done', async () => {
  await expect(reproduce(request('table-33'))).rejects.toThrow(/did you mean table-3/u);
  await expect(reproduce(request('rte', { scale: 'huge' }))).rejects.toThrow(/unknown scale "huge": there are lab/u);
  await expect(reproduce(request('table-9', { model: 'no-such-model' }))).rejects.toThrow(
    /table-9 at scale lab needs a model: no-such-model/u,
  );
  // A data folder that lacks one of the tasks, the last to be evaluated.
  const data = join(out, 'data');
  for (const task of ['rte', 'cb', 'wic', 'trivia_qa', 'web_questions', 'multi30k_en_de', 'multi30k_en_cs']) {
    mkdirSync(join(data, task), { recursive: true });
    writeFileSync(join(data, task, 'train.jsonl'), '');
  }
  const away = join(out, 'away');
  await expect(reproduce(request('rte', { scale: 'small', data, out: away }))).rejects.toThrow(
    /no data for task xsum: there is no folder .*xsum/u,
  );
  expect(existsSync(away)).toBe(false);
});
