// Greedy and beam search over a language model, with its caches, in length-sorted batches.
// Shapes: B inputs still searched, K beams, V rows of the vocabulary, C candidates per input, P prompt rows, E width.
import { call, cat, noGrad, scope, type Tensor, tensor, trimGrownMemory, withPackedWeights } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { Ids, LanguageModel } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import { breathe, lengthSortedBatches, type RunOptions } from './batches.js';
import { Division } from './division.js';
import { checkSampling, drawn, draws, needsHistory, processed, type SamplingSettings, warped } from './sampling.js';
import { choiceLogprobs } from './score-choices.js';
import { BeamSearch, type BeamStep, GreedySearch, type Hypothesis, type Search, type SearchRules } from './search.js';
import { forSharedPrefix, type InputGroup } from './shared-prefix.js';
import { cutAtStop, endsWithStop, type StopStrings } from './stop.js';

export interface GenerateOptions extends RunOptions, SamplingSettings {
  /** Soft prompt [P, E], attached to every input. */
  prompt?: Tensor;
  /** 1 is greedy search. Default 4; where tokens are drawn 1, and no other number. */
  beams?: number;
  /** Largest number of generated tokens, the end of sequence included. Default 128. */
  maxNewTokens?: number;
  /** No sequence ends before it has this many tokens. Default 0. */
  minNewTokens?: number;
  /** Transformers' penalty: a score is the sum of log-probabilities over length ** lengthPenalty. Default 1. */
  lengthPenalty?: number;
  /** Alpha of T5X's penalty, ((5 + length) / 6) ** alpha, in place of `lengthPenalty`; T5X's own default is 0.6. */
  brevityPenalty?: number;
  /** Ids that end a sequence beside the model's own. */
  moreEnds?: readonly number[];
  /** Strings that end a sequence, too. */
  stop?: StopStrings;
  /**
   * Continuations whose log-probabilities are wanted, too, as `scoreChoices` gives them; no input is read again for it.
   */
  choices?: readonly Ids[];
  /** Hears of every token that an input's text goes on by, with the input's number; for one beam alone. */
  onToken?: (number: number, token: number) => void;
  /** Hears of every result as soon as it is there, with its input's number. */
  onResult?: (number: number, result: Generated) => void;
}

export interface Generated extends Hypothesis {
  /** With stop strings only: the text before the first of them. `ids` may reach into the string. */
  readonly text?: string;
  /** With `choices`: their log-probabilities in nats. */
  readonly choiceLogprobs?: readonly number[];
}

/**
 * Generates a continuation of every input; the results stand in the inputs' order and do not depend on the batches, but
 * for rounding. Scores are in nats, computed in float32. Gives what Transformers' `generate` gives (greedy, or beam
 * search with `early_stopping` false). Draws come from the distribution that Transformers draws from, but from promot's
 * own generator. An input that is finished leaves its batch. A beginning that many inputs share is read once.
 *
 * Throws UserError for options that make no sense, and the signal's reason when aborted.
 *
 * @example
 * const [{ ids }] = await generate(model, [tokenizer.encode('translate ...')], { beams: 4, maxNewTokens: 32 });
 */
export async function generate(
  model: LanguageModel,
  inputs: readonly Ids[],
  options: GenerateOptions = {},
): Promise<Generated[]> {
  checkSampling(options);
  const sampled = draws(options);
  const { beams = sampled ? 1 : 4, maxNewTokens = 128, minNewTokens = 0, prompt, stop, choices = [] } = options;
  const whole = (name: string, value: number, least: number) => {
    if (!Number.isInteger(value) || value < least)
      throw new UserError(`${name} is ${value}: give a whole number of at least ${least}`);
  };
  whole('beams', beams, 1);
  whole('maxNewTokens', maxNewTokens, 1);
  whole('minNewTokens', minNewTokens, 0);
  if (sampled && beams > 1)
    throw new UserError(`beams is ${beams}: temperature, topK, topP and minP draw tokens, which goes with one beam`);
  if (options.onToken && beams > 1) throw new UserError('onToken is for one beam: others may still be taken back');
  if (minNewTokens > maxNewTokens)
    throw new UserError(`minNewTokens ${minNewTokens} is more than maxNewTokens ${maxNewTokens}`);
  const endOfSequence = [...new Set([...model.shape.endOfSequence, ...(options.moreEnds ?? [])])];
  const count = candidatesOf(model, beams, endOfSequence.length);
  const rules: SearchRules = {
    maxNewTokens,
    ends: new Set(endOfSequence),
    stops: stop ? endsWithStop(stop) : () => false,
    penalty: penalty(options),
  };

  const results: Generated[] = [];
  let done = 0;
  const hear = (number: number, result: Generated) => {
    results[number] = result;
    options.onResult?.(number, result);
    options.onProgress?.(++done, inputs.length);
  };
  const division = new Division<Generated>(model);
  const search = () =>
    forSharedPrefix(model, inputs, prompt, async ({ numbers, skip, attach }) => {
      const own = inputs.map((input) => input.slice(skip));
      // What a batch holds is keys: of its inputs' tokens once, of generated ones per beam (beside an encoder's they
      // are few).
      const rows = model.kind === 'decoder-only' ? Math.max(beams, choices.length) : 1;
      const before = attach.prompt?.size(0) ?? 0;
      const batches = lengthSortedBatches(
        numbers.map((number) => own[number]!.length),
        options.batchSize,
        (batch) =>
          batch.length * (before + own[numbers[batch[0]!]!]!.length + rows * maxNewTokens) <= largestBatchTokens,
      );
      for (const batch of batches) {
        if (!division.takesNext()) continue;
        const searches = batch.map((place) => ({
          number: numbers[place]!,
          search: beams === 1 ? new GreedySearch(rules) : new BeamSearch(beams, rules),
        }));
        const finish = ({ number, search, choiceLogprobs }: Searched) => {
          const best = search.best();
          const result: Generated = {
            ...best,
            ...(stop && { text: cutAtStop(stop.decode(best.ids), stop.strings) }),
            ...(choiceLogprobs && { choiceLogprobs }),
          };
          division.add(number, result);
          hear(number, result);
        };
        await searchBatch(model, own, searches, {
          attach,
          count,
          minNewTokens,
          endOfSequence,
          choices,
          sampling: options,
          wholes: inputs,
          signal: options.signal,
          onToken: options.onToken,
          finish,
        });
        trimGrownMemory();
      }
    });
  // The layers of a divided model have their weights for the moment only.
  if (inputs.length * beams < fewRows || model.blocks.divided) await search();
  else await withPackedWeights([...model.linears.values(), model.head], search);
  await division.finish(hear);
  return results;
}

/**
 * Candidates for an input's beams at each step. Of each beam at most the end ids are complete: K are always left to go
 * on. Errors: a UserError for more than the vocabulary has.
 */
export function candidatesOf(
  { shape: { vocabularySize, endOfSequence } }: LanguageModel,
  beams: number,
  ends = endOfSequence.length,
): number {
  const count = beams === 1 ? 1 : Math.max(2, 1 + ends) * beams;
  if (count > vocabularySize)
    throw new UserError(`${beams} beams are too many for a vocabulary of ${vocabularySize} tokens`);
  return count;
}

/**
 * Bounds the memory of a batch: 16,384 tokens are 0.75 GB of float32 keys and values for a model of 135M parameters.
 */
const largestBatchTokens = 16_384;

/** With fewer rows than this a product reads the weights for the most part, and their layout matters little. */
const fewRows = 16;

function penalty({ lengthPenalty, brevityPenalty }: GenerateOptions): (length: number) => number {
  if (brevityPenalty === undefined) return (length) => length ** (lengthPenalty ?? 1);
  if (lengthPenalty !== undefined) throw new UserError('give lengthPenalty or brevityPenalty, not both');
  // T5X decoding.py, brevity_penalty (from Wu et al. 2016, section 7).
  return (length) => ((5 + length) / 6) ** brevityPenalty;
}

/** An input's number, its search, and what else was asked about it. */
interface Searched {
  readonly number: number;
  readonly search: Search;
  choiceLogprobs?: readonly number[];
}

async function searchBatch(
  model: LanguageModel,
  inputs: readonly Ids[],
  searches: readonly Searched[],
  options: {
    attach: InputGroup['attach'];
    count: number;
    minNewTokens: number;
    endOfSequence: readonly number[];
    choices: readonly Ids[];
    sampling: SamplingSettings;
    /** The inputs with what the prefix holds of them. */
    wholes: readonly Ids[];
    signal: AbortSignal | undefined;
    onToken: GenerateOptions['onToken'];
    finish: (searched: Searched) => void;
  },
): Promise<void> {
  const { attach, count, minNewTokens, endOfSequence, choices, sampling, wholes, signal, onToken, finish } = options;
  // What a sequence holds already: of an encoder-decoder the generated side alone, as in Transformers.
  const starts = needsHistory(sampling) ? searches.map(({ number }) => startOf(model, wholes[number]!)) : undefined;
  const startsBy = new Map(starts?.map((start, i) => [searches[i]!.number, start]));
  await breathe(signal);
  const decoding = noGrad(() =>
    model.startDecoding(
      searches.map(({ number }) => inputs[number]!),
      attach,
    ),
  );
  try {
    let live = searches;
    let tokens: readonly number[] = [];
    let scores: readonly number[] = live.map(() => 0);
    for (let step = 0; live.length > 0; step++) {
      await breathe(signal);
      const candidates = noGrad(() =>
        scope(() => {
          const logits = step === 0 ? decoding.first() : decoding.next(tokens);
          if (step === 0 && choices.length > 0) {
            const logprobs = choiceLogprobs(decoding, logits, choices);
            searches.forEach((searched, i) => {
              searched.choiceLogprobs = logprobs.slice(i * choices.length, (i + 1) * choices.length);
            });
            decoding.rewind();
          }
          const histories = live.flatMap(({ number, search }) => {
            const start = startsBy.get(number);
            return start ? search.running().map((ids) => [...start, ...ids]) : [];
          });
          return bestCandidates(logits.float(), {
            scores,
            numbers: live.map(({ number }) => number),
            count,
            banned: step < minNewTokens ? endOfSequence : [],
            sampling,
            histories,
            step,
          });
        }),
      );
      const beams = scores.length / live.length;
      const kept: number[] = [];
      const rows: number[] = [];
      const chosen: BeamStep[] = [];
      live.forEach((searched, i) => {
        const goOn = searched.search.advance(candidates[i]!);
        const token = candidates[i]![0]!.token;
        if (onToken && !endOfSequence.includes(token)) onToken(searched.number, token);
        if (goOn.length === 0) finish(searched);
        else {
          kept.push(i);
          chosen.push(...goOn);
          rows.push(...goOn.map(({ beam }) => i * beams + beam));
        }
      });
      const same = rows.length === scores.length && rows.every((row, i) => row === i);
      if (rows.length > 0 && !same) noGrad(() => decoding.reorder(rows, kept));
      live = kept.map((i) => live[i]!);
      tokens = chosen.map(({ token }) => token);
      scores = chosen.map(({ score }) => score);
    }
  } finally {
    decoding.dispose();
  }
}

/** The ids in front of what is generated, where a setting looks back at them. */
function startOf(model: LanguageModel, input: Ids): Ids {
  return model.shape.start === undefined ? input : [model.shape.start];
}

/** What the candidates of a step follow from, beside the logits. */
interface StepFacts {
  /** Of the beams. */
  readonly scores: readonly number[];
  /** Of the inputs. */
  readonly numbers: readonly number[];
  /** C */
  readonly count: number;
  /** Tokens that have no chance. */
  readonly banned: readonly number[];
  readonly sampling: SamplingSettings;
  /** What each beam holds already, where the settings look at it. */
  readonly histories: readonly Ids[];
  readonly step: number;
}

/**
 * The C best continuations of each input, best first, from logits [B * K, V] (float32, overwritten) and the beams'
 * scores; or one that is drawn. All work over V is libtorch's; B * C pairs of numbers come out.
 */
function bestCandidates(
  logits: Tensor,
  { scores, numbers: { length: inputs }, numbers: inputNumbers, count, banned, sampling, histories, step }: StepFacts,
): BeamStep[][] {
  const rows = logits.size(1);
  const before = tensor(scores, { shape: [scores.length, 1] });
  const process = (x: Tensor) => (histories.length > 0 ? processed(x, histories, sampling) : x);
  /** In place. */
  const ban = (x: Tensor) => {
    if (banned.length > 0) call('aten::index_fill_.int_Scalar', x, 1, idTensor(banned), -Infinity);
    return x;
  };
  let values: Tensor;
  let indices: Tensor;
  if (draws(sampling)) {
    const choice = warped(ban(process(logits)), sampling);
    indices = drawn(choice, inputNumbers, step, sampling.seed ?? 0);
    values = choice.logSoftmax(1).gather(1, indices).add(before);
  } else if (count === 1) {
    // Greedy search compares logits, not their rounded log-probabilities, and takes the first of equal ones.
    const choice = process(logits);
    const logSum = choice.logsumexp(1, true);
    indices = ban(choice).argmax(1).unsqueeze(1);
    values = choice.gather(1, indices).sub(logSum).add(before);
  } else {
    const sums = ban(process(logits.logSoftmax(1))).add_(before);
    ({ values, indices } = sums.view(inputs, -1).topk(count));
  }
  // One tensor, so that only one copy leaves the device; float64 holds both exactly.
  const numbers = cat([values.to('float64'), indices.to('float64')], 1).toArray();
  return Array.from({ length: inputs }, (_, i) =>
    Array.from({ length: count }, (_, j) => {
      const score = Number(numbers[2 * count * i + j]);
      const index = Number(numbers[2 * count * i + count + j]);
      if (Number.isNaN(score)) throw new UserError('the model gives logits that are not numbers (NaN)');
      return { beam: Math.floor(index / rows), token: index % rows, score };
    }),
  );
}
