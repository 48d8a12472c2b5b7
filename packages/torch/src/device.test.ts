// The device on which tensors are made. `meta` stands in for a GPU: it has shapes and no numbers.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import {
  AdamW,
  arange,
  currentDevice,
  dropout,
  fromBytes,
  full,
  keep,
  libtorch,
  ones,
  openSafetensors,
  randn,
  scope,
  tensor,
  uniform,
  withDevice,
  writeSafetensors,
  zeros,
  zerosLike,
} from './index.js';
import { native } from './native.js';

const factories = {
  tensor: () => tensor([1, 2]),
  'tensor of a typed array': () => tensor(Float32Array.of(1, 2)),
  'tensor of whole numbers': () => tensor([1, 2], { dtype: 'int64' }),
  'tensor of truth values': () => tensor([1, 0], { dtype: 'bool' }),
  'tensor in bfloat16': () => tensor([1, 2], { dtype: 'bfloat16' }),
  fromBytes: () => fromBytes(Uint8Array.of(1, 2), 'uint8', [2]),
  zeros: () => zeros([2]),
  ones: () => ones([2], 'int64'),
  full: () => full([2], 7),
  arange: () => arange(2),
  randn: () => randn([2], 1),
  uniform: () => uniform([2], -1, 1, 1),
};

describe('withDevice', () => {
  test.each(Object.entries(factories))('%s', (_, make) => {
    scope(() => {
      expect(make().device).toBe('cpu');
      const there = withDevice('meta', make);
      expect(make().device).toBe('cpu');
      expect([there.device, there.shape]).toEqual(['meta', [2]]);
      expect([zerosLike(there).device, dropout(there.float(), 0.5, 1).device]).toEqual(['meta', 'meta']);
    });
  });

  test('leaves what there is where it is', () => {
    scope(() => {
      const before = ones([2]);
      withDevice('meta', () =>
        expect([before.device, before.add(1).device, zerosLike(before).device]).toEqual(['cpu', 'cpu', 'cpu']),
      );
      expect(before.toNumbers()).toEqual([1, 1]);
    });
  });

  test.skipIf(libtorch().cuda)('refuses a device that libtorch cannot use', () => {
    const never = () => expect.unreachable();
    expect(() => withDevice('cuda', never)).toThrow(/CUDA/);
    expect(() => withDevice('cuda:1', never)).toThrow(/CUDA/);
    expect(currentDevice()).toBe('cpu');
    expect(scope(() => ones([1]).device)).toBe('cpu');
  });
});

test('asynchronous work keeps its device, and work beside it is not touched', async () => {
  const made = async () => {
    await setImmediate();
    return scope(() => ones([1]).device);
  };
  const [there, here, deeper] = await Promise.all([
    withDevice('meta', made),
    made(),
    withDevice('meta', () => withDevice('cpu', made)),
  ]);
  expect([there, here, deeper]).toEqual(['meta', 'cpu', 'cpu']);
});

test('a file is mapped on the CPU whatever the current device, and goes into tensors elsewhere', () => {
  const folder = mkdtempSync(join(tmpdir(), 'promot-device-'));
  try {
    const path = join(folder, 'a.safetensors');
    scope(() => writeSafetensors(path, new Map([['a', tensor([1, 2, 3])]])));
    withDevice('meta', () =>
      scope(() => {
        const file = openSafetensors(path);
        const mapped = file.tensor('a');
        expect([mapped.device, mapped.toNumbers()]).toEqual(['cpu', [1, 2, 3]]);
        expect(mapped.toDevice(currentDevice()).device).toBe('meta');
        expect(zeros([3]).copy_(mapped).device).toBe('meta');
        file.close();
      }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('numbers for a GPU go through pinned memory, and nothing waits for their copy', () => {
  const plain = native.callOperator;
  const calls: unknown[][] = [];
  // Without a GPU, the CPU's own memory stands in for both.
  const spy = vi.spyOn(native, 'callOperator').mockImplementation((operator, ...args) => {
    const name = native.schemaOf(operator).split('(')[0]!;
    calls.push([name, ...args.slice(1)]);
    return name === 'aten::pin_memory'
      ? plain(native.findOperator('aten::clone'), args[0])
      : plain(operator, ...args.map((one) => (one === 'cuda' ? 'cpu' : one)));
  });
  try {
    const found = scope(() => withDevice('cuda', () => tensor([1, 2])).toNumbers());
    expect(found).toEqual([1, 2]);
    // The last argument is non_blocking.
    expect(calls.slice(1, 3)).toEqual([
      ['aten::pin_memory'],
      ['aten::to.dtype_layout', undefined, undefined, 'cuda', undefined, true],
    ]);
  } finally {
    spy.mockRestore();
  }
});

test("an optimizer's state is where its parameters are, also when it is restored", () => {
  const parameter = withDevice('meta', () => keep(ones([3], 'bfloat16')));
  const optimizer = new AdamW(new Map([['p', parameter]]));
  scope(() => {
    const saved = new Map([...optimizer.state()].map(([name, { shape }]) => [name, ones(shape)] as const));
    optimizer.restore(saved, 1);
    expect([...optimizer.state().values()].map(({ device }) => device)).toEqual(['meta', 'meta', 'meta']);
  });
  optimizer.dispose();
  parameter.dispose();
});
