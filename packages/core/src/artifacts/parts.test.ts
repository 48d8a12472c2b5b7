// Files of ranks, beside those that PyTorch's HuggingFaceStorageWriter wrote (golden/dcp.py).
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { arange, openSafetensors, scope, tensor } from '@promot/torch';
import { afterAll, expect, test } from 'vitest';
import { Parts, partName, type Rows, writePart } from './parts.js';

const golden = fileURLToPath(new URL('../../golden/dcp', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'promot-parts-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

/** PyTorch's files under the names that promot gives them. */
function pytorchs(name: string): string {
  const folder = join(temporary, name);
  cpSync(golden, folder, { recursive: true });
  readdirSync(folder)
    .sort()
    .forEach((file, i) => void renameSync(join(folder, file), join(folder, partName('trained', i, 2))));
  return folder;
}

test('the files of two ranks of PyTorch are one tensor each, or the rows that are asked for', () => {
  scope(() => {
    const parts = new Parts(pytorchs('read'), 'trained');
    expect([...parts.tensors.keys()].sort()).toEqual(['five', 'two']);
    const five = parts.tensors.get('five')!;
    expect([five.dtype, five.shape]).toEqual(['float32', [5, 3]]);
    expect(five.read().toNumbers()).toEqual(arange(15).toNumbers());
    expect(five.rows(2, 2).toNumbers()).toEqual([6, 7, 8, 9, 10, 11]);
    expect(five.rows(5, 0).shape).toEqual([0, 3]);
    expect(parts.tensors.get('two')!.read().float().toNumbers()).toEqual([0, 1]);
    parts.close();
  });
});

test("promot's files hold what PyTorch's do", () => {
  const folder = mkdtempSync(join(temporary, 'written-'));
  const five = arange(15).float().reshape(5, 3);
  const two = tensor([0, 1]).to('bfloat16');
  const rows = (of: typeof five, begin: number, count: number): Rows => ({ rows: of.narrow(0, begin, count), begin });
  const ranks = [
    new Map([...Object.entries({ five: rows(five, 0, 3), two: rows(two, 0, 1) })]),
    new Map([...Object.entries({ five: rows(five, 3, 2), two: rows(two, 1, 1) })]),
  ];
  readdirSync(golden)
    .sort()
    .forEach((name, rank) => {
      const path = join(folder, partName('trained', rank, 2));
      const hash = createHash('sha256');
      writePart(path, ranks[rank]!, hash);
      expect(hash.digest('hex')).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
      const own = openSafetensors(path);
      const theirs = openSafetensors(join(golden, name));
      const info = ({ metadata }: { metadata: Readonly<Record<string, string>> }) =>
        JSON.parse(metadata.DCP_SHARDING_INFO!) as unknown;
      expect(info(own)).toEqual(info(theirs));
      expect({ ...own.metadata, DCP_SHARDING_INFO: '' }).toEqual({ ...theirs.metadata, DCP_SHARDING_INFO: '' });
      scope(() => {
        for (const [key, { shape }] of theirs.entries) {
          expect(own.entries.get(key)!.shape).toEqual(shape);
          expect(own.tensor(key).toBytes()).toEqual(theirs.tensor(key).toBytes());
        }
      });
    });
});

test('a file too few, and rows that do not go on', () => {
  const folder = pytorchs('hurt');
  const [first, second] = [0, 1].map((rank) => join(folder, partName('trained', rank, 2))) as [string, string];
  cpSync(first, second);
  expect(() => new Parts(folder, 'trained')).toThrow(/its rows of five do not go on where those of .* end/);
  rmSync(second);
  expect(() => new Parts(folder, 'trained')).toThrow(/trained: 1 of 2 files are there/);
});
