// The real experiment end to end, on a golden model of a few thousand numbers: what is written, resumed and reported.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { UserError } from '@promot/core/base';
import { loadTask } from '@promot/core/tasks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { smallModel } from '../../../../core/test/small-task.js';
import { planReal } from './cost.js';
import { looksOf, runReal } from './experiment.js';
import { loadAsked } from './kept.js';
import { looksOfArm, looksPath } from './looks.js';
import { realReport } from './report.js';
import type { RealRequest } from './request.js';
import { findTarget, targets } from './targets.js';
import { readAbsorbed } from './why.js';

const bin = fileURLToPath(new URL('../../../bin/promot.js', import.meta.url));
const shared = fileURLToPath(new URL('../../../../../../shared/data', import.meta.url));
const model = smallModel('llama');
const out = mkdtempSync(join(tmpdir(), 'promot-real-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

/** The first lines of every split: enough to run, and quick. */
const data = join(out, 'data');
const firstLines = { train: 17, validation: 6, test: 6 } as const;

/** The end of what is long, such as articles and passages. */
const short = (line: string) =>
  JSON.stringify(
    JSON.parse(line, (_, value) => (typeof value === 'string' && value.length > 120 ? value.slice(-120) : value)),
  );

function copyFirstLines(): void {
  const sets = [
    'snli',
    'rte',
    'wic',
    'arc_easy',
    'piqa',
    'lambada_openai',
    'hellaswag',
    'winogrande',
    'boolq',
    'xsum',
    'web_questions',
    'newstest2014_fr_en',
    'newstest2014_de_en',
    'multi30k_en_fr',
    'multi30k_en_de',
    'multi30k_en_cs',
    'wikitext2_raw',
  ];
  for (const set of sets) {
    mkdirSync(join(data, set), { recursive: true });
    for (const [split, count] of Object.entries(firstLines)) {
      const from = join(shared, set, `${split}.jsonl`);
      if (!existsSync(from)) continue;
      const lines = readFileSync(from, 'utf8').split('\n');
      // Few of Wikipedia's lines are paragraphs of the length that is replayed.
      const first = set === 'wikitext2_raw' ? lines.slice(0, 100) : lines.slice(0, count).map(short);
      writeFileSync(join(data, set, `${split}.jsonl`), first.join('\n'));
    }
  }
}

describe.skipIf(!existsSync(shared))('with real data (skipped where ../shared/data is absent)', () => {
  beforeAll(copyFirstLines);
  const lines: string[] = [];
  const request: RealRequest = {
    model,
    data,
    out: join(out, 'snli'),
    lengths: { prompt: 2, model: 2, look: 1 },
    only: ['fine-tune-0.00001', 'promot-0.00001'],
    limit: 2,
    kept: 'few',
    seed: 0,
    seeds: 1,
    target: 'snli',
    promptRate: 0.1,
    precision: 'fp32',
    onEvent: (event) => {
      if (event.type === 'job') lines.push(`${event.name}: begins`);
      if (event.type === 'job-done') lines.push(`${event.name}: done`);
      if (event.type === 'note' && event.text.startsWith('waits')) lines.push(event.text);
    },
  };

  test('every arm is trained once, its prompt first, also by two at once; a look at each kept checkpoint', async () => {
    const both = await Promise.all([runReal(request), runReal(request)]);
    expect(both).toEqual([true, true]);
    const begun = lines.filter((line) => line.endsWith('begins'));
    expect(begun.toSorted()).toEqual(
      ['before', 'fine-tune-0.00001', 'promot-0.00001', 'prompt'].map((arm) => `${arm}: begins`),
    );
    expect(lines.indexOf('prompt: done')).toBeLessThan(lines.indexOf('promot-0.00001: begins'));
    const looks = looksOf(request);
    expect(looks.map(({ arm, step, method }) => `${arm} ${step} ${method}`)).toEqual([
      'before 0 before',
      'prompt 1 prompt tuning',
      'prompt 2 prompt tuning',
      'fine-tune-0.00001 1 fine-tuning',
      'fine-tune-0.00001 2 fine-tuning',
      expect.stringMatching(/^fine-tune-0.00001 [12] early stopping$/u),
      'promot-0.00001 1 ProMoT',
      'promot-0.00001 2 ProMoT',
    ]);
    for (const { kept, examples, method, target } of looks) {
      for (const value of Object.values(kept)) expect(Number.isFinite(value)).toBe(true);
      expect(Object.keys(kept)).toEqual(
        method === 'prompt tuning'
          ? []
          : [
              'arc-easy',
              'piqa',
              'lambada-openai',
              'bits a byte',
              'nats, questions',
              'nats, En-Fr',
              'form, questions ending in "Answer:"',
              'form, questions ending in "A:"',
              'form, En-Fr',
            ],
      );
      // The mean of what the examples gave is what was found.
      const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
      expect(mean(examples!.target!)).toBeCloseTo(target, 3);
      for (const task of ['arc-easy', 'form, En-Fr'])
        if (task in kept) expect(mean(examples![task]!)).toBeCloseTo(kept[task]!, 3);
    }
    expect(looks.at(-1)!.targetWithoutPrompt).toBeTypeOf('number');
    // A finished run leaves no checkpoints; the models that mixtures need stay.
    expect(readdirSync(join(request.out, 'runs', 'promot-0.00001'))).not.toContain('checkpoints');
    expect(readdirSync(join(request.out, 'runs', 'promot-0.00001'))).toContain('model');
    lines.length = 0;
    expect(await runReal(request)).toBe(true);
    expect(lines).toEqual([]);
  }, 300_000);

  test('two processes that work together do each arm once, to the same looks', async () => {
    const place = join(out, 'together');
    const args = ['--model', model, '--data', data, '--out', place, '--only', 'snli,fine-tune-0.00001'];
    const set = ['limit=2', 'promptSteps=2', 'steps=2', 'look=1', 'precision=fp32'];
    const command = ['launch', '--processes', '2', 'reproduce', 'real', ...args, '--set', ...set, '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, [bin, ...command]);
    expect(JSON.parse(stdout)).toMatchObject({ files: expect.arrayContaining([expect.stringContaining('report')]) });
    const found = looksOf({ ...request, out: join(place, 'snli') });
    const wanted = looksOf(request).filter(({ arm }) => ['before', 'fine-tune-0.00001'].includes(arm));
    expect(found.map(({ arm, step }) => `${arm} ${step}`)).toEqual(wanted.map(({ arm, step }) => `${arm} ${step}`));
    found.forEach(({ target, kept }, i) => {
      expect(target).toBe(wanted[i]!.target);
      for (const [name, value] of Object.entries(wanted[i]!.kept)) expect(kept[name], name).toBeCloseTo(value, 3);
    });
  }, 300_000);

  test('a folder keeps its settings', async () => {
    await expect(runReal({ ...request, limit: 3 })).rejects.toThrow(/limit was 2, not 3/u);
    expect(await runReal({ ...request, seeds: 2, only: ['before'] })).toBe(true);
  });

  test('the plan says what is done and what is left', () => {
    const { arms, secondsLeft, rate } = planReal({ ...request, only: ['first'] });
    expect(arms.filter(({ done }) => done).map(({ arm }) => arm)).toEqual([
      'before',
      'prompt',
      'fine-tune-0.00001',
      'promot-0.00001',
    ]);
    expect(arms.find(({ arm }) => arm === 'fine-tune-0.00003')).toMatchObject({
      looks: 2,
      steps: { prompt: 0, model: 2 },
    });
    expect(secondsLeft).toBe(arms.reduce((sum, { seconds }) => sum + seconds, 0));
    expect(rate).toMatch(/a step of the model \(measured here\)/u);
  });

  test('looks of an earlier release, without examples, are reported', () => {
    const old = mkdtempSync(join(out, 'old-'));
    const strip = (line: string) => {
      const { look, ...rest } = JSON.parse(line);
      if (look) for (const key of ['examples', 'seconds']) delete look[key];
      return JSON.stringify(look ? { ...rest, look } : rest);
    };
    const copy = (name: string, to: string) =>
      writeFileSync(to, `${readFileSync(join(request.out, name), 'utf8').trim().split('\n').map(strip).join('\n')}\n`);
    copy('before.jsonl', join(old, 'before.jsonl'));
    const looks = looksOf({ ...request, out: old });
    expect(looks[0]!.examples).toBeUndefined();
    expect(realReport({ target: 'snli', looks, facts: [] }).sections[0]!.figure!.series[0]!.name).toBe('before');
  });

  test('rivals run, with all that is kept, and what a prompt absorbed is measured', async () => {
    const only = [
      'kl-0.1',
      'replay-0.1',
      'promot-wise-ft-0.00001',
      'promot-1-shot-0.00001',
      'promot-lora-8-0.0002',
      'absorbed',
    ];
    const all: RealRequest = {
      ...request,
      out: join(out, 'all'),
      kept: 'all',
      only,
      lengths: { prompt: 2, model: 1, look: 1 },
    };
    expect(await runReal(all)).toBe(true);
    const looks = looksOf(all);
    const of = (arm: string) => looks.filter((look) => look.arm === arm && look.method !== 'early stopping');
    expect(of('promot-wise-ft-0.00001').map(({ factor }) => factor)).toEqual([0.25, 0.5, 0.75]);
    expect(of('promot-wise-ft-0.00001')[0]!.targetWithoutPrompt).toBeTypeOf('number');
    for (const arm of only.filter((name) => !name.startsWith('absorbed'))) {
      const { kept } = of(arm).at(-1)!;
      expect(Object.keys(kept)).toEqual(
        expect.arrayContaining(['hellaswag', 'winogrande', 'boolq', 'bits a byte, Czech captions', 'KL, prompt off']),
      );
      expect(kept['KL, prompt off']).toBeGreaterThan(-1e-4);
      expect('KL, prompt on' in kept).toBe(arm.startsWith('promot'));
    }
    // A quarter of the way is nearer to where the model was than three quarters.
    const [near, , far] = of('promot-wise-ft-0.00001').map(({ kept }) => kept['KL, prompt off']!);
    expect(near).toBeLessThan(far!);
    const { loss, gradients, nearest } = readAbsorbed(all.out, 'absorbed')!;
    expect(loss.behind).not.toBe(loss.without);
    // 17 examples in batches of 16.
    expect(gradients).toHaveLength(2);
    for (const { without, behind, cosine } of gradients) {
      expect(Math.min(without, behind)).toBeGreaterThan(0);
      expect(Math.abs(cosine!)).toBeLessThanOrEqual(1);
    }
    expect(nearest).toHaveLength(20);
    expect(nearest[0]![0]!.cosine).toBeGreaterThan(nearest[0]![2]!.cosine);
    const { sections } = realReport({
      target: 'snli',
      looks,
      absorbed: new Map([['prompt', readAbsorbed(all.out, 'absorbed')!]]),
      facts: [],
    });
    expect(sections.map(({ heading }) => heading)).toContain('What the prompt absorbed');
  }, 600_000);

  test.each(targets.map(({ name }) => name))(
    '%s: inputs end as the target says, and its data are there',
    async (name) => {
      const { task, ending, form } = findTarget(name);
      const loaded = await loadTask(task.name, { data: shared });
      for (const split of ['train', 'validation'] as const) {
        const examples = await loaded.load(split);
        expect(examples.length).toBeGreaterThan(150);
        expect(examples.every(({ input }) => input.endsWith(ending))).toBe(true);
        if (form === 'json') expect(examples.every(({ target }) => JSON.parse(target).colors.length > 0)).toBe(true);
      }
    },
  );

  test('a target in French is told from English, and is asked for German', async () => {
    const { language, pair } = await loadAsked(shared, findTarget('multi30k-en-fr'), 4, 'few');
    expect(pair).toBe('En-De');
    expect(['Un homme marche dans la rue.', 'A man walks down the street.'].map((one) => language!.has(one))).toEqual([
      true,
      false,
    ]);
  });

  test('what is replayed are whole paragraphs', async () => {
    const examples = await (await loadTask('real-text', { data: shared })).load('train');
    expect(examples.length).toBeGreaterThan(500);
    expect(examples.every(({ input, target }) => input === '' && target.length >= 200 && target.length <= 600)).toBe(
      true,
    );
  });
});

test('a damaged look is refused by its line', () => {
  const arm = { name: 'before', group: 'first', method: 'before training', seed: 0, shots: 0 } as const;
  const path = looksPath(out, arm);
  const sound = '{"type":"look","step":0,"look":{"target":50,"kept":{"piqa":60}}}\n';
  writeFileSync(path, sound);
  expect(looksOfArm(out, arm)).toMatchObject([{ arm: 'before', target: 50, kept: { piqa: 60 } }]);
  for (const line of ['null', '{"look":null}', '{"look":{"target":"50","kept":{}}}']) {
    writeFileSync(path, `${sound}${line}\n`);
    expect(() => looksOfArm(out, arm)).toThrow(UserError);
    expect(() => looksOfArm(out, arm)).toThrow(`${path} line 2: `);
  }
});

test('an unknown target is refused', () => {
  expect(() => findTarget('snil')).toThrow(/no target "snil": the targets are snli, rte/u);
});
