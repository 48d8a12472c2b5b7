// Which texts a tokenizer gives back as they are, known without encoding them: a byte-level one writes every byte.
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
