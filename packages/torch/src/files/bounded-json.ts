// JSON from outside, whose nesting is bounded: code that walks through a value must not run out of stack.

/** More than any file of a model, a data set or a run has. Python's own reader stops near it, too. */
const deepest = 500;

/** `JSON.parse` for a text that is nested up to 500 deep. Throws SyntaxError. */
export function parseBoundedJson(text: string): unknown {
  if (text.length > deepest && isTooDeep(text)) throw new SyntaxError(`it is nested more than ${deepest} deep`);
  return JSON.parse(text) as unknown;
}

function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text.charCodeAt(i);
    if (character === quote) {
      for (i++; i < text.length && text.charCodeAt(i) !== quote; i++) if (text.charCodeAt(i) === backslash) i++;
    } else if (character === openBracket || character === openBrace) {
      if (++depth > deepest) return true;
    } else if (character === closeBracket || character === closeBrace) depth--;
  }
  return false;
}

const [quote, backslash] = [0x22, 0x5c];
const [openBracket, closeBracket, openBrace, closeBrace] = [0x5b, 0x5d, 0x7b, 0x7d];
