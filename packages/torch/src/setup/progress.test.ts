import { expect, test } from 'vitest';
import { formatProgress, reportTo } from './progress.js';

test('a line with a bar, amounts and the time left', () => {
  const event = { kind: 'progress', message: 'a.zip', done: 50e6, total: 200e6, unit: 'bytes' } as const;
  expect(formatProgress(event, 10)).toBe('  a.zip  [#####               ]  25 %  50 of 200 MB  30 s left');
  expect(formatProgress({ ...event, total: undefined }, 10)).toBe('  a.zip  50 MB  10 s');
  expect(formatProgress({ ...event, done: 200e6 }, 10)).not.toContain('left');
});

function capture(isTTY: boolean) {
  let text = '';
  const write = (chunk: string) => {
    text += chunk;
    return true;
  };
  const report = reportTo({ isTTY, columns: 80, write } as unknown as NodeJS.WriteStream);
  return { report, text: () => text };
}

test('off a terminal: plain lines, and none for what is over in a moment', () => {
  const { report, text } = capture(false);
  report({ kind: 'step', message: 'Compiling' });
  for (let done = 0; done <= 3; done++)
    report({ kind: 'progress', message: 'compiling', done, total: 3, unit: 'files' });
  report({ kind: 'note', message: 'A fact' });
  expect(text()).toBe('Compiling\n  A fact\n');
});

test('on a terminal: one line redrawn, closed before the next step', () => {
  const { report, text } = capture(true);
  report({ kind: 'progress', message: 'x', done: 1, total: 3, unit: 'files' });
  report({ kind: 'step', message: 'Next' });
  expect(text()).toBe('\r\u001b[2K  x  [#######             ]  33 %  1 of 3 files\nNext\n');
});
