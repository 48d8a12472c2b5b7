// What checkpoints promise: whole or not there, and what is damaged never counts.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { full, scope, type Tensor, tensor, writeSafetensors, zeros } from '@promot/torch';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { Checkpoints, type Needs } from './checkpoints.js';
import type { StageState } from './state-file.js';

const temporary = mkdtempSync(join(tmpdir(), 'promot-checkpoints-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

/** A stage at a step, with kept checkpoints at every second step. */
const stateAt = (step: number): StageState => ({
  stage: 'model',
  step,
  seconds: step,
  candidates: Array.from({ length: step / 2 }, (_, i) => ({ step: 2 * (i + 1), score: 50, evalLoss: 1 })),
});
const none = (): Needs => ({ weights: [] });
let notes: string[] = [];
beforeEach(() => {
  notes = [];
});
const tell = (text: string) => notes.push(text);
const recover = (checkpoints: Checkpoints, needs: (state: StageState) => Needs = none) =>
  new Checkpoints(checkpoints.folder).recover('model', needs, tell);

/** Checkpoints at these steps, pruned as a run does. */
function at(...steps: number[]): Checkpoints {
  const checkpoints = new Checkpoints(mkdtempSync(join(temporary, 'one-')));
  for (const step of steps) save(checkpoints, step);
  return checkpoints;
}
function save(checkpoints: Checkpoints, step: number): void {
  scope(() => {
    const weights = new Map<string, Tensor>([['weight', full([8], step)]]);
    checkpoints.save(stateAt(step), weights, weights);
  });
  checkpoints.prune(stateAt(step), 1);
}
const file = (checkpoints: Checkpoints, step: number, name: string) => join(checkpoints.path('model', step), name);

test('a kept checkpoint that was evaluated is not saved again: only state.json is written', () => {
  const checkpoints = at(2);
  const files = ['trained.safetensors', 'optimizer.safetensors'].map((name) => file(checkpoints, 2, name));
  const before = files.map((path) => statSync(path).ino);
  const state = { ...stateAt(2), seconds: 77 };
  checkpoints.update(state);
  expect(files.map((path) => statSync(path).ino)).toEqual(before);
  expect(recover(checkpoints)).toEqual(state);
  expect(notes).toEqual([]);
});

test('the two newest checkpoints stay whole, of the one before the weights', () => {
  const checkpoints = at(2, 4, 6, 8);
  expect(checkpoints.steps('model')).toEqual([6, 8]);
  checkpoints.prune(stateAt(8), 1, [{ step: 6, score: 1, evalLoss: 1 }]);
  expect(checkpoints.steps('model')).toEqual([6, 8]);
});

describe('a checkpoint is set aside, said, and the one before is taken', () => {
  const flip = (path: string, at: number) => {
    const bytes = readFileSync(path);
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    writeFileSync(path, bytes);
  };
  const kinds: [string, (checkpoints: Checkpoints) => void, RegExp][] = [
    ['a flipped bit in the weights', (c) => flip(file(c, 6, 'trained.safetensors'), -3), /trained\.safetensors/],
    ['a flipped bit in the optimizer', (c) => flip(file(c, 6, 'optimizer.safetensors'), -3), /optimizer\.safetensors/],
    ['a damaged header', (c) => flip(file(c, 6, 'trained.safetensors'), 2), /trained\.safetensors/],
    [
      'zeros',
      (c) =>
        writeFileSync(
          file(c, 6, 'trained.safetensors'),
          Buffer.alloc(statSync(file(c, 6, 'trained.safetensors')).size),
        ),
      /trained\.safetensors/,
    ],
    ['a file that is cut', (c) => truncateSync(file(c, 6, 'optimizer.safetensors'), 20), /optimizer\.safetensors/],
    [
      'the optimizer of another step',
      (c) => writeFileSync(file(c, 6, 'optimizer.safetensors'), readFileSync(file(c, 4, 'optimizer.safetensors'))),
      /optimizer\.safetensors/,
    ],
    [
      'NaN weights',
      (c) =>
        scope(() =>
          writeSafetensors(
            file(c, 6, 'trained.safetensors'),
            new Map([['weight', tensor(new Array(8).fill(Number.NaN))]]),
          ),
        ),
      /trained\.safetensors/,
    ],
    ['no weights', (c) => rmSync(file(c, 6, 'trained.safetensors')), /trained\.safetensors is missing/],
    ['no state', (c) => rmSync(file(c, 6, 'state.json')), /state\.json/],
    ['a state that is null', (c) => writeFileSync(file(c, 6, 'state.json'), 'null'), /state\.json/],
    [
      'a flipped bit in the state',
      (c) => {
        const path = file(c, 6, 'state.json');
        writeFileSync(path, readFileSync(path, 'utf8').replace('"score":50', '"score":51'));
      },
      /state\.json/,
    ],
    [
      'the state of another step',
      (c) => writeFileSync(file(c, 6, 'state.json'), readFileSync(file(c, 4, 'state.json'))),
      /another checkpoint/,
    ],
  ];
  test.each(kinds)('%s', (_name, damage, message) => {
    const checkpoints = at(2, 4, 6);
    damage(checkpoints);
    expect(recover(checkpoints)).toEqual(stateAt(4));
    expect(notes).toEqual([
      expect.stringMatching(
        /^stage model: its checkpoint of step 6 is damaged .*set aside as .*model-000006\.damaged$/,
      ),
      'stage model: goes on from step 4',
    ]);
    expect(notes[0]).toMatch(message);
    expect(readdirSync(checkpoints.folder).sort()).toEqual(['model-000004', 'model-000006.damaged']);
    // It is made anew, and pruning keeps it.
    save(checkpoints, 6);
    expect(recover(checkpoints)).toEqual(stateAt(6));
  });

  test('both of the newest, and again: the stage begins anew, and is not stuck', () => {
    const checkpoints = at(2, 4, 6);
    for (const step of [4, 6]) truncateSync(file(checkpoints, step, 'trained.safetensors'), 20);
    expect(recover(checkpoints)).toBeUndefined();
    expect(notes.at(-1)).toBe('stage model: begins anew');
    expect(checkpoints.steps('model')).toEqual([]);
    for (const step of [2, 4, 6]) save(checkpoints, step);
    expect(checkpoints.steps('model')).toEqual([4, 6]);
    truncateSync(file(checkpoints, 6, 'trained.safetensors'), 20);
    expect(recover(checkpoints)).toEqual(stateAt(4));
    expect(readdirSync(checkpoints.folder)).toContain('model-000006.damaged-2');
  });

  test('what a state needs is damaged: an earlier state without that need, else anew', () => {
    const checkpoints = at(2, 4, 6);
    const needs = ({ step }: StageState): Needs => ({ weights: step >= 6 ? [4] : [] });
    truncateSync(file(checkpoints, 4, 'trained.safetensors'), 20);
    expect(recover(checkpoints, needs)).toBeUndefined();
    expect(readdirSync(checkpoints.folder)).toEqual(['model-000004.damaged']);
  });
});

test('of format 1, which vouches for nothing: headers and finite numbers', () => {
  const checkpoints = at(2, 4);
  const states = [2, 4].map((step) => {
    writeFileSync(file(checkpoints, step, 'state.json'), JSON.stringify(stateAt(step)));
    return stateAt(step);
  });
  expect(recover(checkpoints)).toEqual(states[1]);
  scope(() =>
    writeSafetensors(file(checkpoints, 4, 'trained.safetensors'), new Map([['weight', tensor([Number.NaN])]])),
  );
  expect(recover(checkpoints)).toEqual(states[0]);
});

test('weights of a finished stage that are damaged are said and set aside', () => {
  const checkpoints = at(2);
  expect(checkpoints.hasWeights('model', 2, tell)).toBe(true);
  truncateSync(file(checkpoints, 2, 'trained.safetensors'), 20);
  expect(checkpoints.hasWeights('model', 2, tell)).toBe(false);
  expect(checkpoints.hasWeights('model', 2, tell)).toBe(false);
  expect(notes).toEqual([expect.stringMatching(/damaged.*set aside/), expect.stringMatching(/it is gone/)]);
});

test('who does not write leaves all as it is', () => {
  const folder = join(temporary, 'reader');
  mkdirSync(folder);
  const checkpoints = new Checkpoints(folder, false);
  scope(() => checkpoints.save(stateAt(2), new Map([['w', zeros([1])]]), new Map()));
  expect(readdirSync(folder)).toEqual([]);
});
