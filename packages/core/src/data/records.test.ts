import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { readRecords, recordLocation } from './records.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-records-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe('JSON Lines', () => {
  test('records in order; final newline optional, carriage returns, byte-order mark, U+2028 inside a string', async () => {
    const path = file('good.jsonl', '\ufeff{"a":1}\r\n{"a":"x\u2028y"}\n{"a":[null]}');
    expect(await readRecords(path)).toEqual([{ a: 1 }, { a: 'x\u2028y' }, { a: [null] }]);
    expect(await readRecords(file('newline.jsonl', '{"a":1}\n\n'))).toEqual([{ a: 1 }]);
    expect(recordLocation(path, 0)).toBe(`${path} line 1`);
  });

  test('only the first records', async () => {
    const path = file('limit.jsonl', '{"a":1}\n{"a":2}\nbad\n');
    expect(await readRecords(path, 2)).toEqual([{ a: 1 }, { a: 2 }]);
    const parquet = fileURLToPath(new URL('fixtures/snappy.parquet', import.meta.url));
    expect((await readRecords(parquet, 2)).map(({ label }) => label)).toEqual([0, 1]);
  });

  test('lines longer than the read buffer', async () => {
    const long = 'é'.repeat(3_000_000);
    const path = file('long.jsonl', `{"a":"${long}"}\n{"a":2}\n`);
    expect(await readRecords(path)).toEqual([{ a: long }, { a: 2 }]);
  });

  test.each([
    ['empty line in the middle', '{"a":1}\n\n{"a":2}\n', 'line 2: empty line'],
    ['malformed JSON', '{"a":1}\n{"a":\n', 'line 2: malformed JSON'],
    ['not an object', '{"a":1}\n[1]\n', 'line 2: a JSON object is expected, not an array'],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'line 1: not UTF-8'],
    ['only blank lines', '\n\n', 'holds no records'],
    ['empty', '', 'is empty'],
  ])('%s', async (_name, content, message) => {
    const path = file('bad.jsonl', content);
    const error: unknown = await readRecords(path).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toContain(message);
    expect((error as UserError).message).toContain(path);
  });

  test('missing file, folder, unknown ending', async () => {
    await expect(readRecords(join(folder, 'none.jsonl'))).rejects.toThrow(/no such data file: .*none\.jsonl/);
    await expect(readRecords(folder)).rejects.toThrow('not a data file');
    await expect(readRecords(file('data.csv', 'a,b'))).rejects.toThrow('unknown kind of data file');
  });
});

describe('JSON', () => {
  test('one array, or lines', async () => {
    expect(await readRecords(file('array.json', ' [{"a":1},{"a":2}]'))).toEqual([{ a: 1 }, { a: 2 }]);
    expect(await readRecords(file('lines.json', '{"a":1}\n{"a":2}'))).toEqual([{ a: 1 }, { a: 2 }]);
    await expect(readRecords(file('row.json', '[{"a":1},2]'))).rejects.toThrow('row 2: a JSON object is expected');
  });
});

describe('Parquet', () => {
  test.each(['snappy', 'gzip', 'brotli', 'none'])('%s', async (compression) => {
    const path = fileURLToPath(new URL(`fixtures/${compression}.parquet`, import.meta.url));
    expect(await readRecords(path)).toEqual([
      { premise: 'Été à Gent.', label: 0, answers: ['a', 'b'], translation: { en: 'one', fr: 'un' }, maybe: null },
      { premise: 'Two\nlines', label: 1, answers: [], translation: { en: 'two', fr: 'deux' }, maybe: 'x' },
      { premise: '', label: -1, answers: ['ü'], translation: { en: 'three', fr: 'trois' }, maybe: null },
    ]);
  });

  test('a damaged file is refused', async () => {
    await expect(readRecords(file('bad.parquet', 'PAR1 nothing PAR1'))).rejects.toThrow('not a readable Parquet file');
  });
});
