// Which inputs belong to which split. The content of an example decides (a hash of it), so no split can hold another's.

import { RandomStream } from '@promot/core/base';
import { hashText } from './random.js';

/** `pretrain` is what the lab's models are pretrained on; the other three are the splits of any task. */
export type LabSplit = 'pretrain' | 'train' | 'validation' | 'test';

/** Examples in each split of a task; `pretrain` has no end. */
export type SplitSizes = Readonly<Record<Exclude<LabSplit, 'pretrain'>, number>>;

/** The sizes of every task, but that a target's training split is larger (see `TARGET_SIZES`). */
export const SPLIT_SIZES: SplitSizes = { train: 2000, validation: 256, test: 500 };

/** The sizes of the tasks to fine-tune on: enough that a few hundred steps of batch 64 hardly repeat an example. */
export const TARGET_SIZES: SplitSizes = { ...SPLIT_SIZES, train: 10_000 };

/** An input and the answer asked of the model, without the space that joins them. */
export interface LabExample {
  readonly input: string;
  readonly target: string;
}

/** The split in which any example of this content must lie: 60 % pretrain, 20 % train, 10 % validation, 10 % test. */
function splitOfContent(content: string): LabSplit {
  const tenth = hashText(content) % 10;
  if (tenth < 6) return 'pretrain';
  if (tenth < 8) return 'train';
  return tenth === 8 ? 'validation' : 'test';
}

/** A draw of a generator: the content that must not be shared between splits, and what is made of it. */
interface Draw<T> {
  readonly content: string;
  readonly value: T;
}

/**
 * The example at (split, index) of a generator: draws until the content lies in the split (1.7 draws on average for
 * `pretrain`, 10 for `test`). A pure function of the name, the split and the index.
 */
export function drawInSplit<T>(
  name: string,
  split: LabSplit,
  index: number,
  draw: (random: RandomStream) => Draw<T>,
): T {
  const random = new RandomStream(hashText(`${name} ${split}`), index);
  for (;;) {
    const { content, value } = draw(random);
    if (splitOfContent(content) === split) return value;
  }
}

/**
 * The label at (split, index): every block of `labels.length` indices holds each label once, in an order drawn anew,
 * so that the classes are balanced and the index does not give the label away.
 */
export function balancedLabel<T>(name: string, split: LabSplit, index: number, labels: readonly T[]): T {
  const block = Math.floor(index / labels.length);
  const random = new RandomStream(hashText(`labels of ${name} ${split}`), block);
  const left = [...labels];
  for (let skip = index % labels.length; skip > 0; skip--) left.splice(random.integer(left.length), 1);
  return left[random.integer(left.length)]!;
}
