import { spawnSync } from 'node:child_process';
import { release } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { keep, scope, type Tensor, tensor, trimGrownMemory, trimMemory, watchTensors, zeros } from './index.js';

describe('scope', () => {
  test('frees all but the result, also inside arrays, objects and maps', () => {
    const left = watchTensors();
    const result = scope(() => {
      const kept = [zeros([1]), zeros([2])];
      zeros([3]).add(1).mul(2);
      return { list: kept, map: new Map([['a', zeros([4])]]) };
    });
    expect(left()).toBe(3);
    expect(result.map.get('a')!.shape).toEqual([4]);
    for (const t of [...result.list, ...result.map.values()]) t.dispose();
    expect(left()).toBe(0);
  });

  test('a result passes to the scope around it', () => {
    const left = watchTensors();
    scope(() => {
      const inner = scope(() => zeros([2]).add(1));
      expect(inner.toNumbers()).toEqual([1, 1]);
    });
    expect(left()).toBe(0);
  });

  test('frees on an error and on a rejected promise', async () => {
    const left = watchTensors();
    expect(() =>
      scope(() => {
        zeros([2]).add(zeros([3]));
      }),
    ).toThrow();
    await expect(
      scope(async () => {
        zeros([2]);
        await null;
        zeros([2]);
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(left()).toBe(0);
  });

  test('two asynchronous scopes do not take each other’s tensors', async () => {
    const left = watchTensors();
    const slow = scope(async () => {
      const mine = zeros([1]);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(mine.toNumbers()).toEqual([0]);
      return mine.add(1);
    });
    await scope(async () => {
      zeros([1]);
      await null;
    });
    const result = await slow;
    expect(result.item()).toBe(1);
    result.dispose();
    expect(left()).toBe(0);
  });

  test('tensors from before a watch do not count, whenever the collector frees them', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let i = 0; i < 10; i++) zeros([1]);
    const left = watchTensors();
    collect();
    // The collector's callbacks are tasks of their own.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(left()).toBe(0);
    const made = zeros([1]);
    expect(left()).toBe(1);
    made.dispose();
    expect(left()).toBe(0);
  });

  test('keep takes a tensor out of all scopes', () => {
    const kept: Tensor[] = [];
    scope(() => {
      scope(() => {
        kept.push(keep(tensor([5])));
      });
    });
    expect(kept[0]!.item()).toBe(5);
    kept[0]!.dispose();
  });
});

// Elsewhere than in glibc the heap is left to itself.
test.runIf(process.platform === 'linux').each([
  ['at once', trimMemory],
  ['by a loop, where the process has grown', () => trimGrownMemory(0)],
])('memory that freed tensors leave between live ones is given back %s', (_, giveBack) => {
  const megabytes = () => process.memoryUsage.rss() / 2 ** 20;
  trimMemory();
  trimGrownMemory();
  const floats = 2 ** 18;
  const small: Tensor[] = [];
  const large: Tensor[] = [];
  for (let i = 0; i < 300; i++) {
    large.push(keep(zeros([floats]).add(1)));
    small.push(keep(zeros([16]).add(1)));
  }
  const full = megabytes();
  for (const t of large) t.dispose();
  giveBack();
  expect(megabytes()).toBeLessThan(full - 200);
  expect(small.map((t) => t.toNumbers()[15])).toEqual(small.map(() => 1));
  for (const t of small) t.dispose();
});

/** Whether the system can do it: Linux from 5.14 on. */
const [major = 0, minor = 0] = process.platform === 'linux' ? release().split('.').map(Number) : [];
test.runIf(major > 5 || (major === 5 && minor >= 14))(
  'memory that was taken is there for the tensors that come',
  () => {
    const compiled = new URL('../dist/index.js', import.meta.url).href;
    const program = `
    import { setTimeout } from 'node:timers/promises';
    import { takeMemory, tuneProcess, zeros } from ${JSON.stringify(compiled)};
    const megabytes = () => process.memoryUsage.rss() / 2 ** 20;
    tuneProcess();
    const before = megabytes();
    takeMemory([{ shape: [2 ** 24, 4], dtype: 'float32' }]);
    while (megabytes() < before + 250) await setTimeout(5);
    const taken = megabytes();
    const sum = zeros([2 ** 26]).add(1).sum().item();
    console.log(sum, megabytes() < taken + 300);`; // of two tensors of 256 MB
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    expect(stdout).toBe(`${2 ** 26} true\n`);
  },
);
