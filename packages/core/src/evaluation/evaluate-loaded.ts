// A loaded model on one task, from its data to a result: k-shot prompts, the answers, the metric with its interval.

import { UserError } from '../base/errors.js';
import type { Split } from '../data/source.js';
import { score } from '../generation/score.js';
import { scoreChoices } from '../generation/score-choices.js';
import { bootstrapInterval, type Interval } from '../metrics/bootstrap.js';
import { mostLikely, type Ranking } from '../metrics/label-likelihood.js';
import { chooseMetric } from '../metrics/registry.js';
import { checkChatLengths, renderChats } from '../models/chat.js';
import type { LoadedModel } from '../models/load.js';
import { tokenizeExample, tokenizePrompt } from '../models/tokenize.js';
import { type Example, fingerprintExamples, type Task } from '../tasks/task.js';
import { Answers, type ReferenceScore } from './answers.js';
import { longestContinuation, scoreChoiceExamples, scoreChoiceResults } from './choices.js';
import { generateOutputs, labelScores, maxNewTokens, scoreOutputs, stopStrings } from './evaluate-examples.js';
import { type EvaluateOptions, type Sample, tellAnswers } from './evaluation.js';
import { formShare, type TargetForm } from './form.js';
import { type LikelihoodAccuracy, labelTokens } from './likelihood.js';
import { nllResult } from './nll.js';
import { taskPrompts } from './prompts.js';

export interface TaskOptions extends Omit<EvaluateOptions, 'fewShot'> {
  /** Exemplars in front of every input, from the training split. Default 0. */
  readonly shots?: number;
  /**
   * Draws the exemplars: equal seeds give equal ones to all models. Draws tokens, too, where settings say so. Default
   * 0.
   */
  readonly seed?: number;
  /** Only the first N examples of the split. */
  readonly limit?: number;
  /** Words whose share among the outputs is reported as `formShare`; by default the task's labels. */
  readonly labels?: readonly string[];
  /** In place of `labels`: the forms of one target or several, such as a language, whose share is reported. */
  readonly forms?: readonly TargetForm[];
  /** Default: the task's evaluation split. */
  readonly split?: Split;
  /** For tasks with labels: what `score` is, the generated answers' accuracy (default) or the most likely label's. */
  readonly decide?: 'generation' | 'likelihood';
  /** Report how likely the references are, too. Default false. */
  readonly nll?: boolean;
}

/** One example with what the model said, and on request how likely it found other things. */
export interface TaskSample extends Sample {
  /** For tasks with labels: the most likely one, by each ranking. */
  readonly mostLikely?: Readonly<Record<Ranking, string>>;
  /** With `nll`: how likely the (first) reference is. */
  readonly reference?: ReferenceScore;
}

/** The score of one metric of several. */
type MetricScore = Pick<TaskResult, 'metric' | 'metricSettings' | 'score' | 'interval' | 'signature'>;

export interface TaskResult {
  readonly task: string;
  readonly version: string;
  readonly split: Split;
  /** The task's first metric, with its settings. */
  readonly metric: string;
  readonly metricSettings?: Readonly<Record<string, unknown>>;
  /** 0 to 100. */
  readonly score: number;
  /** Of `score`: percentile bootstrap, 95 %, 1,000 resamples. */
  readonly interval: Interval;
  readonly n: number;
  readonly shots: number;
  readonly seed: number;
  /** Equal signatures mean comparable scores. */
  readonly signature: string;
  /** For tasks with several metrics: every one's score, the first one's included. */
  readonly metrics?: readonly MetricScore[];
  /** The words that `formShare` counts. */
  readonly labels?: readonly string[];
  /** The language that `formShare` counts. */
  readonly language?: string;
  /** Percent of the outputs that begin with one of `labels` or are in `language`. */
  readonly formShare?: number;
  /** For tasks with labels: accuracy of the generated answers, and of the labels ranked by likelihood. */
  readonly generation?: number;
  readonly likelihood?: LikelihoodAccuracy;
  /** With `nll`: mean negative log-likelihood of the first references, nats per token, and its interval. */
  readonly nll?: number;
  readonly nllInterval?: Interval;
  /** What a reader of the score must know: stand-ins, dropped exemplars, cut inputs. */
  readonly notes: readonly string[];
  /** SHA-256 of the evaluated examples. */
  readonly dataFingerprint: string;
  readonly samples: readonly TaskSample[];
}

/**
 * Evaluates a model that is loaded already on a task's evaluation split. It writes nothing. `evaluateTasks` opens a
 * model by its name, and writes files.
 * Errors: a UserError for data at fault, too few exemplars, or `likelihood` on a task without labels.
 */
export async function evaluateLoaded(loaded: LoadedModel, task: Task, options: TaskOptions = {}): Promise<TaskResult> {
  const examples = await evaluationExamples(task, options);
  const answers = new Answers();
  await collectAnswers(loaded, task, examples, options, answers);
  return taskResult(task, examples, options, answers);
}

/**
 * The examples that an evaluation is about. Errors: a UserError where there are none, or for options that do not fit
 * the task.
 */
export async function evaluationExamples(
  task: Task,
  { limit, decide, split = task.evaluationSplit }: Pick<TaskOptions, 'limit' | 'decide' | 'split'>,
): Promise<readonly Example[]> {
  if (decide === 'likelihood' && !task.labels)
    throw new UserError(`decide=likelihood needs a task with labels; ${task.name} has none`);
  const examples = await task.load(split);
  if (examples.length === 0) throw new UserError(`task ${task.name}: its ${split} split is empty`);
  return examples.slice(0, limit ?? examples.length);
}

/** How many answers of all kinds an evaluation still needs; `total` is what it needs in all. */
export function missingAnswers(
  task: Task,
  examples: readonly Example[],
  { nll = false }: Pick<TaskOptions, 'nll'>,
  answers: Answers,
): { missing: number; total: number } {
  const kinds = [
    ...(task.choices ? [answers.choices] : [answers.outputs, ...(task.labels ? [answers.labels] : [])]),
    ...(nll ? [answers.references] : []),
  ];
  const total = kinds.length * examples.length;
  return { missing: kinds.reduce((left, kind) => left - kind.size, total), total };
}

/** Asks the model for all answers that are not there yet. */
export async function collectAnswers(
  loaded: LoadedModel,
  task: Task,
  given: readonly Example[],
  options: TaskOptions,
  answers: Answers,
): Promise<void> {
  const { shots = 0, seed = 0, maxInputLength = 0, prompt, batchSize, signal, nll = false } = options;
  const { model, tokenizer } = loaded;
  const examples = renderChats(given, loaded);
  checkChatLengths(examples, tokenizer, maxInputLength);
  // Of all examples, also where some have their answers already.
  const newTokens = task.choices
    ? longestContinuation(examples, loaded)
    : (options.maxNewTokens ?? maxNewTokens(task, loaded, examples));
  if (answers.prompts === undefined) {
    const limits = { shots, seed, promptRows: prompt?.size(0) ?? 0, newTokens, maxInputLength };
    const { inputs, notes } = await taskPrompts(loaded, task, examples, limits);
    answers.begin({ inputs, notes: [...notes, ...stopNotes(examples, stopStrings(task, model.kind, shots > 0))] });
  }
  const { inputs } = answers.prompts!;
  const { missing, total } = missingAnswers(task, examples, options, answers);
  let done = total - missing;
  const tell = tellAnswers(task.name, options.onEvent);
  const onProgress = () => tell(++done, total);
  const run = { prompt, batchSize, signal, onProgress };
  const lacking = (known: ReadonlyMap<number, unknown>) => examples.flatMap((_, i) => (known.has(i) ? [] : [i]));

  const collectChoices = async () => {
    const open = lacking(answers.choices);
    await scoreChoiceExamples(
      loaded,
      open.map((i) => examples[i]!),
      {
        ...run,
        maxInputLength,
        prefixes: open.map((i) => inputs[i]!.slice(0, inputs[i]!.length - examples[i]!.input.length)),
        onResult: (i, scores) => answers.addChoices(open[i]!, scores),
      },
    );
  };
  const collectOutputs = async () => {
    const silent = lacking(answers.outputs);
    const asked = silent.map((i) => ({ ...examples[i]!, input: inputs[i]! }));
    const choices = task.labels && labelTokens(task.labels, loaded, examples);
    await generateOutputs(
      loaded,
      task,
      asked,
      { ...options, maxNewTokens: newTokens, fewShot: shots > 0, onProgress, choices },
      (i, output, logprobs) => {
        answers.addOutput(silent[i]!, output);
        if (!logprobs) return;
        answers.addLabels(silent[i]!, labelScores(choices!, logprobs));
        onProgress();
      },
    );
    // As a rule there are none: an evaluation was cut short between an example's output and its labels.
    const unranked = task.labels ? lacking(answers.labels) : [];
    const ids = unranked.map((i) =>
      tokenizePrompt({ ...examples[i]!, input: inputs[i]! }, tokenizer, model.kind, maxInputLength),
    );
    await scoreChoices(model, ids, choices ?? [], {
      ...run,
      onResult: (i, logprobs) => answers.addLabels(unranked[i]!, labelScores(choices!, logprobs)),
    });
  };

  await (task.choices ? collectChoices() : collectOutputs());
  if (nll) {
    const unscored = lacking(answers.references);
    const tokenized = unscored.map((i) =>
      tokenizeExample({ ...examples[i]!, input: inputs[i]! }, tokenizer, model.kind, maxInputLength),
    );
    await score(model, tokenized, {
      ...run,
      onResult: (i, { loss, tokens }) => answers.addReference(unscored[i]!, { logprob: -loss * tokens, tokens }),
    });
  }
}

/** What a reader must know where outputs end at a string that references hold. */
function stopNotes(examples: readonly Example[], strings: readonly string[]): string[] {
  const holds = (text: string) => strings.some((string) => text.includes(string));
  const lost = examples.filter(({ references }) => references.every(holds)).length;
  const ends = strings.map((string) => JSON.stringify(string)).join(' or ');
  return lost === 0
    ? []
    : [`outputs end at ${ends}, and the references of ${lost} of ${examples.length} examples hold it`];
}

/** The result that complete answers give; needs no model. */
export function taskResult(
  task: Task,
  examples: readonly Example[],
  options: TaskOptions,
  answers: Answers,
): TaskResult {
  const { shots = 0, seed = 0, decide = 'generation', nll = false } = options;
  const { inputs, notes } = answers.prompts!;
  const prompted = examples.map((example, i) => ({ ...example, input: inputs[i]! }));
  const outputs = examples.map((_, i) => answers.outputs.get(i)!);
  const likelihoods = task.labels && examples.map((_, i) => answers.labels.get(i)!);
  const scored = task.choices
    ? scoreChoiceResults(
        task,
        prompted,
        examples.map((_, i) => answers.choices.get(i)!),
      )
    : scoreOutputs(task, prompted, outputs, likelihoods);
  // Nothing is generated of a task with choices: its answers have no form.
  const labels = task.choices ? undefined : (options.labels ?? task.labels);
  const forms = task.choices ? [] : (options.forms ?? (labels ? [{ labels }] : []));
  const byLikelihood = (ranking: Ranking) =>
    scoreOutputs(task, prompted, outputs, likelihoods, [chooseMetric({ name: 'label-likelihood', ranking })]);
  const ranked = task.labels && { raw: byLikelihood('raw'), perToken: byLikelihood('perToken') };
  const { result, samples } = decide === 'likelihood' ? ranked!.raw : scored;
  const facts = task.metrics.map(({ name, settings }) => ({
    metric: name,
    ...(Object.keys(settings).length > 0 && { metricSettings: settings }),
  }));
  const references = nll ? nllResult(examples.map((_, i) => answers.references.get(i)!)) : undefined;
  return {
    task: task.name,
    version: task.version,
    split: options.split ?? task.evaluationSplit,
    ...facts[0]!,
    score: result.score,
    interval: bootstrapInterval(result),
    n: result.n,
    shots,
    seed,
    signature: result.signature,
    ...(task.metrics.length > 1 && {
      metrics: scored.results.map((one, i) => ({
        ...facts[i]!,
        score: one.score,
        interval: bootstrapInterval(one),
        signature: one.signature,
      })),
    }),
    ...(forms.length > 0 && {
      ...namesOf(forms),
      formShare: formShare(
        scored.samples.map(({ trimmed }) => trimmed),
        ...forms,
      ),
    }),
    ...(ranked && {
      generation: scored.score,
      likelihood: { raw: ranked.raw.score, perToken: ranked.perToken.score },
    }),
    ...(references && { nll: references.score, nllInterval: bootstrapInterval(references) }),
    notes: [...new Set([...task.notes, ...notes, ...scored.results.flatMap((one) => one.notes ?? [])])],
    dataFingerprint: fingerprintExamples(examples),
    samples: samples.map((sample, i) => ({
      ...sample,
      ...(ranked && {
        mostLikely: {
          raw: mostLikely(task.labels!, likelihoods![i]!, 'raw'),
          perToken: mostLikely(task.labels!, likelihoods![i]!, 'perToken'),
        },
      }),
      ...(nll && { reference: answers.references.get(i)! }),
    })),
  };
}

function namesOf(forms: readonly TargetForm[]): { labels?: readonly string[]; language?: string } {
  const labels = [...new Set(forms.flatMap((form) => ('labels' in form ? form.labels : [])))];
  const languages = forms.flatMap((form) => ('language' in form ? form.language.name : []));
  return {
    ...(labels.length > 0 && { labels }),
    ...(languages.length > 0 && { language: languages.join(' or ') }),
  };
}
