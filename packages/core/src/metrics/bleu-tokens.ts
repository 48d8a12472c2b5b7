// BLEU's tokenizers, as sacreBLEU has them.

import { splitWords, strip, stripEnd } from './python-text.js';

/** Punctuation of mteval-v13a: apart from words, but for periods, commas and dashes in numbers. */
function splitPunctuation(text: string): string[] {
  const apart = text
    .replace(/[{-~[-` -&(-+:-@/]/g, ' $& ')
    .replace(/([^0-9])([.,])/gu, '$1 $2 ') // period and comma, unless after a digit
    .replace(/([.,])([^0-9])/gu, ' $1 $2') // period and comma, unless before a digit
    .replace(/([0-9])(-)/g, '$1 $2 '); // dash after a digit
  return splitWords(apart);
}

/** mteval-v13a, WMT's script. */
function tokenize13a(line: string): string[] {
  let text = line.replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ');
  text = text.replaceAll('&quot;', '"').replaceAll('&amp;', '&').replaceAll('&lt;', '<').replaceAll('&gt;', '>');
  return splitPunctuation(` ${text} `);
}

/** mteval-v14 with international tokenisation: punctuation outside numbers and all symbols stand alone. */
function tokenizeInternational(line: string): string[] {
  const text = line
    .replace(/(\P{N})(\p{P})/gu, '$1 $2 ')
    .replace(/(\p{P})(\P{N})/gu, ' $1 $2')
    .replace(/\p{S}/gu, ' $& ');
  return splitWords(text);
}

/**
 * What sacreBLEU's `zh` sets apart: its ranges of Chinese characters, punctuation and forms. Two of them, meant for the
 * planes beyond U+FFFF, are misread by Python and cover U+2001 to U+2A6D and U+2F81 to U+2FA1: scores are equal only if
 * that is kept.
 */
const chinese = new RegExp(
  `[${[
    '\\u3400-\\u4db5\\u4e00-\\u9fa5\\u9fa6-\\u9fbb\\uf900-\\ufa2d\\ufa30-\\ufa6a\\ufa70-\\ufad9',
    '\\u2001-\\u2a6d\\u2f81-\\u2fa1',
    '\\uff00-\\uffef\\u2e80-\\u2eff\\u3000-\\u303f\\u31c0-\\u31ef\\u2f00-\\u2fdf\\u2ff0-\\u2fff',
    '\\u3100-\\u312f\\u31a0-\\u31bf',
    '\\ufe10-\\ufe1f\\ufe30-\\ufe4f\\u2600-\\u26ff\\u2700-\\u27bf\\u3200-\\u32ff\\u3300-\\u33ff',
  ].join('')}]`,
  'gu',
);

const tokenizers = {
  '13a': tokenize13a,
  intl: tokenizeInternational,
  /** Chinese characters stand alone; the rest as in 13a. */
  zh: (line: string) => splitPunctuation(strip(line).replace(chinese, ' $& ')),
  /** Every character but white space. */
  char: (line: string) => splitWords([...line].join(' ')),
  /** Words as white space parts them: the texts are tokenized already. */
  none: splitWords,
} as const;

export type BleuTokenizer = keyof typeof tokenizers;
export const bleuTokenizers = Object.keys(tokenizers) as BleuTokenizer[];

/** Why tokenizers that sacreBLEU has are missing here. */
export const missingTokenizers: Readonly<Record<string, string>> = {
  'ja-mecab': 'needs MeCab and its dictionary, which no small JavaScript library has; use char, or chrf',
  'ko-mecab': 'needs MeCab and its dictionary, which no small JavaScript library has; use char, or chrf',
  flores101: 'needs a tokenizer file that no package ships; use chrf',
  flores200: 'needs a tokenizer file that no package ships; use chrf',
};

/** BLEU's tokens of a line of text. */
export function bleuTokens(line: string, tokenize: BleuTokenizer): string[] {
  return tokenizers[tokenize](stripEnd(line));
}
