// Regular expressions out of a tokenizer.json, which may be made to run for ever. Those of real tokenizers cannot: they
// run as they are. Any other, and any on a very long text, runs with a limit of time.
import { createContext, Script } from 'node:vm';
import { UserError } from '../base/errors.js';

/** Steps that a text may cost without a watch: some seconds, and hostile patterns alone come near. */
const freeSteps = 4e10;
const longestFree = 2 ** 24;

/**
 * The longest text, in characters, that these patterns match in moderate time whatever it is; 0 where none is known.
 */
export function freeLength(patterns: readonly RegExp[]): number {
  let length = longestFree;
  const steps = (n: number) => n * patterns.reduce((sum, pattern) => sum + ways(pattern, n), 0);
  while (length >= 1 && steps(length) > freeSteps) length /= 2;
  return Math.floor(length);
}

/**
 * An upper bound of the ways in which a pattern may match from one place of a text of n characters; backtracking may
 * try them all. Infinite for repeated groups (`(a+)+`, `(a|aa)*`), back references and syntax that is not known here.
 */
export function ways({ source, flags }: RegExp, n: number): number {
  if (flags.includes('v') || /\\[1-9k]/u.test(source)) return Number.POSITIVE_INFINITY;
  // A character each: escapes, then classes.
  const text = source
    .replaceAll(/\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|.)/gsu, 'x')
    .replaceAll(/\[[^\]]*\]/gu, 'x');
  let at = 0;
  const taken = (pattern: RegExp): string | undefined => {
    const found = pattern.exec(text.slice(at, at + 200));
    at += found?.[0].length ?? 0;
    return found?.[0];
  };
  const alternatives = (): number => {
    let sum = sequence();
    while (taken(/^\|/u)) sum += sequence();
    return sum;
  };
  const sequence = (): number => {
    let product = 1;
    while (at < text.length && text[at] !== '|' && text[at] !== ')') product *= repeated();
    return product;
  };
  const repeated = (): number => {
    const group = taken(/^\((?:\?(?:[:=!]|<[=!]|<\w+>))?/u);
    const inner = group === undefined ? 1 : alternatives();
    if (group === undefined ? !taken(/^[^()[\]|*+?{}]/su) : !taken(/^\)/u)) return unknown();
    const times = taken(/^(?:[*+?]|\{\d+(?:,\d*)?\})/u);
    if (times === undefined) return inner;
    taken(/^\?/u); // the lazy form tries the same
    const bounds = /^\{(\d+)(,?)(\d*)\}$/u.exec(times);
    const least = bounds ? Number(bounds[1]) : times === '+' ? 1 : 0;
    const most = bounds?.[2] === '' ? least : Number(bounds ? bounds[3] || n : times === '?' ? 1 : n);
    if (inner === 1) return Math.max(1, Math.min(n, most) - least + 1);
    if (most > 1 && most !== least) return Number.POSITIVE_INFINITY;
    return inner ** most + (least === 0 ? 1 : 0);
  };
  const unknown = (): number => {
    at = text.length;
    return Number.POSITIVE_INFINITY;
  };
  const all = alternatives();
  return at < text.length ? Number.POSITIVE_INFINITY : all;
}

/** Where work runs that a timer may end; made at its first use. */
let room: { readonly context: { work: (() => unknown) | undefined }; readonly script: Script } | undefined;

/** Ten seconds, and more for what is long: a slow machine tokenizes thousands of characters in one. */
const milliseconds = (length: number) => 10_000 + Math.ceil(length / 10);

/**
 * What `work` returns, which is as quick as `what` lets it be. Errors: a UserError with the place where it takes more
 * than 10 s (and 0.1 ms for each of `length` characters).
 */
export function withinTime<T>(place: string, length: number, work: () => T, what = 'a pattern of tokenizer.json'): T {
  room ??= {
    context: createContext({ work: undefined }) as NonNullable<typeof room>['context'],
    script: new Script('work()'),
  };
  const { context, script } = room;
  const outer = context.work;
  context.work = work;
  try {
    return script.runInContext(context, { timeout: milliseconds(length) }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new UserError(
      `${place}: ${what} takes more than ${milliseconds(length) / 1000} s on a text of ${length} characters`,
      { code: 'damaged-file', cause: error },
    );
  } finally {
    context.work = outer;
  }
}

/** All patterns in the parts of a tokenizer of the library. */
export function patternsOf(part: unknown, seen = new Set<unknown>()): RegExp[] {
  if (part instanceof RegExp) return [part];
  // The library's parts are functions with fields.
  if ((typeof part !== 'object' && typeof part !== 'function') || part === null || seen.has(part)) return [];
  seen.add(part);
  return Object.values(part).flatMap((value) => patternsOf(value, seen));
}
