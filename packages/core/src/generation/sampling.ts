// What a search chooses from: a model's logits, changed as Transformers' logits processors and warpers change them, and
// draws from the distribution that they leave.
// Shapes: R rows (each a sequence that is generated), V rows of the vocabulary.
import { op, type Tensor, tensor } from '@promot/torch';
import { UserError } from '../base/errors.js';
import { RandomStream } from '../base/random.js';
import type { Ids } from '../models/model.js';
import { idTensor } from '../models/padding.js';

/**
 * How the next token is chosen. The names and effects are those of Transformers' `generate`. One of `temperature`
 * (above 0), `topK`, `topP` and `minP` makes it draw; else it takes the likeliest.
 */
export interface SamplingSettings {
  /** Divides the logits before a draw. 0: no draw, the likeliest token is taken. */
  temperature?: number | undefined;
  /** Draws from this many of the likeliest tokens; 0: from all. */
  topK?: number | undefined;
  /** Draws from the fewest likeliest tokens whose probabilities reach this sum. */
  topP?: number | undefined;
  /** Draws from tokens of at least this share of the likeliest one's probability. */
  minP?: number | undefined;
  /** Of the draws. Default 0. Equal seeds give equal outputs, whatever the batches. */
  seed?: number | undefined;
  /** Tokens that stand in the sequence already get their logits divided (negative ones: multiplied) by this. */
  repetitionPenalty?: number | undefined;
  /** No run of this many tokens comes twice in a sequence; 0: any may. */
  noRepeatNgram?: number | undefined;
}

/** The keys of `SamplingSettings`. */
export const samplingKeys = [
  'temperature',
  'topK',
  'topP',
  'minP',
  'seed',
  'repetitionPenalty',
  'noRepeatNgram',
] as const satisfies readonly (keyof SamplingSettings)[];

/** Whether these settings draw tokens. */
export function draws({ temperature, topK, topP, minP }: SamplingSettings): boolean {
  return temperature !== 0 && [temperature, topK, topP, minP].some((one) => one !== undefined);
}

/** Throws UserError, which names the setting, for a value that means nothing. */
export function checkSampling(settings: SamplingSettings): void {
  const { temperature, topK, topP, minP, seed, repetitionPenalty, noRepeatNgram } = settings;
  const check = (name: string, value: number | undefined, right: (x: number) => boolean, what: string) => {
    if (value !== undefined && !right(value)) throw new UserError(`${name} is ${value}: give ${what}`);
  };
  const isCount = (x: number) => Number.isSafeInteger(x) && x >= 0;
  check('temperature', temperature, (x) => Number.isFinite(x) && x >= 0, 'a number of at least 0');
  check('topK', topK, isCount, 'a whole number of at least 0');
  check('topP', topP, (x) => x > 0 && x <= 1, 'a number above 0 and up to 1');
  check('minP', minP, (x) => x >= 0 && x <= 1, 'a number from 0 to 1');
  check('seed', seed, isCount, 'a whole number of at least 0');
  check('repetitionPenalty', repetitionPenalty, (x) => Number.isFinite(x) && x > 0, 'a number above 0');
  check('noRepeatNgram', noRepeatNgram, isCount, 'a whole number of at least 0');
}

/** Whether the settings look at what a sequence holds already. */
export function needsHistory({ repetitionPenalty = 1, noRepeatNgram = 0 }: SamplingSettings): boolean {
  return repetitionPenalty !== 1 || noRepeatNgram > 0;
}

/**
 * Scores [R, V] after the settings that every search obeys: the repetition penalty, then the ban of repeated n-grams.
 * @param histories of every row its ids so far, the input's included.
 */
export function processed(scores: Tensor, histories: readonly Ids[], settings: SamplingSettings): Tensor {
  const { repetitionPenalty = 1, noRepeatNgram = 0 } = settings;
  let result = scores;
  if (repetitionPenalty !== 1) {
    const longest = Math.max(...histories.map(({ length }) => length));
    // Short rows name their first id several times: each time the same number is written.
    const ids = histories.flatMap((ids) => Array.from({ length: longest }, (_, i) => ids[i] ?? ids[0]!));
    const index = idTensor(ids).view(histories.length, longest);
    const old = result.gather(1, index);
    const changed = old.mul(repetitionPenalty).where(old.lt(0), old.div(repetitionPenalty));
    result = op('aten::scatter.src', result, 1, index, changed);
  }
  if (noRepeatNgram > 0) {
    const rows = result.size(1);
    const banned = histories.flatMap((ids, row) => repeats(ids, noRepeatNgram).map((id) => row * rows + id));
    if (banned.length > 0)
      result = op('aten::index_fill.int_Scalar', result.reshape(-1), 0, idTensor(banned), -Infinity).view(
        ...result.shape,
      );
  }
  return result;
}

/** The ids that would end an n-gram which `ids` holds already. */
function repeats(ids: Ids, n: number): number[] {
  const start = ids.length + 1 - n;
  if (start < 0) return [];
  const found = new Set<number>();
  for (let i = 0; i + n <= ids.length; i++) {
    let same = 0;
    while (same < n - 1 && ids[i + same] === ids[start + same]) same++;
    if (same === n - 1) found.add(ids[i + n - 1]!);
  }
  return [...found];
}

/** Scores [R, V] as a draw sees them: divided by the temperature, those of tokens left out at minus infinity. */
export function warped(scores: Tensor, { temperature = 1, topK = 0, topP = 1, minP }: SamplingSettings): Tensor {
  let result = temperature === 1 ? scores : scores.div(temperature);
  const rows = result.size(1);
  if (topK > 0) {
    const { values } = result.topk(Math.min(topK, rows), 1);
    result = result.maskedFill(result.lt(values.narrow(1, values.size(1) - 1, 1)), -Infinity);
  }
  if (topP < 1) {
    const { values, indices } = result.sort(1, false);
    const unlikely = values
      .softmax(1)
      .cumsum(1)
      .le(1 - topP);
    // The likeliest one stays.
    const kept = op('aten::index_fill.int_Scalar', unlikely, 1, idTensor([rows - 1]), 0);
    result = result.maskedFill(op('aten::scatter.src', kept, 1, indices, kept), -Infinity);
  }
  if (minP !== undefined && minP > 0) {
    const probabilities = result.softmax(1);
    const unlikely = probabilities.lt(probabilities.amax(1, true).mul(minP));
    result = result.maskedFill(unlikely, -Infinity);
  }
  return result;
}

/**
 * One id for each row [R, 1], drawn from the softmax of its scores.
 * @param numbers of the inputs that the rows belong to: with the seed and the step they say what is drawn.
 */
export function drawn(scores: Tensor, numbers: readonly number[], step: number, seed: number): Tensor {
  const points = numbers.map((number) => {
    const random = new RandomStream(seed, number, step);
    return (random.next() * 2 ** 21 + (random.next() >>> 11)) / 2 ** 53;
  });
  const sums = scores.softmax(1).to('float64').cumsum(1);
  const total = sums.narrow(1, sums.size(1) - 1, 1);
  const point = tensor(points, { dtype: 'float64', shape: [points.length, 1] }).mul(total);
  // The first token at which the sum passes the point; its own probability is above 0.
  return sums.le(point).sum(1, true);
}
