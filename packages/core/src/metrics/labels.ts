// Reading a label out of an output: which of a closed set of answers does a text begin with?

import { UserError } from '../base/errors.js';
import { splitWords } from './python-text.js';

/**
 * The first word of an output, punctuation and symbols stripped at both ends, case kept: ` "True", because` gives
 * `True`. Empty where the output has no word, or its first word is nothing but punctuation. (The paper's rule, A.2.2.)
 */
export function firstWord(output: string): string {
  const word = splitWords(output)[0] ?? '';
  return word.replace(/^[\p{P}\p{S}]+/u, '').replace(/[\p{P}\p{S}]+$/u, '');
}

/** The normal form of a label or an output: composed letters, each run of white space one space, none at the ends. */
export function normalizeLabel(text: string): string {
  return splitWords(text.normalize('NFC')).join(' ');
}

/** Quotes, opening brackets and Markdown's marks: what may stand in front of an answer and is no part of it. */
const openingMarks = /^[\p{Ps}\p{Pi}"'*_` ]/u;

/**
 * Reads labels of any kind (several words, signs, punctuation) out of outputs. An output has the longest label that it
 * begins with, in normal form, case kept; what follows must not go on with the label's last word or number. Where there
 * is none, opening marks are passed over, one by one. Undefined where no label is found.
 *
 * @example labelReader(['not entailment', 'entailment'])('**not entailment**, because ...'); // 'not entailment'
 */
export function labelReader(labels: readonly string[]): (output: string) => string | undefined {
  const longestFirst = labels
    .map((label) => ({ label, form: normalizeLabel(label) }))
    .sort((a, b) => b.form.length - a.form.length);
  const beginning = (text: string): string | undefined =>
    longestFirst.find(({ form }) => text.startsWith(form) && endsThere(form, text.slice(form.length)))?.label;
  return (output) => {
    let text = normalizeLabel(output);
    for (;;) {
      const found = beginning(text);
      if (found !== undefined || !openingMarks.test(text)) return found;
      text = text.slice([...text][0]!.length);
    }
  };
}

/**
 * Tells whether an output begins with one of some labels: by its first word where all of them are single words (the
 * paper's rule), else as `labelReader` does.
 */
export function labelForm(labels: readonly string[]): (output: string) => boolean {
  if (labels.every((label) => firstWord(label) === label)) return (output) => labels.includes(firstWord(output));
  const labelOf = labelReader(labels);
  return (output) => labelOf(output) !== undefined;
}

/**
 * Whether a label ends where `rest` begins: `True` does in "True.", not in "Trueish"; `1` not in "1.5"; nothing only at
 * the end.
 */
function endsThere(label: string, rest: string): boolean {
  if (label === '' || rest === '') return rest === '';
  if (/\p{N}$/u.test(label) && /^[.,]\p{N}/u.test(rest)) return false;
  return !(/[\p{L}\p{M}\p{N}_]$/u.test(label) && /^[\p{L}\p{M}\p{N}_]/u.test(rest));
}

/** Refuses labels that have one normal form: an output could not tell which of them it has. */
export function checkDistinct(labels: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const label of labels) {
    const form = normalizeLabel(label);
    const other = seen.get(form);
    if (other !== undefined)
      throw new UserError(`labels ${JSON.stringify(other)} and ${JSON.stringify(label)} are the same but for spaces`);
    seen.set(form, label);
  }
}
