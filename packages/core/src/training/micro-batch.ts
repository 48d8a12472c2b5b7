// The passes of a step: the examples that go through the model together.
import type { Tensor } from '@promot/torch';
import type { TokenizedExample } from '../models/model.js';

/** Examples of one forward pass, with the soft prompt that stands in front of them. */
export interface MicroBatch {
  readonly examples: readonly TokenizedExample[];
  readonly prompt?: Tensor;
}

/**
 * The batch of a step as passes of at most `size` examples, sorted by length so that little is padding.
 * Sorting is stable: equal lengths keep their order.
 */
export function toMicroBatches(examples: readonly TokenizedExample[], size: number, prompt?: Tensor): MicroBatch[] {
  const sorted = [...examples].sort((a, b) => a.input.length - b.input.length || a.target.length - b.target.length);
  return Array.from({ length: Math.ceil(sorted.length / size) }, (_, i) => ({
    examples: sorted.slice(i * size, (i + 1) * size),
    prompt,
  }));
}
