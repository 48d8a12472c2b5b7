// The safetensors format: round trips, mapping, whole files only, and refusal of everything that does not fit.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import {
  type DType,
  FileFormatError,
  ones,
  openSafetensors,
  scope,
  type Tensor,
  tensor,
  watchTensors,
  writeSafetensors,
  zeros,
} from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-safetensors-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
/** A path for each file, so that no test meets another's. */
const freshPath = () => join(folder, `${count++}.safetensors`);

/** A file of this header (an object, or text as it is) and so many bytes of data. */
function fileOf(header: unknown, dataBytes = 0, claimed?: bigint): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(json.length));
  const path = freshPath();
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(dataBytes, 1)]));
  return path;
}
const entry = (dtype: string, shape: unknown, begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

const dtypes: DType[] = [
  'float64',
  'float32',
  'float16',
  'bfloat16',
  'int64',
  'int32',
  'int16',
  'int8',
  'uint8',
  'bool',
];

describe('a round trip', () => {
  test.each(dtypes)('%s', (dtype) => {
    scope(() => {
      const numbers = dtype === 'bool' ? [1, 0, 1, 1, 0, 0] : [1, 0, 3, 100, 5, 6];
      if (!['uint8', 'bool'].includes(dtype)) numbers[1] = -2;
      const path = freshPath();
      writeSafetensors(path, new Map([['x', tensor(numbers, { shape: [2, 3] }).to(dtype)]]));
      const file = openSafetensors(path);
      const back = file.tensor('x');
      expect(back.dtype).toBe(dtype);
      expect(back.shape).toEqual([2, 3]);
      expect(back.toNumbers()).toEqual(numbers);
      file.close();
    });
  });

  test('values that float32 cannot hold, special values, and bits of bfloat16', () => {
    scope(() => {
      const tensors = new Map<string, Tensor>([
        ['double', tensor(new Float64Array([Math.PI, -0, Number.MIN_VALUE, Infinity, Number.NaN]))],
        ['long', tensor(new BigInt64Array([2n ** 62n + 1n, -(2n ** 63n)]))],
        ['narrow', tensor([1 / 3, -1e38, 1e-40], { dtype: 'bfloat16' })],
        ['half', tensor([1 / 3, 65504, 6e-8], { dtype: 'float16' })],
      ]);
      const path = freshPath();
      writeSafetensors(path, tensors);
      const file = openSafetensors(path);
      for (const [name, one] of tensors) expect(file.tensor(name).toBytes(), name).toEqual(one.toBytes());
      file.close();
    });
  });

  test('scalars, empty tensors, no tensors at all', () => {
    scope(() => {
      const tensors = new Map([
        ['scalar', tensor([3.5], { shape: [] })],
        ['empty', zeros([0])],
        ['emptyToo', zeros([3, 0, 2], 'int64')],
        ['after', tensor([1, 2])],
      ]);
      const path = freshPath();
      writeSafetensors(path, tensors);
      const file = openSafetensors(path);
      for (const [name, one] of tensors) {
        const back = file.tensor(name);
        expect(back.shape, name).toEqual(one.shape);
        expect(back.dtype, name).toBe(one.dtype);
        expect(back.toNumbers(), name).toEqual(one.toNumbers());
      }
      file.close();
      const bare = freshPath();
      writeSafetensors(bare, new Map());
      expect(openSafetensors(bare).entries.size).toBe(0);
      const onlyEmpty = freshPath();
      writeSafetensors(onlyEmpty, new Map([['empty', zeros([0])]]));
      const opened = openSafetensors(onlyEmpty);
      expect(opened.tensor('empty').shape).toEqual([0]);
      opened.close();
    });
  });

  test('views: transposed, sliced, expanded, and with gradients', () => {
    scope(() => {
      const base = tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3] });
      const trained = ones([2]);
      trained.requiresGrad = true;
      const tensors = new Map([
        ['transposed', base.transpose(0, 1)],
        ['sliced', base.narrow(1, 1, 2)],
        ['expanded', base.narrow(0, 0, 1).expand(4, 3)],
        ['trained', trained],
      ]);
      const path = freshPath();
      writeSafetensors(path, tensors);
      const file = openSafetensors(path);
      for (const [name, one] of tensors) expect(file.tensor(name).toNumbers(), name).toEqual(one.toNumbers());
      file.close();
    });
  });

  test('metadata, and names of every kind', () => {
    scope(() => {
      const names = ['', 'a.b.0.weight', 'ключ "quoted" \\ \n', '__proto__', 'constructor', 'x'.repeat(5000)];
      const metadata = { format: 'pt', note: 'naïve\n"x"', empty: '' };
      const path = freshPath();
      writeSafetensors(path, new Map(names.map((name, i) => [name, tensor([i])])), metadata);
      const file = openSafetensors(path);
      expect(file.metadata).toEqual(metadata);
      expect(new Set(file.entries.keys())).toEqual(new Set(names));
      names.forEach((name, i) => {
        expect(file.tensor(name).item()).toBe(i);
      });
      file.close();
    });
  });

  test('more than one piece of 16 MB', () => {
    scope(() => {
      const large = tensor(Float32Array.from({ length: 4_400_000 }, (_, i) => i));
      const path = freshPath();
      writeSafetensors(
        path,
        new Map([
          ['before', tensor([1, 2, 3])],
          ['large', large],
          ['after', tensor([4])],
        ]),
      );
      const file = openSafetensors(path);
      expect(file.tensor('large').equal(large)).toBe(true);
      expect(file.tensor('after').item()).toBe(4);
      file.close();
      rmSync(path);
    });
  });
});

describe('reading', () => {
  test('is lazy: opening makes no tensor, and a tensor lies over the file’s pages', () => {
    const path = freshPath();
    scope(() =>
      writeSafetensors(
        path,
        new Map([
          ['a', ones([1000])],
          ['b', ones([10])],
        ]),
      ),
    );
    const left = watchTensors();
    const file = openSafetensors(path);
    expect(left()).toBe(0);
    scope(() => {
      file.tensor('a');
      // The tensor and the map.
      expect(left()).toBe(2);
    });
    file.close();
    expect(left()).toBe(0);
  });

  test('a tensor outlives its file, and writing into it does not reach the disk', () => {
    const path = freshPath();
    scope(() => writeSafetensors(path, new Map([['a', ones([4])]])));
    const bytes = readFileSync(path);
    scope(() => {
      const file = openSafetensors(path);
      const a = file.tensor('a');
      file.close();
      a.fill_(7);
      expect(a.toNumbers()).toEqual([7, 7, 7, 7]);
    });
    expect(readFileSync(path)).toEqual(bytes);
  });

  test('data that is not aligned is copied', () => {
    // An odd header length, and a byte in front of the numbers.
    const header = JSON.stringify({
      byte: entry('U8', [1], 0, 1),
      x: entry('F64', [2], 1, 17),
      y: entry('BF16', [1], 17, 19),
    });
    const json = Buffer.from(header + ' '.repeat(1 - (header.length % 2)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const path = freshPath();
    const numbers = Buffer.from(new Float64Array([1.25, -3]).buffer);
    writeFileSync(path, Buffer.concat([length, json, Buffer.of(200), numbers, Buffer.of(0x80, 0x3f)]));
    scope(() => {
      const file = openSafetensors(path);
      expect(file.tensor('byte').toNumbers()).toEqual([200]);
      expect(file.tensor('x').toNumbers()).toEqual([1.25, -3]);
      expect(file.tensor('y').toNumbers()).toEqual([1]);
      file.close();
    });
  });

  test('an unknown name', () => {
    const path = freshPath();
    scope(() => writeSafetensors(path, new Map([['a', ones([1])]])));
    expect(() => openSafetensors(path).tensor('b')).toThrow(`${path}: no tensor named b`);
    expect(() => openSafetensors(path).tensor('constructor')).toThrow('no tensor named constructor');
  });

  test('what Python’s safetensors wrote', () => {
    const golden = fileURLToPath(new URL('../../core/golden/models', import.meta.url));
    for (const name of readdirSync(golden)) {
      for (const file of ['model.safetensors', 'expected.safetensors', 'prompt/adapter_model.safetensors']) {
        const opened = openSafetensors(join(golden, name, file));
        expect(opened.entries.size).toBeGreaterThan(0);
        scope(() => {
          for (const [key, { shape }] of opened.entries) {
            const one = opened.tensor(key);
            expect(one.shape).toEqual(shape);
            expect(Number.isFinite(one.float().sum().item()), key).toBe(true);
          }
        });
        opened.close();
      }
    }
  });
});

describe('writing', () => {
  test('replaces a file whole, and leaves nothing else in the folder', () => {
    const place = join(folder, 'replaced');
    mkdirSync(place);
    const path = join(place, 'model.safetensors');
    scope(() => {
      writeSafetensors(path, new Map([['a', ones([100])]]));
      writeSafetensors(path, new Map([['b', zeros([2])]]));
    });
    expect([...openSafetensors(path).entries.keys()]).toEqual(['b']);
    expect(readdirSync(place)).toEqual(['model.safetensors']);
  });

  test('that fails midway leaves the old file and no temporary', () => {
    const place = join(folder, 'failing');
    mkdirSync(place);
    const path = join(place, 'model.safetensors');
    scope(() => {
      writeSafetensors(path, new Map([['a', ones([3])]]));
      const before = readFileSync(path);
      const freed = ones([2]);
      const tensors = new Map([
        ['good', ones([100])],
        ['freed', freed],
      ]);
      // Its shape and type are known, its data is gone: the writing fails after the first tensor.
      expect([freed.shape, freed.dtype]).toEqual([[2], 'float32']);
      freed.dispose();
      expect(() => writeSafetensors(path, tensors)).toThrow();
      expect(readFileSync(path)).toEqual(before);
      expect(readdirSync(place)).toEqual(['model.safetensors']);
    });
  });

  test('to a folder that is not there, or over a folder, fails and leaves nothing', () => {
    const path = join(folder, 'absent', 'model.safetensors');
    expect(() => scope(() => writeSafetensors(path, new Map([['a', ones([1])]])))).toThrow('ENOENT');
    const taken = join(folder, 'taken');
    mkdirSync(join(taken, 'model.safetensors'), { recursive: true });
    expect(() =>
      scope(() => writeSafetensors(join(taken, 'model.safetensors'), new Map([['a', ones([1])]]))),
    ).toThrow();
    expect(readdirSync(taken)).toEqual(['model.safetensors']);
  });

  test('gives a file that others may read, as any new file is', () => {
    const path = freshPath();
    scope(() => writeSafetensors(path, new Map([['a', ones([1])]])));
    writeFileSync(join(folder, 'plain'), '');
    expect(statSync(path).mode).toBe(statSync(join(folder, 'plain')).mode);
  });

  test('refuses a name that the format reserves', () => {
    const path = freshPath();
    expect(() => scope(() => writeSafetensors(path, new Map([['__metadata__', ones([1])]])))).toThrow('__metadata__');
    expect(existsSync(path)).toBe(false);
  });
});

describe('refused before any data is read', () => {
  const x = entry('F32', [2], 0, 8);
  const cases: [string, () => string, string][] = [
    ['an empty file', () => fileWith(Buffer.alloc(0)), 'too few'],
    ['seven bytes', () => fileWith(Buffer.alloc(7)), 'too few'],
    ['a header longer than the file', () => fileOf({ x }, 8, 10_000n), 'its header claims 10000 bytes'],
    ['a header of 2^63 bytes', () => fileOf({ x }, 8, 2n ** 63n), 'its header claims'],
    ['a header above the format’s limit', () => fileOf({ x }, 8, 100_000_001n), 'its header claims'],
    ['a header cut by a length that is too small', () => fileOf({ x }, 8, 10n), 'not JSON'],
    ['a header that runs into the data', () => fileOf({ x }, 8, BigInt(JSON.stringify({ x }).length + 8)), 'not JSON'],
    ['a header that is not JSON', () => fileOf('{"x": nonsense}'), 'not JSON'],
    ['a header that is not UTF-8', () => fileWith(Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0x22, 0xff, 0x22])), 'not JSON'],
    ['an empty header', () => fileOf(''), 'not JSON'],
    ['a header that is a list', () => fileOf([]), 'not an object'],
    ['a header that is null', () => fileOf('null'), 'not an object'],
    ['an entry that is null', () => fileOf({ x: null }), 'x'],
    ['an entry that is a number', () => fileOf({ x: 5 }), 'x'],
    ['an entry without offsets', () => fileOf({ x: { dtype: 'F32', shape: [2] } }, 8), 'the entry of x is malformed'],
    [
      'an entry without a shape',
      () => fileOf({ x: { dtype: 'F32', data_offsets: [0, 8] } }, 8),
      'the entry of x is malformed',
    ],
    ['three offsets', () => fileOf({ x: { ...x, data_offsets: [0, 8, 8] } }, 8), 'the entry of x is malformed'],
    ['an unknown element type', () => fileOf({ x: { ...x, dtype: 'F8_E4M3' } }, 8), 'F8_E4M3'],
    [
      'an element type that is a property of every object',
      () => fileOf({ x: { ...x, dtype: 'constructor' } }, 8),
      'constructor',
    ],
    ['an element type that is a list', () => fileOf({ x: { ...x, dtype: ['F32'] } }, 8), 'element type'],
    ['a negative side', () => fileOf({ x: entry('F32', [-2], 0, 8) }, 8), 'malformed'],
    ['two negative sides', () => fileOf({ x: entry('F32', [-1, -2], 0, 8) }, 8), 'malformed'],
    ['a side that is no whole number', () => fileOf({ x: entry('F32', [0.5, 4], 0, 8) }, 8), 'malformed'],
    ['a side that is text', () => fileOf({ x: entry('F32', ['2'], 0, 8) }, 8), 'malformed'],
    [
      'a side beyond 2^53',
      () => fileOf(`{"x":{"dtype":"F32","shape":[18446744073709551616,0],"data_offsets":[0,0]}}`),
      'malformed',
    ],
    ['sides whose product overflows', () => fileOf({ x: entry('F32', [2 ** 40, 2 ** 40], 0, 8) }, 8), 'is too large'],
    [
      'sides whose product overflows before a zero',
      () => fileOf({ x: entry('F32', [2 ** 52, 2 ** 52, 0], 0, 0) }),
      'is too large',
    ],
    ['offsets that are negative', () => fileOf({ x: entry('F32', [2], -8, 0) }, 8), 'malformed'],
    ['offsets in the wrong order', () => fileOf({ x: entry('F32', [2], 8, 0) }, 8), 'bytes'],
    ['fewer bytes than the shape needs', () => fileOf({ x: entry('F32', [2], 0, 4) }, 8), 'has 4 bytes'],
    ['more bytes than the shape needs', () => fileOf({ x: entry('F32', [2], 0, 12) }, 12), 'has 12 bytes'],
    ['offsets past the end', () => fileOf({ x }, 7), 'cut short: x ends at'],
    ['offsets far past the end', () => fileOf({ x: entry('U8', [2 ** 40], 0, 2 ** 40) }, 8), 'cut short'],
    ['overlapping tensors', () => fileOf({ x, y: entry('F32', [2], 4, 12) }, 12), 'overlap'],
    [
      'one tensor within another',
      () => fileOf({ x: entry('U8', [16], 0, 16), y: entry('U8', [1], 4, 5) }, 16),
      'overlap',
    ],
    ['one place twice', () => fileOf({ x, y: x }, 8), 'overlap'],
    ['metadata that is a list', () => fileOf({ __metadata__: ['a'], x }, 8), '__metadata__'],
    ['metadata that is null', () => fileOf({ __metadata__: null, x }, 8), '__metadata__'],
    ['metadata with a number', () => fileOf({ __metadata__: { a: 1 }, x }, 8), '__metadata__'],
  ];
  const fileWith = (bytes: Buffer) => {
    const path = freshPath();
    writeFileSync(path, bytes);
    return path;
  };
  test.each(cases)('%s', (_, make, message) => {
    const path = make();
    const left = watchTensors();
    let caught: unknown;
    try {
      openSafetensors(path);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(FileFormatError);
    expect((caught as Error).message).toContain(path);
    expect((caught as Error).message).toContain(message);
    expect((caught as Error).message).not.toContain('\n');
    expect(left()).toBe(0);
  });

  test('a missing file, and a folder', () => {
    expect(() => openSafetensors(join(folder, 'absent.safetensors'))).toThrow('ENOENT');
    expect(() => openSafetensors(folder)).toThrow();
  });
});

test('of a key that stands twice in the header the last one counts', () => {
  const first = JSON.stringify(entry('F32', [1], 0, 4));
  const second = JSON.stringify(entry('F32', [2], 0, 8));
  const file = openSafetensors(fileOf(`{"x":${first},"x":${second}}`, 8));
  expect(file.entries.size).toBe(1);
  expect(file.entries.get('x')!.shape).toEqual([2]);
  // What the first one named then belongs to nothing: the reference implementation refuses that, too.
  const behind = JSON.stringify(entry('F32', [1], 4, 8));
  expect(() => openSafetensors(fileOf(`{"x":${first},"x":${behind}}`, 8))).toThrow(
    /4 bytes in front of x belong to no/,
  );
});

test('bytes flipped at random: an error of its own kind or a file that can be read, never a crash', () => {
  const path = freshPath();
  scope(() =>
    writeSafetensors(
      path,
      new Map<string, Tensor>([
        ['a', ones([3, 4])],
        ['b', ones([5], 'int8')],
        ['c', ones([], 'float64')],
        ['d', ones([2, 2], 'bfloat16')],
      ]),
      { format: 'pt' },
    ),
  );
  const good = readFileSync(path);
  const headerEnd = 8 + Number(good.readBigUInt64LE());
  let state = 12345;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const outcomes = { refused: 0, read: 0 };
  const digits = Buffer.from('0123456789-.eE[]{},:" ');
  for (let round = 0; round < 1500; round++) {
    const bytes = Buffer.from(good);
    for (let flips = 1 + random(3); flips > 0; flips--) {
      const at = random(headerEnd);
      // Half the time what may stand in a header, so that it often stays JSON.
      bytes[at] = random(2) ? random(256) : digits[random(digits.length)]!;
    }
    writeFileSync(path, random(8) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes);
    try {
      scope(() => {
        const file = openSafetensors(path);
        try {
          for (const name of file.entries.keys()) file.tensor(name).toBytes();
        } finally {
          file.close();
        }
      });
      outcomes.read++;
    } catch (error) {
      expect(error, `round ${round}`).toBeInstanceOf(FileFormatError);
      outcomes.refused++;
    }
  }
  expect(outcomes.refused).toBeGreaterThan(1000);
  expect(outcomes.read).toBeGreaterThan(5);
});
