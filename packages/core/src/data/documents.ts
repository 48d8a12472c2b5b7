// Plain text to measure a model on: a text file is one document, a file of records has one in each record's field
// `text`.

import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { UserError } from '../base/errors.js';
import { readRecords } from './records.js';

/**
 * The documents of a file. `.txt`: the whole file. Else the field `text` of each record, of the first `limit` records.
 * Errors: those of `readRecords`; a UserError with the place for a record without text, and for a file that is not
 * UTF-8.
 */
export async function readDocuments(file: string, limit = Number.POSITIVE_INFINITY): Promise<string[]> {
  if (extname(file) === '.txt') {
    const content = await readFile(file).catch((error) => {
      throw new UserError(`cannot read ${file}`, { code: 'disk', cause: error });
    });
    try {
      return [new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)];
    } catch (error) {
      throw new UserError(`${file} is not UTF-8 text`, { code: 'damaged-file', cause: error });
    }
  }
  const { records, place } = await readRecords(file, limit);
  return records.map(({ text }, i) => {
    if (typeof text === 'string') return text;
    throw new UserError(`${file} ${place(i)}: a document is text in the field "text"`);
  });
}
