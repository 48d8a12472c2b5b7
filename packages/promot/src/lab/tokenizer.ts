// The lab's tokenizer: about six hundred word-sized pieces, as the `tokenizer.json` of a Hugging Face folder.
//
// A WordPiece model whose pieces are whole words and, glued to them, punctuation (`##.`): greedy longest match then
// splits `Lund?` into `Lund ##?` and keeps the marks of the templates (`Q:`, `answer:`) whole. A WordLevel model would
// do as well, but `@huggingface/tokenizers` has none. The line break between exemplars is a piece of its own.

import { exemplarSeparator } from '@promot/core/tasks';
import { LANGUAGES } from './languages.js';
import {
  ADJECTIVES,
  AMBIGUOUS,
  ANIMAL_VERBS,
  ANIMALS,
  COLOURS,
  CRAFTS,
  FOODS,
  LANDS,
  NAMES,
  OBJECTS,
  SAYINGS,
  THING_VERBS,
  TOWNS,
} from './words.js';

/** Special tokens; their ids are 0, 1, 2, as in T5. */
const SPECIAL = ['<pad>', '</s>', '<unk>'] as const;
const PUNCTUATION = ['##.', '##,', '##?', '##:', '##)'];
/** The marks of the templates, each one piece. */
const MARKS = ['Q:', 'A:', 'question:', 'answer:', 'Translate', 'Article:', 'summary:'];
/** Every other word of the templates, statements, questions and articles. */
const FUNCTION_WORDS = (
  'The In I Who What Which Where One Tell Please Do Above Most Later Meanwhile Also A People short ' +
  'is a as to of in the that tell do does has me you know this about ask one word all importantly sentence ' +
  'lives live works work keeps keep eats eat wears wear says say like rules ruler name capital town flag people food ' +
  'home craft animal colour coat which question'
).split(' ');

/** The vocabulary, in the order of its ids. */
export const LAB_VOCABULARY: readonly string[] = [
  ...new Set([
    ...SPECIAL,
    exemplarSeparator,
    ...PUNCTUATION,
    ...MARKS,
    ...SAYINGS,
    ...FUNCTION_WORDS,
    ...NAMES,
    ...TOWNS,
    ...LANDS,
    ...CRAFTS,
    ...ANIMALS,
    ...FOODS,
    ...COLOURS,
    ...OBJECTS,
    ...AMBIGUOUS,
    ...ADJECTIVES,
    ...ANIMAL_VERBS,
    ...THING_VERBS,
    ...Object.values(LANGUAGES).flatMap((language) => [language.name, ...language.words]),
  ]),
];

/**
 * The files (name to content) of the lab's tokenizer in a Hugging Face folder.
 * Encoder-decoder models end every text with `</s>`, as T5's tokenizer does; decoder-only models add nothing.
 */
export function labTokenizerFiles(kind: 'encoder-decoder' | 'decoder'): ReadonlyMap<string, string> {
  const special = SPECIAL.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const endOfSequence = { SpecialToken: { id: '</s>', type_id: 0 } };
  const first = { Sequence: { id: 'A', type_id: 0 } };
  const second = { Sequence: { id: 'B', type_id: 0 } };
  const template = {
    type: 'TemplateProcessing',
    single: [first, endOfSequence],
    pair: [first, endOfSequence, second, endOfSequence],
    special_tokens: { '</s>': { id: '</s>', ids: [SPECIAL.indexOf('</s>')], tokens: ['</s>'] } },
  };
  const split = (regex: string, behavior: 'Removed' | 'Isolated') => ({
    type: 'Split',
    pattern: { Regex: regex },
    behavior,
    invert: false,
  });
  const replace = (text: string, content: string) => ({ type: 'Replace', pattern: { String: text }, content });
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special,
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [split(' +', 'Removed'), split('\\n+', 'Isolated')] },
    post_processor: kind === 'encoder-decoder' ? template : null,
    // WordPiece's decoder puts a space before every piece that is not glued; none belongs around a line break.
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'WordPiece', prefix: '##', cleanup: false },
        { type: 'Fuse' },
        replace(` ${exemplarSeparator}`, exemplarSeparator),
        replace(`${exemplarSeparator} `, exemplarSeparator),
      ],
    },
    model: {
      type: 'WordPiece',
      unk_token: '<unk>',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(LAB_VOCABULARY.map((piece, id) => [piece, id])),
    },
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    pad_token: '<pad>',
    eos_token: '</s>',
    unk_token: '<unk>',
    clean_up_tokenization_spaces: false,
    model_max_length: 1024,
  };
  return new Map([
    ['tokenizer.json', `${JSON.stringify(tokenizer, null, 1)}\n`],
    ['tokenizer_config.json', `${JSON.stringify(config, null, 1)}\n`],
  ]);
}
