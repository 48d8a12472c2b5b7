// JSON Lines: one JSON value a line, split at newline bytes alone (U+2028 and its like may stand in a text).
import { existsSync, readFileSync } from 'node:fs';
import { parseBoundedJson } from '@promot/torch/files';
import { UserError } from './errors.js';
import { decodeText } from './text.js';

/** A line of a JSON-lines file. */
export interface JsonLine {
  readonly value: unknown;
  /** For messages: `metrics.jsonl line 3`. */
  readonly where: string;
  /** The line as it stands in the file. */
  readonly text: string;
}

interface JsonLinesOptions {
  /** By default `parseBoundedJson`. */
  readonly parse?: (text: string) => unknown;
  /** Hears of lines that are not JSON, which are left out then. Without it they are errors. */
  readonly onDamaged?: ((where: string) => void) | undefined;
}

/**
 * The lines of a file whose bytes come in pieces. Empty lines are let pass at the end alone: in the middle they mean a
 * damaged file.
 * Errors: a UserError with file and line for an empty line, malformed JSON and what is not UTF-8.
 *
 * @example
 * const lines = new JsonLines('a.jsonl');
 * for await (const bytes of stream) for (const { value } of lines.read(bytes)) use(value);
 * for (const { value } of lines.end()) use(value);
 */
export class JsonLines {
  #pending: Uint8Array[] = [];
  #number = 0;
  #emptySince = 0;
  constructor(
    readonly file: string,
    readonly options: JsonLinesOptions = {},
  ) {}

  /** The lines that end in these bytes. */
  *read(bytes: Buffer): Generator<JsonLine> {
    const end = bytes.lastIndexOf(10);
    if (end === -1) {
      this.#pending.push(bytes);
      return;
    }
    this.#pending.push(bytes.subarray(0, end));
    yield* this.#take();
    this.#pending.push(bytes.subarray(end + 1));
  }

  /** A last line without its line break. */
  *end(): Generator<JsonLine> {
    if (this.#pending.some(({ length }) => length > 0)) yield* this.#take();
  }

  /** The lines of the bytes that are pending, of which the last has ended. */
  *#take(): Generator<JsonLine> {
    const bytes = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
    this.#pending = [];
    for (const text of textsOf(bytes)) yield* this.#line(text);
  }

  *#line(given: string | Uint8Array): Generator<JsonLine> {
    this.#number++;
    const where = `${this.file} line ${this.#number}`;
    const { parse = parseBoundedJson, onDamaged } = this.options;
    try {
      const text = (typeof given === 'string' ? given : decode(given, where)).trim();
      if (text === '') {
        this.#emptySince ||= this.#number;
        return;
      }
      if (this.#emptySince > 0) {
        const empty = `${this.file} line ${this.#emptySince}`;
        this.#emptySince = 0;
        if (!onDamaged) throw damaged(`${empty}: empty line; every line must hold a JSON value`);
        onDamaged(empty);
      }
      const value = parseLine(text, where, parse);
      yield { value, where, text };
    } catch (error) {
      if (!onDamaged || !(error instanceof UserError)) throw error;
      onDamaged(where);
    }
  }
}

/** The lines of some bytes: as texts, which are quicker to make all at once, or as bytes where one is not UTF-8. */
function textsOf(bytes: Uint8Array): (string | Uint8Array)[] {
  try {
    return decodeText(bytes).split('\n');
  } catch {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
      lines.push(bytes.subarray(start, end));
      start = end + 1;
    }
    return [...lines, bytes.subarray(start)];
  }
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return decodeText(bytes);
  } catch (error) {
    throw damaged(`${where}: ${(error as Error).message}`, error);
  }
}

function parseLine(text: string, where: string, parse: (text: string) => unknown): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw damaged(`${where}: malformed JSON (${(error as Error).message})`, error);
  }
}

const damaged = (message: string, cause?: unknown) => new UserError(message, { code: 'damaged-file', cause });

/**
 * The lines of a file that promot wrote; none where the file is not there. A last line without its line break is left
 * out: a program that was killed, or is at work, has not finished it. Errors: those of `JsonLines`.
 */
export function readJsonLines(path: string, onDamaged?: (where: string) => void): JsonLine[] {
  if (!existsSync(path)) return [];
  return [...new JsonLines(path, { onDamaged }).read(readFileSync(path))];
}
