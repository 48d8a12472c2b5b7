// JSON from outside, whose nesting is bounded: code that walks through a value must not run out of stack.

/** More than any file of a model, a data set or a run has. Python's own reader stops near it, too. */
const deepest = 500;

/**
 * `JSON.parse` for a text, or its UTF-8 bytes, that is nested up to 500 deep. Bytes take less time than a text. Throws
 * SyntaxError.
 */
export function parseBoundedJson(json: string | Uint8Array): unknown {
  if (json.length > deepest && isTooDeep(typeof json === 'string' ? Buffer.from(json) : json))
    throw new SyntaxError(`it is nested more than ${deepest} deep`);
  return JSON.parse(
    typeof json === 'string' ? json : Buffer.from(json.buffer, json.byteOffset, json.length).toString(),
  );
}

/** Looks at bytes, which takes half the time of a string's characters. */
function isTooDeep(bytes: Uint8Array): boolean {
  const { length } = bytes;
  let depth = 0;
  for (let i = 0; i < length; i++) {
    const byte = bytes[i]!;
    // What most bytes are comes first.
    if (byte !== quote && byte < openBracket) continue;
    if (byte === quote) {
      for (i++; i < length && bytes[i] !== quote; i++) if (bytes[i] === backslash) i++;
    } else if (byte === openBracket || byte === openBrace) {
      if (++depth > deepest) return true;
    } else if (byte === closeBracket || byte === closeBrace) depth--;
  }
  return false;
}

const [quote, backslash] = [0x22, 0x5c];
const [openBracket, closeBracket, openBrace, closeBrace] = [0x5b, 0x5d, 0x7b, 0x7d];
