// lab-closed-book: questions about the fixed world. The facts are seen in pretraining, held-out wordings are not.

import { RandomStream } from '@promot/core/base';
import { hashText, shuffled } from './random.js';
import { type LabExample, type LabSplit, SPLIT_SIZES } from './splits.js';
import { world } from './world.js';

const OPENINGS = [
  '',
  'Tell me: ',
  'Please tell me: ',
  'Do you know this? ',
  'A question about $l: ',
  'People ask: ',
  'In one word: ',
  'I like $l. ',
];

let splits: Readonly<Record<LabSplit, readonly LabExample[]>> | undefined;

/** Every fact in every wording, in a fixed random order, cut into the splits: nothing is in two of them. */
function bySplit(): Readonly<Record<LabSplit, readonly LabExample[]>> {
  if (splits) return splits;
  const all = world().flatMap(({ land, relation, value }) =>
    relation.questions.flatMap((question) =>
      OPENINGS.map((opening) => ({ input: `Q: ${opening}${question} A:`.replaceAll('$l', land), target: value })),
    ),
  );
  const order = shuffled(new RandomStream(hashText('lab-closed-book')), all);
  const { train, validation, test } = SPLIT_SIZES;
  splits = {
    test: order.slice(0, test),
    validation: order.slice(test, test + validation),
    train: order.slice(test + validation, test + validation + train),
    pretrain: order.slice(test + validation + train),
  };
  return splits;
}

/** `Q: [OPENING] QUESTION A:` about a land. The pretraining split has 3,644 examples and repeats in a new order. */
export function closedBookExample(split: LabSplit, index: number): LabExample {
  const examples = bySplit()[split];
  if (split !== 'pretrain') return examples[index]!;
  return examples[new RandomStream(hashText('lab-closed-book pretrain'), index).integer(examples.length)]!;
}
