import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Queue, QueueFull } from './queue.js';

const never = new AbortController().signal;

test('one at a time, in the order of arrival, also behind one that fails', async () => {
  const queue = new Queue(10);
  const seen: string[] = [];
  let side = 0;
  const work = (name: string, fails = false) =>
    queue.run(never, async () => {
      expect(++side).toBe(1);
      await setTimeout(5);
      side--;
      seen.push(name);
      if (fails) throw new Error(name);
      return name;
    });
  const all = await Promise.allSettled([work('a'), work('b', true), work('c')]);
  expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(seen).toEqual(['a', 'b', 'c']);
  expect(queue.length).toBe(0);
});

test('too many are refused, and who leaves makes room', async () => {
  const queue = new Queue(1);
  const first = queue.run(never, () => setTimeout(30));
  const leaver = new AbortController();
  const second = queue.run(leaver.signal, async () => {});
  await expect(queue.run(never, async () => {})).rejects.toThrow(QueueFull);
  leaver.abort(new Error('gone'));
  await expect(second).rejects.toThrow('gone');
  await expect(queue.run(never, async () => 'third')).resolves.toBe('third');
  await first;
});
