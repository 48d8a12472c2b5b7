// What is measured at checkpoints: the caller's own questions, and the keep list.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { noGrad, scope, watchTensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { readMetrics } from '../src/artifacts/metrics-file.js';
import { evaluateLoaded } from '../src/evaluation/evaluate-loaded.js';
import { loadFolder } from '../src/models/load.js';
import { openModel } from '../src/open/open.js';
import { loadTask } from '../src/tasks/registry.js';
import { type CheckpointMoment, type TrainRequest, train, type WorkEvent } from '../src/training/train.js';
import { goldenModel, otherTask, smallSettings, smallTask } from './small-task.js';

const { folder, task } = smallTask();
const other = otherTask(folder);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const request = (out: string, more: Partial<TrainRequest> = {}): TrainRequest => ({
  model: goldenModel('t5-v1.1'),
  task,
  method: 'promot',
  out: join(folder, out),
  settings: smallSettings,
  ...more,
});

interface Line {
  stage: string;
  step: number;
  loss?: number;
  evalLoss?: number;
  asked?: string;
  keep?: { task: string; metric: string; score: number; formShare?: number; nll: number }[];
  keepAverage?: number;
}
const metricsOf = (out: string): Line[] => readMetrics(join(folder, out)) as Line[];

describe('atCheckpoint', () => {
  const ask = async ({ stage, step }: CheckpointMoment) => ({ asked: `${stage} ${step}`, step: 'not this' });
  const asked = (out: string) => metricsOf(out).filter((line) => line.asked !== undefined);
  const expected = ['prompt', 'model'].flatMap((stage) =>
    [0, 2, 4, 6].map((step) => ({ type: 'own', stage, step, asked: `${stage} ${step}` })),
  );

  test('is called at step 0 of each stage and after the evaluation of checkpoints; each line stands once', async () => {
    const left = watchTensors();
    const order: string[] = [];
    await train(
      request('asked', {
        onEvent: ({ type }) => type === 'evaluation' && order.push(type),
        atCheckpoint: (at) => {
          order.push(`${at.stage} ${at.step}`);
          return ask(at);
        },
      }),
    );
    expect(left()).toBe(0);
    expect(asked('asked')).toEqual(expected);
    expect(order.slice(0, 4)).toEqual(['prompt 0', 'evaluation', 'prompt 2', 'evaluation']);
  });

  test('changes nothing of the run; the model at step 0 is the base, the prompt is the one in use', async () => {
    const base = loadFolder(goldenModel('t5-v1.1'), 'float32').model;
    const rows: number[][] = [];
    await train(
      request('seen', {
        atCheckpoint: async ({ stage, step, loaded, prompt, prompts }) => {
          if (stage !== 'model') return undefined;
          rows.push(prompt!.toNumbers());
          expect([...prompts.keys()]).toEqual(['colours']);
          const same = [...loaded.model.parameters].every(([name, p]) => p.equal(base.parameters.get(name)!));
          expect(same).toBe(step === 0);
          expect([...loaded.model.parameters.values()].every((p) => p.grad === undefined)).toBe(true);
          return undefined;
        },
      }),
    );
    expect(rows).toEqual([rows[0], rows[0], rows[0], rows[0]]);
    const plain = (out: string) =>
      metricsOf(out).flatMap(({ stage, step, loss, evalLoss, asked: own }) =>
        own === undefined ? [{ stage, step, loss, evalLoss }] : [],
      );
    expect(plain('seen')).toEqual(plain('asked'));
  });

  test('stopped while it works: the line is made up when the run goes on, and never twice', async () => {
    const abort = new AbortController();
    const stopped = await train(
      request('ask-stopped', {
        signal: abort.signal,
        atCheckpoint: async (at) => {
          if (at.stage !== 'model' || at.step !== 2) return ask(at);
          abort.abort();
          throw abort.signal.reason;
        },
      }),
    );
    expect(stopped.finished).toBe(false);
    expect(asked('ask-stopped')).toEqual(expected.slice(0, 5));
    await train(request('ask-stopped', { resume: true, atCheckpoint: ask }));
    expect(asked('ask-stopped')).toEqual(expected);
    await train(request('ask-stopped', { resume: true, atCheckpoint: ask }));
    expect(asked('ask-stopped')).toEqual(expected);
  });
});

describe('the keep list', () => {
  const settings = (more: object = {}) => ({
    ...smallSettings,
    keep: { tasks: [other], shots: 1, limit: 4, ...more },
  });
  const kept = (out: string) => metricsOf(out).filter((line) => line.keep !== undefined);
  const labels = ['True', 'False'];
  const expectedOf = async (model: string) => {
    const loaded = await openModel(model, 'float32');
    const options = { shots: 1, limit: 4, beams: 1, labels, nll: true };
    const result = await evaluateLoaded(loaded, await loadTask(other), options);
    const { metric, score, interval, formShare, nll, nllInterval } = result;
    return { task: 'shades', metric, score, interval, formShare, nll, nllInterval };
  };

  test('is evaluated before and along the stage that trains the model, without the prompt', async () => {
    const events: WorkEvent[] = [];
    const result = await train(
      request('keep', { settings: settings({ tolerance: 100 }), onEvent: (e) => events.push(e) }),
    );
    expect(kept('keep').map(({ stage, step }) => [stage, step])).toEqual([0, 2, 4, 6].map((step) => ['model', step]));
    expect(kept('keep')[0]!.keep).toEqual([await expectedOf(goldenModel('t5-v1.1'))]);
    const best = result.stages[1]!.best;
    const line = kept('keep').find(({ step }) => step === best.step)!;
    expect(line.keep).toEqual([await expectedOf(join(folder, 'keep'))]);
    expect(line.keepAverage).toBe(line.keep![0]!.score);
    expect(best.keepAverage).toBe(line.keepAverage);
    expect(events.filter(({ type }) => type === 'keep').length).toBe(4);
    expect(events.find((e) => e.type === 'best' && e.stage === 'model')).toMatchObject({
      lost: kept('keep')[0]!.keepAverage! - best.keepAverage!,
    });
  });

  test('with LoRA in the first stage, that is off meanwhile and on again after', async () => {
    const stage1 = { ...smallSettings.stage1, learningRate: 0.1 };
    const examples = [{ input: [5, 6, 7, 1], target: [8, 1] }];
    const base = loadFolder(goldenModel('t5-v1.1'), 'float32').model;
    const plain = scope(() => noGrad(() => base.logits(examples)).toNumbers());
    await train(
      request('keep-lora', {
        method: 'lora-first',
        settings: { ...settings(), stage1 },
        atCheckpoint: async ({ stage, step, loaded }) => {
          if (stage === 'model' && step === 0)
            expect(scope(() => noGrad(() => loaded.model.logits(examples)).toNumbers())).not.toEqual(plain);
          return undefined;
        },
      }),
    );
    expect(kept('keep-lora')[0]!.keep).toEqual([await expectedOf(goldenModel('t5-v1.1'))]);
  });

  test('where every checkpoint loses too much, a note says so', async () => {
    // A score that can fall, and does: what the keep task expects is what the untrained model says.
    const said = await sayings(goldenModel('t5-v1.1'));
    const events: WorkEvent[] = [];
    const stage2 = { ...smallSettings.stage2, learningRate: 0.2 };
    const own = { ...settings({ tasks: [said], shots: 0, tolerance: 0 }), stage2 };
    const result = await train(
      request('lossy', { method: 'fine-tune', settings: own, onEvent: (e) => events.push(e) }),
    );
    const averages = kept('lossy').map(({ keepAverage }) => keepAverage!);
    expect(averages[0]).toBe(100);
    expect(Math.max(...averages.slice(1))).toBeLessThan(100);
    expect(result.stages[0]!.best.keepAverage).toBe(Math.max(...averages.slice(1)));
    const notes = events.flatMap((event) => (event.type === 'note' ? [event.text] : []));
    expect(notes.at(-1)).toMatch(/every checkpoint lost more than 0 points.*lost least/);
  });

  describe('at a rate that is too high', () => {
    const notesOf = (events: readonly WorkEvent[]) => events.flatMap((e) => (e.type === 'note' ? [e.text] : []));
    const lossy = async (more: object) => {
      const said = await sayings(goldenModel('t5-v1.1'));
      return {
        ...settings({ tasks: [said], shots: 0 }),
        stage2: { ...smallSettings.stage2, learningRate: 0.2, ...more },
      };
    };
    const stepsOf = (out: string) => metricsOf(out).filter(({ loss }) => loss !== undefined);
    const weightsOf = (out: string) => readFileSync(join(folder, out, 'model/model.safetensors'));

    test('warns of the task, says from what to what, and what to do', async () => {
      const events: WorkEvent[] = [];
      const own = await lossy({});
      await train(request('warned', { method: 'fine-tune', settings: own, onEvent: (e) => events.push(e) }));
      // Notes on the data come before it.
      expect(notesOf(events).find((text) => text.startsWith('stage'))).toMatch(
        /^stage model step 2: the keep list is being lost\. sayings: its references cost \d.*nats.*stage2\.learningRate/,
      );
      expect(stepsOf('warned').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    });

    test('learningRate=auto goes back to the last good checkpoint and on at a third, also over a stop', async () => {
      const events: WorkEvent[] = [];
      const own = await lossy({ lowerRate: true });
      await train(request('auto', { method: 'fine-tune', settings: own, onEvent: (e) => events.push(e) }));
      expect(
        notesOf(events).filter((text) => /goes back to step 0 and on at a learning rate of 0\.067/.test(text)),
      ).toHaveLength(1);
      expect(stepsOf('auto').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
      const rates = metricsOf('auto').flatMap((line) => (line as { learningRate?: number }).learningRate ?? []);
      expect(rates[0]).toBeLessThan(0.2);
      expect(rates).toEqual([...rates].sort((a, b) => b - a));

      const abort = new AbortController();
      let steps = 0;
      const onEvent = (event: WorkEvent) => event.type === 'step' && ++steps === 4 && abort.abort();
      const stopped = { method: 'fine-tune', settings: own, onEvent, signal: abort.signal };
      expect((await train(request('auto-stopped', stopped))).finished).toBe(false);
      await train(request('auto-stopped', { method: 'fine-tune', settings: own, resume: true }));
      expect(weightsOf('auto-stopped')).toEqual(weightsOf('auto'));
      expect(stepsOf('auto-stopped').map(({ step, loss }) => [step, loss])).toEqual(
        stepsOf('auto').map(({ step, loss }) => [step, loss]),
      );
    });

    test.each<[string, string, object, RegExp]>([
      ['a keep list', 'fine-tune', { stage2: { learningRate: 'auto' } }, /auto needs keep\.tasks/],
      [
        'a stage that trains the model',
        'promot',
        { ...settings(), stage1: { learningRate: 'auto' } },
        /auto is for stages/,
      ],
    ])('learningRate=auto needs %s', async (_name, method, own, message) => {
      await expect(train(request('refused', { method, settings: { ...smallSettings, ...own } }))).rejects.toThrow(
        message,
      );
    });
  });

  /** A task whose references are what a model says to its inputs. */
  async function sayings(model: string): Promise<string> {
    const { samples } = await evaluateLoaded(await openModel(model, 'float32'), await loadTask(other), { beams: 1 });
    const place = join(folder, 'sayings');
    mkdirSync(place, { recursive: true });
    const lines = samples.map(({ input, trimmed }) => JSON.stringify({ input, said: trimmed || 'nothing' }));
    writeFileSync(join(place, 'validation.jsonl'), `${lines.join('\n')}\n`);
    const yaml =
      'name: sayings\nfiles: { validation: validation.jsonl }\ninput: "{input}"\ntarget: "{said}"\nmetric: ' +
      'exact-match\n';
    writeFileSync(join(place, 'task.yaml'), yaml);
    return join(place, 'task.yaml');
  }

  test.each<[string, object, RegExp]>([
    ['an unknown task', { keep: { tasks: ['triviaqa'] } }, /unknown task "triviaqa".*trivia-qa/],
    ['a tolerance without tasks', { keep: { tolerance: 1 } }, /keep\.tolerance: keep\.tasks names no task/],
    ['a task twice', { keep: { tasks: [other, other] } }, /keep\.tasks: task shades is named twice/],
    ['an unknown task to replay', { replay: { tasks: ['wics'], share: 0.5 } }, /unknown task "wics".*wic/],
    ['a share of nothing', { replay: { share: 0.5 } }, /replay\.share: replay\.tasks names no task/],
    ['no share', { replay: { tasks: [other] } }, /replay\.tasks: replay\.share is 0/],
  ])('%s is refused before anything is written', async (_name, own, message) => {
    await expect(train(request('refused', { settings: { ...smallSettings, ...own } }))).rejects.toThrow(message);
    expect(existsSync(join(folder, 'refused'))).toBe(false);
  });
});
