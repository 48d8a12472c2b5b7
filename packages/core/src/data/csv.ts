// Records from CSV and TSV: the first row names the columns, every value is text.
import { Readable } from 'node:stream';
import { type CsvError, parse } from 'csv-parse';
import { UserError } from '../base/errors.js';
import { decodeText } from '../base/text.js';
import { readBytes } from './bytes.js';
import type { DataRecord } from './record.js';

/** A parsed row and what the parser says about it. */
interface Row {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

/**
 * The rows of a file as records, and the line (from 1) on which each ends. Quoted fields may hold separators and line
 * breaks, and two quotes in one stand for a quote; a quote inside of a field without quotes is a quote. No value is
 * trimmed or converted. Errors: a UserError with file and line for a row with more or fewer values than there are
 * columns, an empty row in the middle, a quote without its end, two columns of one name, text that is not UTF-8.
 */
export async function readCsv(
  file: string,
  delimiter: ',' | '\t',
  limit: number,
): Promise<{ records: DataRecord[]; lines: number[] }> {
  const parser = parse({ delimiter, info: true, relax_column_count: true, relax_quotes: true, bom: true });
  const source = Readable.from(texts(file), { objectMode: true });
  source.on('error', (error) => parser.destroy(error));
  source.pipe(parser);
  const records: DataRecord[] = [];
  const lines: number[] = [];
  let names: readonly string[] | undefined;
  let empty = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<Row>) {
      if (names === undefined) {
        names = columnNames(record, file, delimiter);
        continue;
      }
      if (record.length === 1 && record[0] === '' && names.length > 1) {
        empty ||= info.lines;
        continue;
      }
      if (empty > 0) throw new UserError(`${file} line ${empty}: empty row; every row must hold a record`);
      if (record.length !== names.length)
        throw new UserError(
          `${file} line ${info.lines}: ${record.length} values for ${names.length} columns ` +
            '(a value with a separator or a line break in it must stand in quotes)',
        );
      // Not by assignment: a column may be called __proto__.
      records.push(Object.fromEntries(names.map((name, i) => [name, record[i]])));
      lines.push(info.lines);
      if (records.length >= limit) break;
    }
  } catch (error) {
    const { code, lines: line, message } = error as CsvError & { lines?: number };
    if (error instanceof UserError || typeof code !== 'string' || !code.startsWith('CSV_')) throw error;
    throw new UserError(
      `${file}${line === undefined ? '' : ` line ${line}`}: ${
        code === 'CSV_QUOTE_NOT_CLOSED' ? 'a quote is opened that nothing closes' : message
      }`,
    );
  } finally {
    source.destroy();
    parser.destroy();
  }
  return { records, lines };
}

/** The file's text in pieces, cut at line ends, so that what is not UTF-8 is told with its line. */
async function* texts(file: string): AsyncGenerator<string> {
  let line = 1;
  let pending: Buffer = Buffer.alloc(0);
  const decode = (bytes: Buffer): string => {
    try {
      return decodeText(bytes);
    } catch (error) {
      throw new UserError(`${file} from line ${line} on: ${(error as Error).message}`);
    }
  };
  for await (const bytes of readBytes(file)) {
    const all = Buffer.concat([pending, bytes]);
    const end = all.lastIndexOf(10) + 1;
    const text = decode(all.subarray(0, end));
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) line++;
    pending = all.subarray(end);
    yield text;
  }
  yield decode(pending);
}

function columnNames(row: readonly string[], file: string, delimiter: ',' | '\t'): readonly string[] {
  const twice = row.find((name, i) => name !== '' && row.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`${file} line 1: two columns are called "${twice}"`);
  const other = [';', '\t', ','].find((one) => one !== delimiter && row[0]?.includes(one));
  if (row.length === 1 && other !== undefined) {
    const name = (one: string) => ({ '\t': 'tabs', ',': 'commas', ';': 'semicolons' })[one];
    const advice = other === ';' ? 'save it with commas' : `name it ${other === '\t' ? '.tsv' : '.csv'}`;
    throw new UserError(
      `${file} line 1: one column, "${row[0]}": the values stand between ${name(other)}, not ${name(delimiter)}; ${advice}`,
    );
  }
  return row;
}
