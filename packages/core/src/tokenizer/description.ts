// The content of tokenizer.json, checked: every part that promot reads is of the type that the tokenizers crate writes.
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { isJsonObject, type JsonObject } from '../base/json.js';
import { GREATEST_ID, LONGEST_TOKEN } from './added-tokens.js';

const flag = z.boolean().nullish();
const text = z.string().nullish();
const pattern = z.union([z.strictObject({ String: z.string() }), z.strictObject({ Regex: z.string() })]);
const id = z.int().min(0).max(GREATEST_ID);

/** Parts may hold parts; deeper than this none does. */
const DEEPEST = 8;

const piece = z.looseObject({ id: z.string(), type_id: z.int().nullish() });
const template = z.array(z.union([z.looseObject({ SpecialToken: piece }), z.looseObject({ Sequence: piece })]));

/** The fields of a part that mean something, whatever its type; `type` itself is the library's to know. */
const part = z.looseObject({
  type: z.string(),
  pattern: z.union([pattern, z.string()]).nullish(),
  content: z.string().nullish(),
  prepend: text,
  replacement: text,
  prepend_scheme: z.enum(['always', 'never', 'first']).nullish(),
  precompiled_charsmap: text,
  behavior: text,
  split: flag,
  invert: flag,
  add_prefix_space: flag,
  trim_offsets: flag,
  use_regex: flag,
  individual_digits: flag,
  start: z.int().min(0).nullish(),
  stop: z.int().min(0).nullish(),
  special_tokens: z
    .union([
      z.record(z.string(), z.looseObject({ ids: z.array(id), tokens: z.array(z.string()) })),
      z.array(z.tuple([z.string(), id])),
    ])
    .nullish(),
  single: z.union([template, z.string()]).nullish(),
  pair: z.union([template, z.string()]).nullish(),
});

/** What a part of a type cannot do without. */
const needed: Readonly<Record<string, readonly string[]>> = {
  Replace: ['pattern', 'content'],
  Prepend: ['prepend'],
  Precompiled: ['precompiled_charsmap'],
  Split: ['pattern', 'behavior'],
  Metaspace: ['replacement'],
  TemplateProcessing: ['single'],
};

const token = z.looseObject({
  id,
  content: z.string(),
  single_word: flag,
  lstrip: flag,
  rstrip: flag,
  normalized: flag,
  special: flag,
});

const model = z.looseObject({
  type: z.enum(['BPE', 'Unigram', 'WordPiece', 'WordLevel']).nullish(),
  unk_id: id.nullish(),
  unk_token: text,
  byte_fallback: flag,
  fuse_unk: flag,
  ignore_merges: flag,
  continuing_subword_prefix: text,
  end_of_word_suffix: text,
  max_input_chars_per_word: z.int().nullish(),
});

/** Throws a UserError with the place in the file for the first part that is of another type than it must be. */
export function checkDescription(description: JsonObject, place: string): void {
  const where = `${place}: tokenizer.json`;
  check(description.model, model, `${where}: model`);
  const tokens = description.added_tokens ?? [];
  check(tokens, z.array(token), `${where}: added_tokens`);
  const { vocab, merges } = description.model as JsonObject;
  if (Array.isArray(vocab)) {
    const odd = vocab.findIndex(
      (row) => !Array.isArray(row) || typeof row[0] !== 'string' || typeof row[1] !== 'number',
    );
    if (odd >= 0) throw new UserError(`${where}: model.vocab.${odd}: a token and its score are needed`);
    checkTokenLengths(
      vocab.map((row) => (row as [string])[0]),
      `${where}: model.vocab`,
    );
  } else if (isJsonObject(vocab)) {
    const isId = (x: unknown) => Number.isInteger(x) && Number(x) >= 0 && Number(x) <= GREATEST_ID;
    const tokens = Object.keys(vocab);
    const odd = tokens.find((one) => !isId(vocab[one]));
    if (odd !== undefined)
      throw new UserError(`${where}: model.vocab: ${short(odd)} has the id ${short(vocab[odd])}, which is no token id`);
    checkTokenLengths(tokens, `${where}: model.vocab`);
  } else throw new UserError(`${place}: the tokenizer is not understood: model.vocab is not a vocabulary`);
  if (merges !== undefined && merges !== null) {
    if (!Array.isArray(merges)) throw new UserError(`${where}: model.merges: a list is needed`);
    const isPair = (x: unknown) => Array.isArray(x) && x.length === 2 && x.every((one) => typeof one === 'string');
    const odd = merges.findIndex((merge) =>
      typeof merge === 'string' ? merge.split(' ').length !== 2 : !isPair(merge),
    );
    if (odd >= 0) throw new UserError(`${where}: model.merges.${odd}: ${short(merges[odd])} is no pair of tokens`);
  }
  for (const key of ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'])
    if (description[key] !== undefined && description[key] !== null) checkPart(description[key], `${where}: ${key}`, 0);
}

/** What is built from a token takes time and memory for each of its characters, and for each pair. */
export function checkTokenLengths(tokens: readonly string[], where: string): void {
  const long = tokens.find((token) => token.length > LONGEST_TOKEN);
  if (long !== undefined)
    throw new UserError(`${where}: a token of ${long.length} characters, and at most ${LONGEST_TOKEN} are expected`);
}

const lists = ['normalizers', 'pretokenizers', 'processors', 'decoders'];

function checkPart(value: unknown, where: string, depth: number): void {
  if (depth > DEEPEST) throw new UserError(`${where}: parts within parts, more than ${DEEPEST} deep`);
  check(value, part, where);
  if (!isJsonObject(value)) return;
  const missing = needed[String(value.type)]?.find((key) => value[key] === undefined || value[key] === null);
  if (missing) throw new UserError(`${where}: a ${value.type} needs "${missing}"`);
  for (const list of lists) {
    const inner = value[list];
    if (inner === undefined) continue;
    if (!Array.isArray(inner)) throw new UserError(`${where}.${list}: a list is needed`);
    for (const [i, one] of inner.entries()) checkPart(one, `${where}.${list}.${i}`, depth + 1);
  }
  if (value.type === 'Sequence' && !lists.some((list) => Array.isArray(value[list])))
    throw new UserError(`${where}: a Sequence without parts`);
}

function check(value: unknown, schema: z.ZodType, where: string): void {
  const result = schema.safeParse(value);
  if (result.success) return;
  const issue = result.error.issues[0]!;
  throw new UserError(`${[where, ...issue.path].join('.')}: ${issue.message}`);
}

function short(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  return json.length > 40 ? `${json.slice(0, 37)}...` : json;
}
