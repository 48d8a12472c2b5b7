// What is known of a text's tokens without encoding it: whether decoding gives it back, as a byte-level tokenizer
// writes every byte, and whether it can hold some of the last tokens.
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import type { LibraryTokenizer } from './library-types.js';

/**
 * A question to a tokenizer: whether decoding surely gives a text back, encoded without special tokens. False where
 * only encoding can tell. Sure are texts without added tokens, in a BPE of bytes whose steps change and drop nothing.
 *
 * @param description tokenizer.json, complete.
 * @param left the ids that decoding leaves out.
 */
export function keptTexts(
  description: JsonObject,
  library: LibraryTokenizer,
  left: ReadonlySet<number>,
): (text: string) => boolean {
  const model = description.model as JsonObject;
  const added = (description.added_tokens as JsonObject[]).map(({ content }) => String(content));
  const isSure =
    model.type === 'BPE' &&
    !model.continuing_subword_prefix &&
    !model.end_of_word_suffix &&
    (description.normalizer === null || typeOf(description.normalizer!) === 'NFC') &&
    typeOf(description.decoder!) === 'ByteLevel' &&
    dropsNothing(description.pre_tokenizer!) &&
    [...left].every((id) => added.includes(String(library.id_to_token(id)))) &&
    isWhole(model, library);
  if (!isSure) return () => false;
  const isWritten = bytesAsCharacters().map((character) => library.token_to_id(character) !== undefined);
  return (text) =>
    text === text.normalize('NFC') &&
    Buffer.from(text).toString() === text &&
    Buffer.from(text).every((byte) => isWritten[byte]) &&
    !added.some((token) => text.includes(token));
}

/**
 * The texts of which one stands in every text whose ids reach `from`; undefined where only encoding can tell. Added
 * tokens are found in a text as they are spelled; others may be made of what a normalizer leaves.
 *
 * @param description tokenizer.json, complete.
 */
export function spellingsFrom(
  description: JsonObject,
  library: LibraryTokenizer,
  from: number,
): readonly string[] | undefined {
  const added = new Map((description.added_tokens as JsonObject[]).map((token) => [Number(token.id), token]));
  const { vocab } = description.model as JsonObject;
  const listed = Array.isArray(vocab)
    ? new Set(vocab.map((piece) => (Array.isArray(piece) ? piece[0] : piece)))
    : undefined;
  const isPiece = (token: string) => listed?.has(token) ?? Object.hasOwn(vocab as JsonObject, token);
  const spellings: string[] = [];
  for (const [id, token] of library.model.vocab.entries()) {
    if (id < from || token === undefined) continue;
    const spelled = added.get(id);
    if (!spelled || spelled.normalized === true || isPiece(token)) return undefined;
    spellings.push(token);
  }
  // What stands around every text.
  const around = library.encode('', { add_special_tokens: true }).ids;
  return around.some((id) => id >= from) ? undefined : spellings;
}

function typeOf(part: Json): Json | undefined {
  return isJsonObject(part) ? part.type : undefined;
}

/** Whether the text is only cut, and then written as bytes. */
function dropsNothing(part: Json): boolean {
  const steps = isJsonObject(part) && Array.isArray(part.pretokenizers) ? part.pretokenizers : [part];
  return steps.every((step, i) => {
    if (!isJsonObject(step)) return false;
    if (i === steps.length - 1) return step.type === 'ByteLevel' && step.add_prefix_space === false;
    return step.type === 'Digits' || (step.type === 'Split' && step.behavior === 'Isolated' && step.invert !== true);
  });
}

/** Whether what merges make is a token, and each token has an id of its own. */
function isWhole({ merges }: JsonObject, { model }: LibraryTokenizer): boolean {
  const { vocab, tokens_to_ids: ids } = model;
  let tokens = 0;
  for (const [id, token] of vocab.entries()) {
    if (token === undefined) continue;
    if (ids.get(token) !== id) return false;
    tokens++;
  }
  const made = (merge: string | [string, string]) =>
    typeof merge === 'string' ? merge.replace(' ', '') : merge[0] + merge[1];
  return tokens === ids.size && (merges as (string | [string, string])[]).every((merge) => ids.has(made(merge)));
}

/** The characters by which byte-level tokenizers write the bytes 0 to 255 (GPT-2's bytes_to_unicode). */
function bytesAsCharacters(): string[] {
  let others = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isShown = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(isShown ? byte : others++);
  });
}
