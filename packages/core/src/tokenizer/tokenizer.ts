// What the rest of promot asks of a tokenizer.

/** A tokenizer as a checkpoint carries it. Ids are those of the model's embedding rows. */
export interface Tokenizer {
  /** Number of ids the tokenizer knows; the model may have more rows (padding of the vocabulary). */
  readonly vocabularySize: number;
  /** Ids of the special tokens; undefined where the tokenizer has none. */
  readonly beginningOfSequence: number | undefined;
  readonly endOfSequence: number;
  readonly padding: number;
  /** Stands for what cannot be written with the vocabulary; undefined where everything can, or where it is dropped. */
  readonly unknown: number | undefined;
  /** Ids of T5's `<extra_id_0>`, `<extra_id_1>`, ... in that order; empty where the tokenizer has none. */
  readonly sentinels: readonly number[];
  /**
   * Token ids of a text, never cut and never padded. With `specialTokens` (default true) the tokenizer's own template
   * is applied: T5 ends with `</s>`, Llama 2 begins with `<s>`.
   */
  encode(text: string, options?: { specialTokens?: boolean }): number[];
  /**
   * Text of token ids; ids that the tokenizer lacks are dropped. With `specialTokens` false (the default) special
   * tokens and sentinels are left out; with true they are written as they are.
   */
  decode(ids: readonly number[], options?: { specialTokens?: boolean }): string;
  /**
   * Whether decoding surely gives this text back, encoded without special tokens: takes a fraction of the time of
   * encoding. False, or absent, where only encoding can tell.
   */
  keeps?(text: string): boolean;
  /**
   * Whether the ids of a text may be `from` or more. False is sure, and known without encoding. Absent where only
   * encoding can tell.
   */
  mayReach?(text: string, from: number): boolean;
  /** The id of a token by its exact spelling in the vocabulary. */
  idOf(token: string): number | undefined;
  /**
   * The same with these tokens added, at the next free ids in their order. Absent where every text can be written
   * anyway (ByT5). Throws UserError for one that is a token already.
   */
  extended?(tokens: readonly string[]): Tokenizer;
  /**
   * The files (name to content) that stand for this tokenizer in a Hugging Face folder: those that it was read from,
   * byte for byte, or for one that came otherwise tokenizer.json and tokenizer_config.json.
   */
  files(): ReadonlyMap<string, string | Uint8Array>;
}

/** A copy of the tokenizer with some parts replaced. */
export function tokenizerWith(tokenizer: Tokenizer, parts: Partial<Pick<Tokenizer, 'encode' | 'files'>>): Tokenizer {
  const { vocabularySize, beginningOfSequence, endOfSequence, padding, unknown, sentinels, extended } = tokenizer;
  return {
    vocabularySize,
    beginningOfSequence,
    endOfSequence,
    padding,
    unknown,
    sentinels,
    ...(extended && { extended: (tokens: readonly string[]) => extended.call(tokenizer, tokens) }),
    encode: (text, options) => tokenizer.encode(text, options),
    decode: (ids, options) => tokenizer.decode(ids, options),
    // Another `encode` may refuse what it would not be asked.
    ...(!parts.encode && tokenizer.keeps && { keeps: (text: string) => tokenizer.keeps!(text) }),
    ...(tokenizer.mayReach && { mayReach: (text: string, from: number) => tokenizer.mayReach!(text, from) }),
    idOf: (token) => tokenizer.idOf(token),
    files: () => tokenizer.files(),
    ...parts,
  };
}
