// A run on a person's own data: settings that follow it, an early end, few files left, going on with nothing but the
// folder.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors, scope, watchTensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { readRun } from '../src/artifacts/run-file.js';
import type { ConfigInput, TrainingConfig } from '../src/methods/index.js';
import { resumeRequest } from '../src/training/resume.js';
import { type TrainRequest, train, type WorkEvent } from '../src/training/train.js';
import { smallModel, smallSettings, smallTask } from './small-task.js';

const { folder, task } = smallTask();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const at = (out: string) => join(folder, out);
const request = (out: string, settings: ConfigInput, more: Partial<TrainRequest> = {}): TrainRequest => ({
  model: smallModel(),
  task,
  method: 'fine-tune',
  out: at(out),
  settings,
  ...more,
});
const configOf = (out: string) => readRun(at(out)).config as TrainingConfig;
const checkpointsOf = (out: string) => readdirSync(join(at(out), 'checkpoints')).sort();
const weightsOf = (out: string) => readFileSync(join(at(out), 'model/model.safetensors'));
const { preset: _, ...small } = smallSettings;
const quick = { precision: 'fp32', promptLength: 3 };

describe('the settings', () => {
  test('of 24 examples of one’s own: batches, epochs and looks by their number; one line says so', async () => {
    const events: WorkEvent[] = [];
    const stage1 = { steps: 2 };
    const stop = new AbortController();
    const onEvent = (event: WorkEvent) => {
      events.push(event);
      if (event.type === 'step') stop.abort();
    };
    await train(request('own', { ...quick, stage1 }, { method: 'promot', onEvent, signal: stop.signal }));
    expect(configOf('own')).toMatchObject({
      preset: 'own',
      batchSize: 8,
      beams: 1,
      choose: 'one-standard-error',
      keepCheckpoints: false,
      stages: {
        stage1: { steps: 2, epochs: null, keepEvery: 20, patience: 3, learningRate: 1 },
        stage2: { steps: 60, epochs: 20, keepEvery: 20, patience: 2, learningRate: 0.001 },
      },
    });
    const start = events.find((event) => event.type === 'start');
    expect(start?.chosen).toMatch(
      /24 training examples of your own: batch 8; prompt of 3 rows: at most 2 steps, .*; model: at most 20 epochs \(60 steps\)/,
    );
    expect(start?.chosen).toContain('preset=paper');
  });

  test('that are given stay: steps in place of epochs, another batch, other epochs', async () => {
    await train(request('given', { ...quick, batchSize: 6, stage2: { epochs: 0.5, learningRate: 0.01 } }));
    expect(configOf('given').stages.stage2).toMatchObject({ epochs: 0.5, steps: 2, keepEvery: 20, learningRate: 0.01 });
    await expect(train(request('both', { stage2: { epochs: 1, steps: 3 } }))).rejects.toThrow(
      /stage2\.steps and stage2\.epochs: give one/,
    );
    expect(existsSync(at('both'))).toBe(false);
  });

  test('preset=paper has the paper’s, epochs with it count the paper’s batch', async () => {
    await train(request('paper', { ...quick, preset: 'paper', batchSize: 24, beams: 1, stage2: { epochs: 2 } }));
    expect(configOf('paper')).toMatchObject({
      preset: 'paper',
      choose: 'highest-score',
      keepCheckpoints: true,
      stages: { stage2: { steps: 2, keepEvery: 100, patience: 0 } },
    });
  });
});

describe('a stage whose validation loss stands still', () => {
  // At this rate nothing changes.
  const still = { ...small, stage2: { steps: 20, keepEvery: 2, learningRate: 1e-12, patience: 2 } };

  test('ends, says so, and is finished', async () => {
    const notes: string[] = [];
    const onEvent = (event: WorkEvent) => event.type === 'note' && notes.push(event.text);
    const result = await train(request('still', { ...still, keepCheckpoints: true }, { onEvent }));
    expect(result.finished).toBe(true);
    expect(notes.filter((text) => text.startsWith('stage'))).toEqual([
      expect.stringMatching(/validation has stood still for 2 evaluations, so it ends at step 6 of 20/),
    ]);
    const again = await train(resumeRequest(at('still')));
    expect(again.stages).toEqual(result.stages);
  });

  test('killed before its last evaluation it ends at the same step', async () => {
    const abort = new AbortController();
    await train(
      request('still-stopped', still, {
        signal: abort.signal,
        onEvent: (event) => event.type === 'step' && event.step === 6 && abort.abort(),
      }),
    );
    const result = await train(resumeRequest(at('still-stopped')));
    expect(result.finished).toBe(true);
    expect(weightsOf('still-stopped')).toEqual(weightsOf('still'));
  });
});

describe('a finished run', () => {
  const settings = { ...small, keepCheckpoints: false };

  test('leaves the best checkpoint of each stage alone, and is known to be finished', async () => {
    const left = watchTensors();
    const result = await train(request('lean', settings, { method: 'promot' }));
    const names = result.stages.map(({ stage, best }) => `${stage}-${String(best.step).padStart(6, '0')}`);
    expect(checkpointsOf('lean')).toEqual(names.sort());
    const [weights, stages] = [weightsOf('lean'), result.stages];
    const steps: number[] = [];
    const onEvent = (event: WorkEvent) => event.type === 'step' && steps.push(event.step);
    const again = await train({ ...resumeRequest(at('lean')), onEvent });
    expect([again.finished, again.stages, steps]).toEqual([true, stages, []]);
    expect(weightsOf('lean')).toEqual(weights);
    expect(left()).toBe(0);
    const lines = readFileSync(join(at('lean'), 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(lines.filter((line) => line.includes('tokensPerSecond')).length).toBe(12);
  });

  test('may have more steps: the bits are those of a run that had them from the start', async () => {
    const stage2 = { ...small.stage2, steps: 10 };
    await train(request('long', { ...settings, keepCheckpoints: true, stage2 }, { method: 'promot' }));
    await train(request('short', { ...settings, keepCheckpoints: true }, { method: 'promot' }));
    await train({ ...resumeRequest(at('short')), settings: { stage2: { steps: 10 } } });
    expect(weightsOf('short')).toEqual(weightsOf('long'));
    expect(configOf('short').stages.stage2!.steps).toBe(10);
    expect((await train(resumeRequest(at('short')))).finished).toBe(true);
  });

  test.each<[string, ConfigInput, RegExp]>([
    ['fewer steps', { stage2: { steps: 4 } }, /other settings \(stage2\.steps was 10, not 4\)/],
    ['another rate', { stage2: { learningRate: 1 } }, /stage2\.learningRate was 0\.01, not 1/],
    ['more steps and another batch', { batchSize: 3, stage2: { steps: 12 } }, /\(batchSize was 6, not 3\)/],
    ['more steps of a stage that others built on', { stage1: { steps: 12 } }, /stage prompt cannot have more steps/],
    ['a schedule that knows its end', { stage2: { steps: 12, schedule: 'linear' } }, /stage2\.schedule was constant/],
  ])('but not %s', async (_name, more, message) => {
    await expect(train({ ...resumeRequest(at('short')), settings: more })).rejects.toThrow(message);
  });

  test('whose last checkpoint was deleted says so when it is to go on', async () => {
    // The best is not the last: its optimizer is not there.
    const [model] = checkpointsOf('lean').filter((name) => name.startsWith('model'));
    rmSync(join(at('lean'), 'checkpoints', model!, 'optimizer.safetensors'), { force: true });
    await expect(train({ ...resumeRequest(at('lean')), settings: { stage2: { steps: 8 } } })).rejects.toThrow(
      /its last checkpoint was deleted when the run finished \(keepCheckpoints=true/,
    );
    scope(() => expect(openSafetensors(join(at('lean'), 'model/model.safetensors')).entries.size).toBeGreaterThan(0));
  });
});

test('an older run, whose settings stand without `stages` and `preset`, goes on as it began', async () => {
  const out = at('older');
  const abort = new AbortController();
  await train(
    request(
      'older',
      { ...smallSettings, dropout: 0 },
      {
        signal: abort.signal,
        onEvent: (event) => event.type === 'step' && event.step === 3 && abort.abort(),
      },
    ),
  );
  const { config, ...info } = readRun(out);
  const { stages, preset: __, loss: ___, kl, choose, keepCheckpoints, ...rest } = config as TrainingConfig;
  const { epochs, patience, ...stage2 } = stages.stage2!;
  const { epochs: e, patience: p, loraRank, ...stage1 } = stages.stage1!;
  writeFileSync(join(out, 'run.json'), JSON.stringify({ ...info, config: { ...rest, stage1, stage2 } }));
  expect((await train(resumeRequest(out))).finished).toBe(true);
  await train(request('newer', { ...smallSettings, dropout: 0 }));
  expect(weightsOf('older')).toEqual(weightsOf('newer'));
});

test('a folder without a run cannot go on', () => {
  expect(() => resumeRequest(at('nothing'))).toThrow(/nothing: there is no run to go on with/);
});

describe('tokens that the model lacks', () => {
  const tokens = { addTokens: ['\n', '@@'], ...quick, stage1: { steps: 2 }, stage2: { steps: 3, keepEvery: 1 } };

  test('are trained in the model’s stage alone, and a run that goes on knows them', async () => {
    const events: WorkEvent[] = [];
    const onEvent = (event: WorkEvent) => events.push(event);
    const whole = request('tokens', tokens, { method: 'promot', onEvent });
    await train(whole);
    expect(events).toContainEqual({
      type: 'note',
      text: 'new tokens: "\\n" (in no training text), "@@" (in no training text); the model now has 320 rows',
    });
    const stopped = at('tokens-stopped');
    const abort = new AbortController();
    await train({
      ...whole,
      out: stopped,
      signal: abort.signal,
      onEvent: (event) => event.type === 'step' && event.stage === 'model' && abort.abort(),
    });
    await train(resumeRequest(stopped));
    expect(weightsOf('tokens-stopped')).toEqual(weightsOf('tokens'));
  });

  test('are refused where their rows would not be trained', async () => {
    const refused = train(request('tokens-prompt', tokens, { method: 'prompt-tune' }));
    await expect(refused).rejects.toThrow(/addTokens: prompt-tune does not train the model's rows/u);
    expect(existsSync(at('tokens-prompt'))).toBe(false);
  });
});
