import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { fieldValue, parseTemplate, scalarText } from '../tasks/template.js';
import { findFiles } from './find-files.js';
import { readParquet } from './parquet.js';
import { readRecords as readFile } from './records.js';
import { fileSource, readTable, withValidationShare } from './source.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-records-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const golden = (name: string) => fileURLToPath(new URL(`../../golden/data/${name}`, import.meta.url));
const expected = JSON.parse(readFileSync(golden('expected.json'), 'utf8')) as Record<
  'table' | 'exact' | 'comma' | 'tab' | 'loose',
  Record<string, unknown>[]
> & { readonly short: Readonly<Record<string, readonly string[]>> };
const readRecords = async (path: string, limit?: number) => (await readFile(path, limit)).records;
const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('JSON Lines', () => {
  test('records in order; final newline, carriage returns, byte-order mark, U+2028 inside a string', async () => {
    const path = file('good.jsonl', '\ufeff{"a":1}\r\n{"a":"x\u2028y"}\n{"a":[null]}');
    expect(await readRecords(path)).toEqual([{ a: 1 }, { a: 'x\u2028y' }, { a: [null] }]);
    expect(await readRecords(file('newline.jsonl', '{"a":1}\n\n'))).toEqual([{ a: 1 }]);
    expect((await readTable([path])).location(0)).toBe(`${path} line 1`);
  });

  test('only the first records', async () => {
    const path = file('limit.jsonl', '{"a":1}\n{"a":2}\nbad\n');
    expect(await readRecords(path, 2)).toEqual([{ a: 1 }, { a: 2 }]);
    expect((await readRecords(golden('snappy-page1.parquet'), 2)).map(({ label }) => label)).toEqual([0, 1]);
  });

  test('lines longer than the read buffer', async () => {
    const long = 'é'.repeat(3_000_000);
    const path = file('long.jsonl', `{"a":"${long}"}\n{"a":2}\n`);
    expect(await readRecords(path)).toEqual([{ a: long }, { a: 2 }]);
  });

  test.each([
    ['empty line in the middle', '{"a":1}\n\n{"a":2}\n', 'line 2: empty line'],
    ['malformed JSON', '{"a":1}\n{"a":\n', 'line 2: malformed JSON'],
    ['NaN', '{"a":1}\n{"a":{"b c": NaN}}\n', 'line 2: malformed JSON (field "b c" holds NaN, which JSON does not have'],
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

  test('missing file, folder, unknown ending, pointer of Git LFS', async () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n';
    await expect(readRecords(file('big.parquet', pointer))).rejects.toThrow('big.parquet is not the file itself but');
    await expect(readRecords(join(folder, 'none.jsonl'))).rejects.toThrow(/no such data file: .*none\.jsonl/);
    await expect(readRecords(folder)).rejects.toThrow('not a data file');
    await expect(readRecords(file('data.xls', 'a,b'))).rejects.toThrow('unknown kind of data file');
  });
});

describe('JSON', () => {
  test('one array, or lines', async () => {
    expect(await readRecords(file('array.json', ' [{"a":1},{"a":2}]'))).toEqual([{ a: 1 }, { a: 2 }]);
    expect(await readRecords(file('lines.json', '{"a":1}\n{"a":2}'))).toEqual([{ a: 1 }, { a: 2 }]);
    await expect(readRecords(file('row.json', '[{"a":1},2]'))).rejects.toThrow('row 2: a JSON object is expected');
    const wrapped = readRecords(file('wrapped.json', '{\n  "data": [\n    {"a": 1}\n  ]\n}\n'));
    await expect(wrapped).rejects.toThrow('this is one object, with lists under "data": save the list');
  });
});

/** A record as a template renders its fields. */
function rendered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rendered);
  if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, rendered(inner)]));
  return scalarText(value, 'x');
}

describe('numbers stay what the file says', () => {
  test('JSON', async () => {
    const line = '{"n":9007199254740993,"f":1.0,"e":1e3,"z":-0,"s":"1.0","ok":[3,0.5,{"d":2.50}]}';
    for (const path of [file('exact.jsonl', line), file('exact.json', `[${line}]`)])
      expect(rendered((await readRecords(path))[0])).toEqual({
        n: '9007199254740993',
        f: '1.0',
        e: '1e3',
        z: '-0',
        s: '1.0',
        ok: ['3', '0.5', { d: '2.50' }],
      });
    const [record] = await readRecords(file('plain.jsonl', '{"a":3,"b":0.5}'));
    expect(record).toEqual({ a: 3, b: 0.5 });
  });

  test.each(['exact.parquet', 'exact-fixed.parquet'])('%s', async (name) => {
    const rows = (await readRecords(golden(name))).map(({ day, time, nan, bytes, ...row }) => rendered(row));
    expect(rows).toEqual(expected.exact);
    const [first, before] = await readRecords(golden(name));
    const { day, time, bytes } = first!;
    expect([day, time]).toEqual(['2020-02-29', '2020-02-29T01:02:03.456789Z']);
    expect([before!.day, before!.time]).toEqual(['1969-12-31', '1969-12-31T23:59:59.000001Z']);
    expect(bytes).toEqual(new Uint8Array([0xff, 0xfe]));
  });

  test('Parquet numbers of 32 and 16 bits, and times', async () => {
    const rows = await readRecords(golden('short.parquet'));
    for (const [name, values] of Object.entries(expected.short)) {
      const texts = rows.map((row) => scalarText(row[name], name));
      // Numpy writes 1e-07 for JavaScript's 1e-7.
      expect(texts, name).toEqual(values.map((text) => text.replace(/e-0(\d)$/u, 'e-$1')));
    }
  });

  test('what is no finite number is refused where a template names it, as null is', async () => {
    const [record] = await readRecords(file('e.jsonl', '{"e":1e999,"null":null}'));
    expect(() => parseTemplate('{e}').render(record!)).toThrow('field "e" holds 1e999, which is no finite number');
    expect(() => parseTemplate('{null}').render(record!)).toThrow('field "null" should be text');
    const rows = await readRecords(golden('exact.parquet'));
    expect(() => parseTemplate('{nan}').render(rows[0]!)).toThrow('field "nan" holds NaN, which is no finite number');
    expect(() => parseTemplate('{nan}').render(rows[1]!)).toThrow('Infinity');
    expect(parseTemplate('{nan}').render(rows[2]!)).toBe('1.5');
  });
});

describe('CSV and TSV', () => {
  test.each(['comma.csv', 'bom.csv', 'comma.csv.gz', 'comma.csv.zst', 'unknown-size.csv.zst'])('%s', async (name) => {
    expect((await readRecords(golden(name))).map((row) => Object.entries(row))).toEqual(
      expected.comma.map((row) => Object.entries(row)),
    );
  });

  test('tabs; quotes inside of a value', async () => {
    expect((await readRecords(golden('tab.tsv'))).map((row) => Object.entries(row))).toEqual(
      expected.tab.map((row) => Object.entries(row)),
    );
    expect(await readRecords(golden('loose.tsv'))).toEqual(expected.loose);
  });

  test.each([
    ['semicolons', 'a;b\n1,5;";"\n'],
    ['tabs', 'a\tb\n1,5\t;\n'],
    ['bars', 'a|b\n1,5|;\n'],
    ["Excel's own mark", '\ufeffsep=;\r\na;b\r\n1,5;";"\r\n'],
  ])('%s between the values', async (_name, content) => {
    expect(await readRecords(file('others.csv', content))).toEqual([{ a: '1,5', b: ';' }]);
  });

  test('only the first rows; the line on which a row ends', async () => {
    const path = file('places.csv', 'a,b\n"1\n2",x\n3,y\n');
    const table = await readTable([path]);
    expect([0, 1].map(table.location)).toEqual([`${path} line 3`, `${path} line 4`]);
    expect(await readRecords(path, 1)).toEqual([{ a: '1\n2', b: 'x' }]);
    expect(await readRecords(file('blank-end.csv', 'a,b\n1,2\n\n'))).toEqual([{ a: '1', b: '2' }]);
  });

  test.each([
    ['UTF-16', readFileSync(golden('utf16.csv')), 'UTF-16, it seems: save the file as UTF-8'],
    ['UTF-16 without a mark', Buffer.from('a,b\n1,2\n', 'utf16le'), 'UTF-16, it seems'],
    ['Latin-1', Buffer.from('a,b\n1,2\né,3\n', 'latin1'), 'from line 1 on: not UTF-8 text'],
    ['a value too many', 'a,b\n1,2\n1,2,3\n', 'line 3: 3 values for 2 columns'],
    ['a value too few', 'a,b\n1\n', 'line 2: 1 values for 2 columns'],
    ['an open quote', 'a,b\n1,"2\n3,4\n', 'a quote is opened that nothing closes'],
    ['a quote that is not doubled', 'a,b\n"an "odd" one",2\n', 'line 2: text behind the quote that ends a value'],
    ['two columns of one name', 'a,a\n1,2\n', 'line 1: two columns are called "a"'],
    ['an empty row', 'a,b\n1,2\n\n3,4\n', 'line 3: empty row'],
    ['no rows', 'a,b\n', 'holds no records'],
  ])('%s', async (_name, content, message) => {
    const error = await rejection(readRecords(file('bad.csv', content)));
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toContain(message);
  });
});

describe('packed files', () => {
  const row = '{"a":1}\n';
  test('gzip, several members, Parquet inside', async () => {
    expect(await readRecords(file('two.jsonl.gz', Buffer.concat([gzipSync(row), gzipSync(row)])))).toHaveLength(2);
    const packed = file('t.parquet.gz', gzipSync(readFileSync(golden('none-page1.parquet'))));
    expect(await readRecords(packed)).toEqual(expected.table);
  });

  test('damaged, cut short, or made to harm', async () => {
    const whole = gzipSync(row.repeat(100));
    await expect(readRecords(file('cut.jsonl.gz', whole.subarray(0, 30)))).rejects.toThrow('cannot be unpacked');
    await expect(readRecords(file('no.jsonl.gz', row))).rejects.toThrow('cannot be unpacked');
    const zst = readFileSync(golden('comma.csv.zst'));
    await expect(readRecords(file('cut.csv.zst', zst.subarray(0, 60)))).rejects.toThrow('cannot be unpacked');
    await expect(readRecords(file('no.csv.zst', 'a,b\n1,2\n'))).rejects.toThrow('cannot be unpacked');
    const zeros = gzipSync(Buffer.alloc(1 << 20, ' '));
    const bomb = file('bomb.jsonl.gz', Buffer.concat(Array.from({ length: 300 }, () => zeros)));
    await expect(readRecords(bomb)).rejects.toThrow('unpacks to more than 200 times its size');
  });
});

describe('Parquet', () => {
  const codecs = ['snappy', 'gzip', 'zstd', 'lz4', 'brotli', 'none'];
  test.each(codecs.flatMap((codec) => [`${codec}-page1`, `${codec}-page2`]))('%s', async (name) => {
    expect(await readRecords(golden(`${name}.parquet`))).toEqual(expected.table);
  });

  test('names of class numbers', async () => {
    const { records, classNames } = await readFile(golden('classes.parquet'));
    expect(Object.fromEntries(classNames)).toEqual({ label: ['negative', 'positive'], tags: ['a', 'b', 'c'] });
    expect(parseTemplate('{label} {tags[0]}').render(records[0]!, classNames)).toBe('positive c');
    expect(() => parseTemplate('{label}').render(records[1]!, classNames)).toThrow(
      'field "label" is class -1, which has no name; the names are negative, positive',
    );
  });

  test('damaged files are refused, and no promise is left alone', async () => {
    await expect(readRecords(file('bad.parquet', 'PAR1 nothing PAR1'))).rejects.toThrow('not a readable Parquet file');
    const unheard: unknown[] = [];
    const listen = (error: unknown) => unheard.push(error);
    process.on('unhandledRejection', listen);
    try {
      for (const name of ['brotli-page1', 'none-page2', 'zstd-page1']) {
        const whole = readFileSync(golden(`${name}.parquet`));
        // The footer, which says where all is, and of what kind and size.
        for (let place = whole.length - 8 - whole.readUInt32LE(whole.length - 8); place < whole.length; place += 23) {
          const bytes = Buffer.from(whole);
          bytes[place]! ^= 0x55;
          const error = await rejection(readRecords(file('flip.parquet', bytes)));
          if (error !== undefined) expect(error).toBeInstanceOf(UserError);
        }
      }
      await new Promise((done) => setTimeout(done, 50));
    } finally {
      process.off('unhandledRejection', listen);
    }
    expect(unheard).toEqual([]);
  }, 60_000);

  test.each([
    ['none-page1', 98, 10, 'takes too much memory'],
    // A second in place of the ten that people have.
    ['none-page2', 69, 1, 'takes too long'],
  ])(
    '%s with a hostile run of values at %d is given up, and the next table is read',
    async (name, at, seconds, why) => {
      const bytes = readFileSync(golden(`${name}.parquet`));
      bytes.set([0xfe, 0xff, 0xff, 0xff, 0x07], at);
      const path = file('hostile.parquet', bytes);
      await expect(readParquet(path, Number.POSITIVE_INFINITY, seconds)).rejects.toThrow(why);
      expect(await readRecords(golden(`${name}.parquet`))).toEqual(expected.table);
    },
  );
});

describe('several files', () => {
  test('lists and patterns, in order; places and class names', async () => {
    const here = mkdtempSync(join(folder, 'several-'));
    for (const name of ['b-1.jsonl', 'b-2.jsonl', 'a.csv'])
      writeFileSync(join(here, name), name.endsWith('csv') ? 'a\n1\n2\n' : '{"a":"x"}\n');
    const found = await findFiles(['b-*.jsonl', 'a.csv'], here);
    expect(found).toEqual(['b-1.jsonl', 'b-2.jsonl', 'a.csv'].map((name) => join(here, name)));
    const table = await fileSource('several', { train: found }).read('train');
    expect(table.records.map(({ a }) => a)).toEqual(['x', 'x', '1', '2']);
    expect([1, 3].map(table.location)).toEqual([`${join(here, 'b-2.jsonl')} line 1`, `${join(here, 'a.csv')} line 3`]);
    await expect(findFiles('c-*.jsonl', here)).rejects.toThrow(/no file is named like .*c-\*\.jsonl/);
    await expect(findFiles(['a.csv', '*.csv'], here)).rejects.toThrow('is named twice');
    await expect(findFiles('none.csv', here)).rejects.toThrow('no such data file');
  });

  test('a validation split out of the training split', async () => {
    const rows = Array.from({ length: 20 }, (_, i) => `{"i":${i}}`).join('\n');
    const path = file('share.jsonl', rows);
    const source = withValidationShare(fileSource('share', { train: path }), 0.2, 0);
    expect(source.splits).toEqual(['train', 'validation']);
    const [train, validation] = [await source.read('train'), await source.read('validation')];
    expect(validation.records).toHaveLength(4);
    const all = [...train.records, ...validation.records].map((record) => fieldValue(record, 'i') as number);
    expect(all.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    const [first] = validation.records;
    expect(validation.location(0)).toBe(`${path} line ${(first!.i as number) + 1}`);
    expect((await source.read('validation')).records).toEqual(validation.records);
    const one = withValidationShare(fileSource('one', { train: file('one.jsonl', '{"a":1}') }), 0.1, 0);
    await expect(one.read('train')).rejects.toThrow('too few');
  });
});
