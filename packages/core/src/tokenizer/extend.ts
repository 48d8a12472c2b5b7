// New tokens for a tokenizer, as the content of its tokenizer.json.
import { UserError } from '../base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';

/** Stand for tokens that a normalizer would change or split; private, so that no text holds them. */
const FIRST_PRIVATE = 0xe000;

/**
 * The content of tokenizer.json with `tokens` added, with the ids from `firstId` on.
 *
 * A unigram model (T5) gets them as pieces, whose score makes them win over any other way to write the text. In a list
 * of added tokens they would cut the text in two, and T5 begins every part with a space: `{"a"}` would come back as
 * `{ "a" }`. `hidden` ones (line breaks, which T5's normalizer makes spaces of) stand as a private character between
 * the normalizer and the decoder. All other models get added tokens.
 *
 * Throws UserError for a text that is a token already.
 */
export function withTokens(
  description: JsonObject,
  tokens: readonly string[],
  hidden: ReadonlySet<string>,
  firstId: number,
): JsonObject {
  const model = description.model as JsonObject;
  const listed = (description.added_tokens as JsonObject[] | undefined) ?? [];
  if (model.type !== 'Unigram') {
    const own = tokens.map((content, i) => ({
      id: firstId + i,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: false,
    }));
    return { ...description, added_tokens: [...listed, ...own] };
  }
  const vocab = [...(model.vocab as Json[])];
  // A piece's id is its place: tokens that are in the list alone take theirs.
  const names = new Map(listed.map(({ id, content }) => [Number(id), String(content)]));
  while (vocab.length < firstId) vocab.push([names.get(vocab.length) ?? `<unused_${vocab.length}>`, 0]);
  const signs = new Map([...hidden].map((token, i) => [token, String.fromCodePoint(FIRST_PRIVATE + i)]));
  for (const token of tokens) vocab.push([signs.get(token) ?? token, 0]);
  const replace = (from: string, to: string): JsonObject => ({
    type: 'Replace',
    pattern: { String: from },
    content: to,
  });
  const before = [...signs].map(([token, sign]) => replace(token, sign));
  const after = [...signs].map(([token, sign]) => replace(sign, token));
  return {
    ...description,
    model: { ...model, vocab },
    normalizer: joined('Sequence', 'normalizers', before, description.normalizer, []),
    decoder: joined('Sequence', 'decoders', [], description.decoder, after),
  };
}

/** A part with steps in front and behind. */
function joined(
  type: string,
  list: string,
  before: readonly JsonObject[],
  part: Json | undefined,
  after: readonly JsonObject[],
): Json {
  if (before.length + after.length === 0) return part ?? null;
  const steps = isJsonObject(part) ? (part.type === type ? (part[list] as Json[]) : [part]) : [];
  return { type, [list]: [...before, ...steps, ...after] };
}

/** Throws UserError for tokens that cannot be added: empty, named twice, or there already. */
export function checkNewTokens(tokens: readonly string[], has: (token: string) => boolean): void {
  for (const [i, token] of tokens.entries()) {
    if (token === '') throw new UserError('addTokens: a token is empty');
    if (/^ +$/u.test(token)) throw new UserError('addTokens: spaces alone would change how every text is written');
    if (tokens.indexOf(token) !== i) throw new UserError(`addTokens: ${JSON.stringify(token)} is named twice`);
    if (has(token)) throw new UserError(`addTokens: ${JSON.stringify(token)} is a token already`);
  }
}
