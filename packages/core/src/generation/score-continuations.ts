// How likely a model finds each of several continuations, each behind a context of its own: multiple choice by
// likelihood. Shapes: N predicted tokens of a pass, V rows of the vocabulary, P prompt rows, E width.
import { noGrad, scope, type Tensor } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { ForwardOptions, Ids, LanguageModel, TokenizedExample } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import { breathe, lengthSortedBatches, type RunOptions } from './batches.js';
import { Division } from './division.js';
import { forSharedPrefix, longestSharing } from './shared-prefix.js';

/** A continuation and what it stands behind, as token ids, neither of them empty. */
export interface Continuation {
  readonly context: Ids;
  readonly ids: Ids;
}

export interface ContinuationScore {
  /** Sum of the log-probabilities of its tokens, in nats; in float32 each. */
  readonly logprob: number;
  /** Number of its tokens. */
  readonly tokens: number;
  /** Whether each of its tokens is the one that the model finds most likely. */
  readonly greedy: boolean;
}

interface ScoreContinuationsOptions extends RunOptions {
  /** Soft prompt [P, E], in front of every context. */
  readonly prompt?: Tensor;
  /** Hears of every result as soon as it is there, with its question's number. */
  readonly onResult?: (question: number, scores: readonly ContinuationScore[]) => void;
}

/** Bound the memory of a pass, as in `score`. */
const largestLogits = 64 * 1024 * 1024;
const largestBatchTokens = 16_384;
/** Contexts that are shorter are not worth a pass of their own. */
const leastContext = 8;

/** One sequence that the model reads: continuations that differ in their last token only share it. */
interface Row extends TokenizedExample {
  /** Its place among all rows. */
  readonly number: number;
  readonly question: number;
  /** Numbers of the continuations that it serves. */
  readonly serves: readonly number[];
}

/**
 * Scores the continuations of every question. What all sequences of a question begin with is read once and its keys and
 * values kept, where a decoder-only model can keep them; few-shot exemplars that all questions share are read once for
 * all of them, where that saves more. Sequences of like length share a pass. Throws UserError for a continuation
 * without tokens, and the signal's reason when aborted.
 *
 * @example
 * const [[yes, no]] = await scoreContinuations(model, [[{ context, ids: yesIds }, { context, ids: noIds }]]);
 */
export async function scoreContinuations(
  model: LanguageModel,
  questions: readonly (readonly Continuation[])[],
  { prompt, batchSize, onProgress, onResult, signal }: ScoreContinuationsOptions = {},
): Promise<ContinuationScore[][]> {
  if (questions.some((question) => question.some(({ ids, context }) => ids.length === 0 || context.length === 0)))
    throw new UserError('a choice to score has no tokens, or nothing in front of it');
  const results: ContinuationScore[][] = questions.map(() => []);
  const left = questions.map((question) => question.length);
  let done = 0;
  const take = (row: Row, scores: readonly ContinuationScore[]): void => {
    row.serves.forEach((number, i) => {
      results[row.question]![number] = scores[i]!;
    });
    left[row.question]! -= row.serves.length;
    if (left[row.question]! > 0) return;
    onResult?.(row.question, results[row.question]!);
    onProgress?.(++done, questions.length);
  };
  const division = new Division<readonly ContinuationScore[]>(model);
  const run = async (
    rows: readonly Row[],
    attach: ForwardOptions,
    isOwn = () => division.takesNext(),
  ): Promise<void> => {
    const before = attach.prompt?.size(0) ?? attach.prefix?.length ?? 0;
    const lengths = rows.map(({ input, target }) => before + input.length + target.length);
    const batches = lengthSortedBatches(lengths, batchSize, (batch) => {
      const targets = batch.reduce((sum, i) => sum + rows[i]!.target.length, 0);
      return (
        targets * model.shape.vocabularySize <= largestLogits &&
        batch.length * lengths[batch[0]!]! <= largestBatchTokens
      );
    });
    for (const places of batches) {
      if (!isOwn()) continue;
      await breathe(signal);
      const batch = places.map((i) => rows[i]!);
      const scores = scoreRows(model, batch, questions, attach);
      for (const [i, row] of batch.entries()) {
        division.add(row.number, scores[i]!);
        take(row, scores[i]!);
      }
    }
  };

  let count = 0;
  const all = questions.map((question, i) => rowsOf(question, i).map((row): Row => ({ ...row, number: count++ })));
  const alone: Row[] = [];
  const together: { rows: Row[]; shared: number }[] = [];
  for (const rows of all) {
    const shared = model.readPrefix && rows.length > 1 ? sharedLength(rows) : 0;
    if (shared >= leastContext) together.push({ rows, shared });
    else alone.push(...rows);
  }
  // Exemplars in front of all questions: reading them with every question may cost more than reading each question's
  // own part with every choice.
  const everything = all.flat();
  const sharing = model.readPrefix
    ? longestSharing(
        everything.map(({ input }) => input),
        prompt?.size(0) ?? 0,
      )
    : undefined;
  const tokens = (rows: readonly Row[], skip: number) =>
    rows.reduce((sum, { input, target }) => sum + input.length + target.length - skip, 0);
  const byQuestion =
    tokens(alone, 0) + together.reduce((sum, { rows, shared }) => sum + shared + tokens(rows, shared), 0);
  const byExemplars = tokens(everything, 0) - (sharing ? sharing.length * (sharing.sharers.size - 1) : 0);
  if (byQuestion >= byExemplars) {
    await forSharedPrefix(
      model,
      everything.map(({ input }) => input),
      prompt,
      ({ numbers, skip, attach }) =>
        run(
          numbers.map((i) => withoutFirst(everything[i]!, skip)),
          attach,
        ),
    );
    await division.finish((number, scores) => take(everything[number]!, scores));
    return results;
  }
  if (alone.length > 0) await run(alone, { prompt });
  together.sort((a, b) => b.shared - a.shared);
  for (const { rows, shared } of together) {
    if (!division.takesNext()) continue;
    const prefix = noGrad(() => model.readPrefix!(rows[0]!.input.slice(0, shared), prompt));
    try {
      const own = prefix ? rows.map((row) => withoutFirst(row, shared)) : rows;
      await run(own, prefix ? { prefix } : { prompt }, () => true);
    } finally {
      prefix?.dispose();
    }
  }
  await division.finish((number, scores) => take(everything[number]!, scores));
  return results;
}

function withoutFirst(row: Row, count: number): Row {
  return { ...row, input: row.input.slice(count) };
}

/** The sequences of a question. */
function rowsOf(continuations: readonly Continuation[], question: number): Omit<Row, 'number'>[] {
  const rows = new Map<string, Omit<Row, 'number'> & { serves: number[] }>();
  for (const [i, { context, ids }] of continuations.entries()) {
    const key = `${context.join()} ${ids.slice(0, -1).join()}`;
    const same = rows.get(key);
    if (same) same.serves.push(i);
    else rows.set(key, { input: context, target: ids, question, serves: [i] });
  }
  return [...rows.values()];
}

/** How many tokens all inputs begin with, one of each at least left over. */
function sharedLength(rows: readonly Row[]): number {
  const shortest = Math.min(...rows.map(({ input }) => input.length));
  const [first] = rows;
  let length = 0;
  while (length < shortest - 1 && rows.every(({ input }) => input[length] === first!.input[length])) length++;
  return length;
}

/** The scores of all continuations that the rows of a batch serve, row by row. */
function scoreRows(
  model: LanguageModel,
  batch: readonly Row[],
  questions: readonly (readonly Continuation[])[],
  attach: ForwardOptions,
): ContinuationScore[][] {
  return noGrad(() =>
    scope(() => {
      const logprobs = model.logits(batch, attach).float().logSoftmax(1);
      const likeliest = logprobs.argmax(1).toNumbers();
      // Of each continuation: the places in the pass that predict its tokens.
      const continuations: { places: number[]; ids: Ids }[][] = [];
      let start = 0;
      for (const { question, serves, target } of batch) {
        const places = target.map((_, i) => start + i);
        continuations.push(serves.map((number) => ({ places, ids: questions[question]![number]!.ids })));
        start += target.length;
      }
      const flat = continuations.flat();
      const rows = logprobs.indexSelect(0, idTensor(flat.flatMap(({ places }) => places)));
      const own = rows.gather(1, idTensor(flat.flatMap(({ ids }) => ids)).unsqueeze(1)).toNumbers();
      if (own.some(Number.isNaN)) throw new UserError('the model gives logits that are not numbers (NaN)');
      let read = 0;
      return continuations.map((served) =>
        served.map(({ places, ids }) => {
          const logprob = own.slice(read, read + ids.length).reduce((sum, one) => sum + one, 0);
          read += ids.length;
          return { logprob, tokens: ids.length, greedy: ids.every((id, i) => likeliest[places[i]!] === id) };
        }),
      );
    }),
  );
}
