// How long the training examples of a task are, in tokens: measured, and of a mixture of tasks.
import { predictedIds } from '../models/model.js';
import { tokenizeExample } from '../models/tokenize.js';
import type { LengthStatistics } from './estimate.js';
import type { TrainingExamples } from './examples.js';

/** Lengths are measured on at most this many training examples of a task, evenly taken. */
const measuredExamples = 2000;

/** Lengths in tokens of a task's training examples as the first epoch sees them, and how many inputs are cut. */
export interface Lengths {
  readonly inputs: readonly number[];
  readonly targets: readonly number[];
  readonly cut: number;
}

export function measureLengths(
  examples: TrainingExamples,
  shots: 0 | 1,
  maxInputLength: number,
  most = measuredExamples,
): Lengths {
  const { model, tokenizer } = examples.options.loaded;
  const every = Math.max(1, Math.ceil(examples.examples.length / most));
  const whole = examples.examples.flatMap((_, i) =>
    i % every === 0 ? [tokenizeExample(examples.text(i, 0, shots), tokenizer, model.kind)] : [],
  );
  return {
    inputs: whole.map(({ input }) => (maxInputLength ? Math.min(input.length, maxInputLength) : input.length)),
    targets: whole.map((example) => predictedIds(example).length),
    cut: whole.filter(
      ({ input }, n) => (maxInputLength > 0 && input.length > maxInputLength) || examples.isCut(n * every),
    ).length,
  };
}

/** Special tokens around a text, at most. */
const marks = 8;

/**
 * At most so long are the examples that `measureLengths` would measure, without tokenizing them: a token stands for a
 * byte or more.
 */
export function boundLengths(
  examples: TrainingExamples,
  shots: 0 | 1,
  maxInputLength: number,
  most = measuredExamples,
): Omit<Lengths, 'cut'> {
  const every = Math.max(1, Math.ceil(examples.examples.length / most));
  const texts = examples.examples.flatMap((_, i) => (i % every === 0 ? [examples.text(i, 0, shots)] : []));
  const bytes = (text: string) => Buffer.byteLength(text) + marks;
  return {
    inputs: texts.map(({ input }) => Math.min(bytes(input), maxInputLength || Number.POSITIVE_INFINITY)),
    targets: texts.map(({ target }) => bytes(target)),
  };
}

/** Of a mixture: the mean by its rates, and for all else the source with the longest. */
export function mixed(parts: readonly { rate: number; lengths: LengthStatistics }[]): LengthStatistics {
  const rates = parts.reduce((sum, { rate }) => sum + rate, 0);
  const most = (key: keyof LengthStatistics) => Math.max(...parts.map(({ lengths }) => lengths[key]));
  const mean = parts.reduce((sum, { rate, lengths }) => sum + (rate / rates) * lengths.mean, 0);
  return { mean, median: most('median'), p95: most('p95'), longest: most('longest') };
}

export function statistics(lengths: readonly number[]): LengthStatistics {
  const sorted = [...lengths].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  const mean = lengths.reduce((sum, n) => sum + n, 0) / lengths.length;
  return { mean, median: at(0.5), p95: at(0.95), longest: sorted.at(-1)! };
}
