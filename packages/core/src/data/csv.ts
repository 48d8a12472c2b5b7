// Records from CSV and TSV: the first row names the columns, every value is text.
import { Readable } from 'node:stream';
import { type CsvError, parse } from 'csv-parse';
import { reworded, UserError } from '../base/errors.js';
import { decodeText } from '../base/text.js';
import { readBytes } from './bytes.js';
import type { DataRecord } from './record.js';

/** A parsed row and what the parser says about it. */
interface Row {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
  /** The row as the file has it. */
  readonly raw: string;
}

/** What may stand between values. */
const separators = [',', ';', '\t', '|'] as const;
type Separator = (typeof separators)[number];

/**
 * The rows of a file as records, and the line (from 1) on which each ends. Quoted fields may hold separators and line
 * breaks, and two quotes in one stand for a quote; a quote inside of a field without quotes is a quote. No value is
 * trimmed or converted. Errors: a UserError with file and line for a row with more or fewer values than there are
 * columns, an empty row in the middle, a quote without its end, a quote inside of a quoted value that is not doubled,
 * two columns of one name, text that is not UTF-8.
 * @param usual what stands between values as a rule; where the first row has none of it, but others of `separators`,
 * the first of these does. A first row `sep=;`, as Excel writes it, says so itself.
 */
export async function readCsv(
  file: string,
  usual: Separator,
  limit: number,
): Promise<{ records: DataRecord[]; lines: number[] }> {
  const pieces = texts(file);
  const { value: start = '' } = await pieces.next();
  const { delimiter, header } = await separatorOf(start, usual);
  const parser = parse({
    delimiter,
    info: true,
    raw: true,
    relax_column_count: true,
    relax_quotes: true,
    bom: true,
    from_line: header,
  });
  const source = Readable.from(joined(start, pieces), { objectMode: true });
  source.on('error', (error) => parser.destroy(error));
  source.pipe(parser);
  const records: DataRecord[] = [];
  const lines: number[] = [];
  let names: readonly string[] | undefined;
  let empty = 0;
  try {
    for await (const { record, info, raw } of parser as AsyncIterable<Row>) {
      if (record.some((value) => value.startsWith('"') && !raw.includes(quoted(value))))
        throw new UserError(
          `${file} line ${info.lines}: text behind the quote that ends a value; ` +
            'a quote inside of a value in quotes is written twice',
        );
      if (names === undefined) {
        names = columnNames(record, file, info.lines);
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
      { code: 'damaged-file', cause: error },
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
      throw reworded(error, (message) => `${file} from line ${line} on: ${message}`);
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

const quoted = (value: string) => `"${value.replaceAll('"', '""')}"`;

async function* joined(first: string, rest: AsyncIterable<string>): AsyncGenerator<string> {
  yield first;
  yield* rest;
}

/** What stands between the values of a file that begins so, and the line of its first row. */
async function separatorOf(start: string, usual: Separator): Promise<{ delimiter: Separator; header: number }> {
  const said = /^\ufeff?sep=([,;\t|])\r?\n/u.exec(start);
  if (said) return { delimiter: said[1] as Separator, header: 2 };
  const values = (delimiter: Separator) => {
    const parser = parse({ delimiter, relax_column_count: true, relax_quotes: true, bom: true, to: 1 });
    parser.end(start);
    return (parser.read() as string[] | null)?.length ?? 1;
  };
  const found = [usual, ...separators].find((one) => values(one) > 1);
  return { delimiter: found ?? usual, header: 1 };
}

function columnNames(row: readonly string[], file: string, line: number): readonly string[] {
  const twice = row.find((name, i) => name !== '' && row.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`${file} line ${line}: two columns are called "${twice}"`);
  return row;
}
