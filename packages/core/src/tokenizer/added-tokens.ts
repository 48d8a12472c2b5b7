// Added tokens as tokenizer_config.json lists them, and the bounds of what a tokenizer's files may ask for.
import { UserError } from '../base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';

/** More ids than any vocabulary has: the largest have 262,144 and some. */
export const GREATEST_ID = 4_000_000;
/** More sentinels than any T5 has (100; ByT5 125). */
const MOST_SENTINELS = 10_000;

/** In characters; the longest known tokens are runs of 128 spaces. */
export const LONGEST_TOKEN = 2000;

/** A token of `added_tokens_decoder`. */
interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly properties: JsonObject;
}

/** The tokens of `added_tokens_decoder`, by id. Throws a UserError for a malformed entry. */
export function readAddedTokens(decoder: Json | undefined, place: string): AddedToken[] {
  if (decoder === undefined || decoder === null) return [];
  if (!isJsonObject(decoder)) throw new UserError(`${place}: added_tokens_decoder is no object`);
  const tokens = Object.entries(decoder).map(([key, properties]) => {
    const id = Number(key);
    if (!Number.isInteger(id) || id < 0 || id > GREATEST_ID)
      throw new UserError(`${place}: added_tokens_decoder: "${key.slice(0, 30)}" is no token id`);
    if (!isJsonObject(properties) || typeof properties.content !== 'string')
      throw new UserError(`${place}: added_tokens_decoder: token ${id} has no "content"`);
    return { id, content: properties.content, properties };
  });
  return tokens.sort((a, b) => a.id - b.id);
}

/**
 * A number of sentinels out of a file; `fallback` where it is silent. Throws a UserError for one that nobody can mean.
 */
export function sentinelCount(value: Json | undefined, fallback: number, place: string): number {
  if (value === undefined || value === null) return fallback;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST_SENTINELS) return value;
  throw new UserError(
    `${place}: extra_ids is ${JSON.stringify(value).slice(0, 40)}: a number up to ${MOST_SENTINELS} is needed`,
  );
}
