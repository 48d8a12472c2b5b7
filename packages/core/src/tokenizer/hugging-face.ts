// A tokenizer made of the content of tokenizer.json and tokenizer_config.json.

import { UserError } from '../base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import { LONGEST_TOKEN, readAddedTokens } from './added-tokens.js';
import { checkDescription } from './description.js';
import { checkNewTokens, withTokens } from './extend.js';
import { libraryTokenizer } from './library.js';
import type { LibraryTokenizer } from './library-types.js';
import { freeLength, patternsOf, withinTime } from './patterns.js';
import { specialTokensTemplate } from './sentencepiece.js';
import type { Tokenizer } from './tokenizer.js';
import { keptTexts, spellingsFrom } from './without-encoding.js';

/** What a checkpoint says of its tokenizer. */
export interface TokenizerFiles {
  /** For messages: the folder or file that this came from. */
  place: string;
  /** The content of tokenizer.json. */
  description: JsonObject;
  /** The content of tokenizer_config.json, special_tokens_map.json's keys added; empty where there is none. */
  config: JsonObject;
  /** Ids that the model's configuration gives, for where the tokenizer's own files are silent. */
  modelIds?: { beginningOfSequence?: number; endOfSequence?: number; padding?: number };
}

/** Ends of sequence by their usual names, for a tokenizer.json that comes alone. */
const USUAL_ENDS = ['</s>', '<|im_end|>', '<|eot_id|>', '<|end_of_text|>', '<|endoftext|>'];

/**
 * Builds the tokenizer. The description's own `truncation` and `padding` and the config's `model_max_length` are
 * ignored. Throws a UserError for a description that is not understood and where no end of sequence is known.
 */
export function huggingFaceTokenizer({ place, description, config, modelIds = {} }: TokenizerFiles): Tokenizer {
  const complete = completeDescription(place, description, config);
  checkDescription(complete, place);
  let library: LibraryTokenizer;
  try {
    library = libraryTokenizer(complete);
    // What the library takes and cannot run comes out here, and not in the middle of the work.
    const text = 'A b1\u00e9 <x>\n';
    withinTime(place, text.length, () =>
      library.decode(library.encode(text, { add_special_tokens: true }).ids.concat(0), {
        clean_up_tokenization_spaces: false,
      }),
    );
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${place}: the tokenizer is not understood: ${(error as Error).message}`, { cause: error });
  }
  const idOf = (token: string | undefined) => (token === undefined ? undefined : library.token_to_id(token));
  const endOfSequence =
    idOf(tokenName(config.eos_token)) ?? modelIds.endOfSequence ?? USUAL_ENDS.map(idOf).find((id) => id !== undefined);
  if (endOfSequence === undefined) {
    throw new UserError(
      `${place}: no end-of-sequence token is known. Name it as "eos_token" in tokenizer_config.json.`,
    );
  }
  return new HuggingFaceTokenizer(place, library, complete, config, {
    // Qwen2's files say null: the tokenizer has none, whatever id the model's configuration gives.
    beginningOfSequence:
      config.bos_token === null ? undefined : (idOf(tokenName(config.bos_token)) ?? modelIds.beginningOfSequence),
    endOfSequence,
    padding: idOf(tokenName(config.pad_token)) ?? modelIds.padding ?? idOf('<pad>') ?? endOfSequence,
    unknown: unknownOf(complete.model as JsonObject, idOf),
  });
}

class HuggingFaceTokenizer implements Tokenizer {
  readonly vocabularySize: number;
  readonly beginningOfSequence: number | undefined;
  readonly endOfSequence: number;
  readonly padding: number;
  readonly unknown: number | undefined;
  readonly sentinels: readonly number[];
  readonly #place: string;
  readonly #library: LibraryTokenizer;
  /** Longer texts are encoded, and longer lists of ids decoded, with a limit of time. */
  readonly #freeText: number;
  readonly #freeIds: number;
  readonly #description: JsonObject;
  readonly #config: JsonObject;
  /** Ids that decoding leaves out unless asked for. */
  readonly #special: ReadonlySet<number>;
  readonly #cleansUp: boolean;
  #keeps: ((text: string) => boolean) | undefined;
  /** What `mayReach` was asked last. */
  #last: { readonly from: number; readonly spellings: readonly string[] | undefined } | undefined;

  constructor(
    place: string,
    library: LibraryTokenizer,
    description: JsonObject,
    config: JsonObject,
    ids: Pick<Tokenizer, 'beginningOfSequence' | 'endOfSequence' | 'padding' | 'unknown'>,
  ) {
    this.#place = place;
    this.#library = library;
    this.#freeText = freeLength(patternsOf([library.normalizer, library.pre_tokenizer]));
    this.#freeIds = freeLength(patternsOf(library.decoder)) / LONGEST_TOKEN;
    this.#description = description;
    this.#config = config;
    this.beginningOfSequence = ids.beginningOfSequence;
    this.endOfSequence = ids.endOfSequence;
    this.padding = ids.padding;
    this.unknown = ids.unknown;
    const vocabulary = library.get_vocab();
    const sentinels: number[] = [];
    let highest = -1;
    for (const [token, id] of vocabulary) {
      if (id > highest) highest = id;
      // mT5 spells its sentinels with the space's mark in front.
      const sentinel = /^▁?<extra_id_(\d{1,4})>$/.exec(token);
      if (sentinel) sentinels[Number(sentinel[1])] = id;
    }
    this.vocabularySize = highest + 1;
    this.sentinels = sentinels.filter((id) => id !== undefined);
    const special = new Set<number>(this.sentinels);
    for (const [id, token] of library.get_added_tokens_decoder()) if (token.special) special.add(id);
    for (const id of [ids.beginningOfSequence, ids.endOfSequence]) if (id !== undefined) special.add(id);
    this.#special = special;
    // Transformers cleans up where the file asks for it, except with BPE, whose spaces it would spoil.
    const model = description.model as JsonObject;
    this.#cleansUp = config.clean_up_tokenization_spaces === true && model.type !== 'BPE';
  }

  encode(text: string, { specialTokens = true }: { specialTokens?: boolean } = {}): number[] {
    const encode = () => this.#library.encode(text, { add_special_tokens: specialTokens }).ids;
    return text.length <= this.#freeText ? encode() : withinTime(this.#place, text.length, encode);
  }

  decode(ids: readonly number[], { specialTokens = false }: { specialTokens?: boolean } = {}): string {
    const known = ids.filter(
      (id) => this.#library.id_to_token(id) !== undefined && (specialTokens || !this.#special.has(id)),
    );
    if (known.length === 0) return ''; // the library throws at an empty list
    const decode = () => this.#library.decode(known, { clean_up_tokenization_spaces: this.#cleansUp });
    return known.length <= this.#freeIds ? decode() : withinTime(this.#place, known.length, decode);
  }

  keeps(text: string): boolean {
    this.#keeps ??= keptTexts(this.#description, this.#library, this.#special);
    return this.#keeps(text);
  }

  mayReach(text: string, from: number): boolean {
    if (this.#last?.from !== from)
      this.#last = { from, spellings: spellingsFrom(this.#description, this.#library, from) };
    return this.#last.spellings?.some((token) => text.includes(token)) ?? true;
  }

  idOf(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  extended(tokens: readonly string[]): Tokenizer {
    checkNewTokens(tokens, (token) => this.idOf(token) !== undefined);
    const modelIds = {
      ...(this.beginningOfSequence !== undefined && { beginningOfSequence: this.beginningOfSequence }),
      endOfSequence: this.endOfSequence,
      padding: this.padding,
    };
    // The description is complete: T5's class would build its own pipeline around the vocabulary.
    const { extra_ids: _, added_tokens_decoder: __, ...rest } = this.#config;
    const config = { ...rest, tokenizer_class: 'PreTrainedTokenizerFast' };
    const build = (hidden: readonly string[]) =>
      huggingFaceTokenizer({
        place: this.#place,
        description: withTokens(this.#description, tokens, new Set(hidden), this.vocabularySize),
        config,
        modelIds,
      });
    const isLost = (tokenizer: Tokenizer) => (token: string, i: number) => {
      const ids = tokenizer.encode(`a${token}b`, { specialTokens: false });
      return !ids.includes(this.vocabularySize + i) || tokenizer.decode(ids).trim() !== `a${token}b`;
    };
    const plain = build([]);
    const lost = tokens.filter(isLost(plain));
    if (lost.length === 0) return plain;
    const tokenizer = build(lost);
    const never = tokens.filter(isLost(tokenizer));
    if (never.length > 0)
      throw new UserError(
        `addTokens: ${never.map((token) => JSON.stringify(token)).join(', ')}: this tokenizer cannot have them ` +
          'as tokens',
      );
    return tokenizer;
  }

  files(): ReadonlyMap<string, string> {
    const token = (id: number | undefined) => (id === undefined ? undefined : this.#library.id_to_token(id));
    const config: JsonObject = { ...this.#config };
    const defaults = {
      tokenizer_class: this.sentinels.length > 0 ? 'T5Tokenizer' : 'PreTrainedTokenizerFast',
      bos_token: token(this.beginningOfSequence),
      eos_token: token(this.endOfSequence),
      pad_token: token(this.padding),
    };
    for (const [key, value] of Object.entries(defaults)) {
      if (value !== undefined && config[key] === undefined) config[key] = value;
    }
    return new Map([
      ['tokenizer.json', `${JSON.stringify(this.#description)}\n`],
      ['tokenizer_config.json', `${JSON.stringify(config, null, 2)}\n`],
    ]);
  }
}

/** The id that stands for what a vocabulary lacks. */
function unknownOf(model: JsonObject, idOf: (token: string | undefined) => number | undefined): number | undefined {
  if (typeof model.unk_id === 'number') return model.unk_id;
  return typeof model.unk_token === 'string' ? idOf(model.unk_token) : undefined;
}

/** A token's spelling: files hold a string or an object with `content`. */
function tokenName(value: Json | undefined): string | undefined {
  if (typeof value === 'string') return value;
  return isJsonObject(value) && typeof value.content === 'string' ? value.content : undefined;
}

/**
 * The description with what its neighbours say put in, as Transformers does when it loads a folder: added and special
 * tokens, T5's way of splitting, the begin and end tokens that tokenizer_config.json asks for.
 */
function completeDescription(place: string, given: JsonObject, config: JsonObject): JsonObject {
  if (!isJsonObject(given.model)) throw new UserError(`${place}: tokenizer.json has no "model".`);
  const model: JsonObject = { ...given.model };
  model.type ??= Array.isArray(model.vocab) ? 'Unigram' : Array.isArray(model.merges) ? 'BPE' : 'WordPiece';
  const added = given.added_tokens ?? [];
  if (!Array.isArray(added) || !added.every(isJsonObject))
    throw new UserError(`${place}: tokenizer.json: added_tokens: a list of objects is needed`);
  const description: JsonObject = {
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...given,
    truncation: null,
    padding: null,
    model,
    added_tokens: addedTokens(added, model, config, place),
  };
  if (model.type === 'Unigram' && /^M?T5Tokenizer(Fast)?$/.test(String(config.tokenizer_class))) {
    usesT5Splitting(description);
    // The class builds its model without: what it lacks is <unk>, though the vocabulary has the bytes.
    model.byte_fallback = false;
  }
  usesConfiguredEnds(description, config);
  return description;
}

/** The id of each token of a model's vocabulary: an object of them, or a list in their order. */
function idsOf(vocabulary: Json | undefined): Readonly<Record<string, number>> {
  if (!Array.isArray(vocabulary)) return (vocabulary ?? {}) as Record<string, number>;
  const nameOf = (entry: Json) => String(Array.isArray(entry) ? entry[0] : entry);
  return Object.fromEntries(vocabulary.map((entry, id) => [nameOf(entry), id]));
}

/** Added tokens of all files; those that are in no list yet get the next free ids, special ones are marked. */
function addedTokens(listed: JsonObject[], model: JsonObject, config: JsonObject, place: string): JsonObject[] {
  const ids = idsOf(model.vocab);
  const added = new Map(listed.map((token) => [String(token.content), token]));
  // Looked for where a token needs it: to go through a vocabulary takes time.
  let next: number | undefined;
  const nextFree = () => {
    next ??= [...Object.values(ids), ...[...added.values()].map(({ id }) => Number(id))].reduce(
      (most, id) => Math.max(most, id + 1),
      0,
    );
    return next;
  };
  const add = (content: string, properties: JsonObject) => {
    if (added.has(content)) return;
    const known = Object.hasOwn(ids, content) ? ids[content] : undefined;
    const id = known ?? (typeof properties.id === 'number' ? properties.id : nextFree());
    if (next !== undefined) next = Math.max(next, id + 1);
    const defaults = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
    added.set(content, { ...defaults, ...properties, id, content });
  };
  for (const { id, content, properties } of readAddedTokens(config.added_tokens_decoder, place))
    add(content, { ...properties, id });
  const named: (Json | undefined)[] = [config.bos_token, config.eos_token, config.unk_token, config.pad_token];
  for (const key of ['additional_special_tokens', 'extra_special_tokens']) {
    if (Array.isArray(config[key])) named.push(...config[key]);
  }
  for (const value of named) {
    const content = tokenName(value);
    if (content === undefined || content === '') continue;
    const known = added.get(content);
    if (known) added.set(content, { ...known, special: true });
    else add(content, isJsonObject(value) ? value : {});
  }
  return [...added.values()].sort((a, b) => Number(a.id) - Number(b.id));
}

/**
 * T5's tokenizer class splits at white space whatever its tokenizer.json says, in Transformers 5 as in SentencePiece.
 * (FLAN-T5's file says otherwise, which shows in spaces at the end of a text.) SentencePiece knows one white space, the
 * one that its map makes of the others; Transformers also splits at U+0085, which the map keeps.
 */
function usesT5Splitting(description: JsonObject): void {
  const { normalizer } = description;
  const steps = isJsonObject(normalizer)
    ? normalizer.type === 'Sequence' && Array.isArray(normalizer.normalizers)
      ? normalizer.normalizers
      : [normalizer]
    : [];
  const map = steps.find((step) => isJsonObject(step) && step.type === 'Precompiled') ?? null;
  const split: JsonObject = map
    ? { type: 'Split', pattern: { Regex: ' +' }, behavior: 'Removed', invert: false }
    : { type: 'WhitespaceSplit' };
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
  description.normalizer = map;
  description.pre_tokenizer = { type: 'Sequence', pretokenizers: [split, metaspace] };
  description.decoder = metaspace;
}

/** `add_bos_token` and `add_eos_token`, where a file has one of them, decide on the tokens around a text. */
function usesConfiguredEnds(description: JsonObject, config: JsonObject): void {
  if (typeof config.add_bos_token !== 'boolean' && typeof config.add_eos_token !== 'boolean') return;
  const find = (value: Json | undefined) => {
    const token = tokenName(value);
    const entry = (description.added_tokens as JsonObject[]).find(({ content }) => content === token);
    return token === undefined || entry === undefined ? undefined : { token, id: Number(entry.id) };
  };
  const before = config.add_bos_token === true ? find(config.bos_token) : undefined;
  const after = config.add_eos_token === true ? find(config.eos_token) : undefined;
  description.post_processor = specialTokensTemplate({ ...(before && { before }), ...(after && { after }) });
}
