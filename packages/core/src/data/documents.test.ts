import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readDocuments } from './documents.js';

const folder = mkdtempSync(join(tmpdir(), 'promot-documents-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string | Buffer) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

test('a text file is one document, as it stands; records have one each', async () => {
  expect(await readDocuments(file('a.txt', '\ufeffone\r\n\ntwo\n'))).toEqual(['\ufeffone\r\n\ntwo\n']);
  const lines = file('a.jsonl', '{"text":"one"}\n{"text":"","id":2}\n{"text":"three"}\n');
  expect(await readDocuments(lines)).toEqual(['one', '', 'three']);
  expect(await readDocuments(lines, 1)).toEqual(['one']);
});

test('what is no text is refused with its place', async () => {
  await expect(readDocuments(file('b.txt', Buffer.from([0xe9])))).rejects.toThrow('b.txt is not UTF-8');
  await expect(readDocuments(join(folder, 'none.txt'))).rejects.toThrow('cannot read');
  await expect(readDocuments(file('b.jsonl', '{"text":"a"}\n{"body":"b"}\n'))).rejects.toThrow(
    'b.jsonl line 2: a document is text in the field "text"',
  );
});
