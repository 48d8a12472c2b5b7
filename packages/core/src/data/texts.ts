// Texts of people: predictions, references, inputs.
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { UserError } from '../base/errors.js';
import { JsonLines } from '../base/json-lines.js';

/**
 * The texts of a file: one a line (an empty line is an empty text, the last line break is optional), or in `.jsonl` a
 * JSON string a line, or a list of strings that stand for each other.
 * Errors: a UserError for a file that cannot be read, is empty or not UTF-8, and with the line for what is no text.
 */
export async function readTexts(file: string): Promise<(string | string[])[]> {
  const content = await readFile(file).catch((error) => {
    throw new UserError(`cannot read ${file}`, { code: 'disk', cause: error });
  });
  if (content.length === 0) throw new UserError(`${file} is empty: it should hold one text a line`);
  if (extname(file) !== '.jsonl')
    return decode(content, file)
      .replace(/\r?\n$/u, '')
      .split(/\r?\n/u);
  const lines = new JsonLines(file);
  return [...lines.read(content), ...lines.end()].map(({ value, where }) => {
    if (typeof value === 'string') return value;
    if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')) return value;
    throw new UserError(`${where}: a JSON string (or an array of strings) is expected`);
  });
}

/** As `readTexts`, for files of one text a line. Errors: a UserError for a list, too. */
export async function readSingleTexts(file: string): Promise<string[]> {
  return (await readTexts(file)).map((text, i) => {
    if (typeof text === 'string') return text;
    throw new UserError(`${file} line ${i + 1}: a JSON string is expected, not a list`);
  });
}

function decode(content: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch (error) {
    throw new UserError(`${file} is not UTF-8 text`, { code: 'damaged-file', cause: error });
  }
}
