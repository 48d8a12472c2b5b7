// Settings from --config (YAML) and --set key=value: the same keys, dots nest, --set wins.
import { readFileSync } from 'node:fs';
import { didYouMean, reworded, UserError } from '@promot/core/base';
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { z } from 'zod';
import type { CommonOptions } from './options.js';

/** Settings as nested objects: `{ seed: 1, stage1: { steps: 100 } }`. */
export type Settings = { readonly [key: string]: unknown };

interface Setting {
  readonly path: readonly string[];
  readonly value: unknown;
  /** For messages: the file and line, or the flag. */
  readonly place: string;
}

/**
 * Reads the settings of a command line and checks each of them alone, so that a message can say where it stands.
 * @param check throws a UserError for a key or value that is not right.
 */
export function readSettings({ config, set = [] }: CommonOptions, check: (settings: Settings) => unknown): Settings {
  const settings = [...(config === undefined ? [] : readFile(config)), ...set.map(parseFlag)];
  for (const { path, value, place } of settings) {
    try {
      check(nest([{ path, value }]));
    } catch (error) {
      throw reworded(error, (message) => `${place}: ${message}`);
    }
  }
  return nest(settings);
}

function nest(settings: readonly Pick<Setting, 'path' | 'value'>[]): Settings {
  const result: Record<string, unknown> = {};
  for (const { path, value } of settings) {
    let place = result;
    for (const key of path.slice(0, -1)) {
      if (typeof place[key] !== 'object') place[key] = {};
      place = place[key] as Record<string, unknown>;
    }
    place[path.at(-1)!] = value;
  }
  return result;
}

/**
 * Numbers, true, false, null and lists `[a,b]` of them and of words are read as YAML reads them; all else is the text
 * as it stands.
 */
function parseFlag(text: string): Setting {
  const split = text.indexOf('=');
  if (split < 1) throw new UserError(`--set ${text}: write it as key=value`);
  const raw = text.slice(split + 1);
  const document = parseDocument(raw);
  const read = document.errors.length === 0 ? readValue(document) : undefined;
  const isList = isSeq(document.contents) && document.contents.flow && document.contents.items.every(isScalar);
  const isPlain = typeof read === 'number' || typeof read === 'boolean' || (read === null && raw.trim() === 'null');
  const value = isPlain || isList ? read : raw;
  return { path: keyPath(text.slice(0, split).trim(), `--set ${text}`), value, place: `--set ${text}` };
}

/** Undefined where it cannot be had: an alias without an anchor. */
function readValue(document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS();
  } catch {
    return undefined;
  }
}

function keyPath(key: string, place: string): string[] {
  const path = key.split('.');
  if (path.some((part) => part === '' || part === '__proto__')) throw new UserError(`${place}: "${key}" is no key`);
  return path;
}

function readFile(file: string): Setting[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UserError(`cannot read the settings file ${file}`, { code: 'disk', cause: error });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineAt = (offset: number) => `${file} line ${lines.linePos(offset).line}`;
  const [problem] = document.errors;
  if (problem) throw new UserError(`${lineAt(problem.pos[0])}: ${problem.message}`);
  if (document.contents === null) return [];
  if (!isMap(document.contents)) throw new UserError(`${file}: settings are written "key: value", one a line`);
  const leaves = (node: Node, path: readonly string[], place: string): Setting[] => {
    if (isAlias(node)) throw new UserError(`${place}: YAML aliases are not supported here`);
    if (!isMap(node)) {
      try {
        return [{ path, value: node.toJS(document), place }];
      } catch (error) {
        throw new UserError(`${place}: ${(error as Error).message}`, { cause: error });
      }
    }
    return node.items.flatMap((item) => {
      const { key, value } = item as { key: Node; value: Node | null };
      const here = lineAt(key.range?.[0] ?? 0);
      const inner = [...path, ...keyPath(String(key), here)];
      return value === null ? [{ path: inner, value: null, place: here }] : leaves(value, inner, here);
    });
  };
  return leaves(document.contents, [], file);
}

const number = { positive: z.int().positive(), natural: z.int().nonnegative() };

/** Settings of the commands that use a model without training it. */
const known = {
  /** fp32 by default: the same numbers on every processor. bf16 is quicker where the processor multiplies it. */
  precision: z.enum(['fp32', 'bf16']),
  device: z.enum(['auto', 'cpu', 'cuda']),
  batchSize: number.positive,
  beams: number.positive,
  maxNewTokens: number.positive,
  minNewTokens: number.natural,
  lengthPenalty: z.number(),
  brevityPenalty: z.number(),
  temperature: z.number().nonnegative(),
  topK: number.natural,
  topP: z.number().gt(0).lte(1),
  minP: z.number().gte(0).lte(1),
  repetitionPenalty: z.number().positive(),
  noRepeatNgram: number.natural,
  seed: number.natural,
  maxInputLength: number.natural,
  window: number.positive,
  decide: z.enum(['generation', 'likelihood']),
  nll: z.boolean(),
};
/** The settings that say how each token is chosen; see SamplingSettings. */
export const samplingSettings = [
  'temperature',
  'topK',
  'topP',
  'minP',
  'repetitionPenalty',
  'noRepeatNgram',
  'seed',
] as const satisfies readonly (keyof typeof known)[];

type Known = { [K in keyof typeof known]: z.infer<(typeof known)[K]> };

/** A check for `readSettings` that knows only some of the keys. */
function checkKnown(keys: readonly (keyof Known)[]): (settings: Settings) => void {
  return (settings) => {
    for (const [key, value] of Object.entries(settings)) {
      if (!(keys as readonly string[]).includes(key))
        throw new UserError(
          `unknown setting ${key}${didYouMean(key, keys) || `; this command has ${keys.join(', ')}`}`,
        );
      const parsed = known[key as keyof Known].safeParse(value);
      if (!parsed.success) throw new UserError(`setting ${key}: ${parsed.error.issues[0]!.message}`);
    }
  };
}

/** The settings of a command line, for a command that has only some of the keys. */
export function readKnownSettings<K extends keyof Known>(
  options: CommonOptions,
  keys: readonly K[],
): Partial<Pick<Known, K>> {
  return readSettings(options, checkKnown(keys)) as Partial<Pick<Known, K>>;
}
