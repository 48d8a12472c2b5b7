import { isOutOfMemory, sayingMemory } from '@promot/torch/errors';
import { expect, test } from 'vitest';
import { reworded, UserError, unreadable } from './errors.js';

test('a message is one printable line, whatever it quotes', () => {
  expect(new UserError('x: "\u001b[31mred\u0007\u009b2J"').message).toBe('x: "\\x1b[31mred\\x07\\x9b2J"');
  expect(new UserError('x: "a\r\n  b\tc"').message).toBe('x: "a b\\x09c"');
  expect(new UserError('x: "\u202egnp"').message).toBe('x: "\\u202egnp"');
  const long = new UserError(`begin ${'a'.repeat(100_000)} end`).message;
  expect(long.length).toBeLessThan(2000);
  expect(long).toMatch(/^begin a+ \.\.\. a+ end$/u);
  expect(new UserError(`${'\0'.repeat(1500)} end`).message).toMatch(/^(\\x00)+.* \.\.\. .*end$/u);
  expect(new UserError(`${'\0'.repeat(1500)} end`).message.length).toBeLessThan(2000);
  expect(new UserError('Größe 日本 🎉 ▁').message).toBe('Größe 日本 🎉 ▁');
  expect(new UserError('x', { cause: 1 }).cause).toBe(1);
});

test('a lack of memory that oneDNN hides is told', () => {
  const hidden = new Error('promot::frozen_linear(float32[2,31,32]): could not create a primitive');
  expect(isOutOfMemory(hidden)).toBe(true);
  expect((sayingMemory(hidden) as Error).message).toBe(`${hidden.message} (out of memory)`);
  const other = new Error('could not create a primitive descriptor for a matmul');
  expect(isOutOfMemory(other)).toBe(false);
  expect(sayingMemory(other)).toBe(other);
});

test('an error that is said in other words keeps its code, and has the first one as its cause', () => {
  const first = new UserError('no such task', { code: 'unknown-name' });
  const second = reworded(first, (message) => `a.yaml line 3: ${message}`);
  expect(second).toMatchObject({ message: 'a.yaml line 3: no such task', code: 'unknown-name', cause: first });
  const fault = new TypeError('x is undefined');
  expect(reworded(fault, (message) => `a.yaml line 3: ${message}`)).toBe(fault);
  expect(unreadable('a.bin', fault)).toMatchObject({ code: 'disk', cause: fault });
});
