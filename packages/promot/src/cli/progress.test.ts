import { Writable } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { duration, gigabytes, Progress, stopProgress, thousands } from './progress.js';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function collect(isTTY: boolean) {
  let text = '';
  const stderr = new Writable({
    write: (chunk, _encoding, done) => {
      text += String(chunk);
      done();
    },
  });
  // What cli-progress asks of a terminal.
  Object.assign(stderr, { isTTY, columns: 100, cursorTo: () => true, clearLine: () => true, moveCursor: () => true });
  const progress = new Progress({ stdout: stderr, stderr, exitCode: 0 });
  return { progress, text: () => text };
}

test('away from a terminal: a plain line every few seconds, with an estimate', () => {
  const { progress, text } = collect(false);
  for (let step = 1; step <= 20; step++) {
    progress.update('train', step, 20, `loss ${step}`);
    vi.advanceTimersByTime(1000);
  }
  expect(text().split('\n')).toEqual([
    'train 6/20  loss 6  14 s left',
    'train 11/20  loss 11  9 s left',
    'train 16/20  loss 16  4 s left',
    '',
  ]);
});

test('on a terminal: lines stand above the bar and none is lost', () => {
  const { progress, text } = collect(true);
  progress.update('train', 1, 20, 'loss 1', 65);
  progress.line('step 1: accuracy 50');
  progress.waiting('train', 'evaluating', 3, 4);
  progress.line('step 2: accuracy 60');
  progress.stop();
  expect(text()).toMatch(/train \[.*\] 1\/20 {2}loss 1 {2}1 min 5 s left/u);
  expect(text()).toMatch(/evaluating 3\/4/u);
  expect(text()).toMatch(/step 1: accuracy 50\n[\s\S]*step 2: accuracy 60\n/u);
});

test('stopProgress ends a bar that nobody else ends', () => {
  const { progress } = collect(true);
  progress.update('train', 1, 20);
  expect(vi.getTimerCount()).toBeGreaterThan(0);
  stopProgress();
  expect(vi.getTimerCount()).toBe(0);
});

test('times and sizes', () => {
  expect([0, 59.4, 200, 7500].map(duration)).toEqual(['0 s', '59 s', '3 min 20 s', '2 h 5 min']);
  expect([0, 12, 123, 1234, 134_515_008].map(thousands)).toEqual(['0', '12', '123', '1,234', '134,515,008']);
  expect([5e6, 2.5e9].map(gigabytes)).toEqual(['5 MB', '2.50 GB']);
});
