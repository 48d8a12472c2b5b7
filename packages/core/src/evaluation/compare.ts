// Results of several evaluations side by side: differences to the first, their significance, outputs that changed.
import { existsSync } from 'node:fs';
import { readResults, type StoredResult } from '../artifacts/results-file.js';
import { readSamples, type SampleLine, samplesPath } from '../artifacts/samples-file.js';
import { UserError } from '../base/errors.js';
import { type Interval, pairedBootstrap } from '../metrics/bootstrap.js';
import { type MetricResult, resultOf } from '../metrics/metric.js';
import { ChosenMetric, metrics } from '../metrics/registry.js';
import { nllResult } from './nll.js';

/** One value of an evaluation beside the first evaluation's. */
export interface ComparedScore {
  readonly score: number;
  /**
   * For all but the first: this score less the first's, with the paired bootstrap's 95 % interval and two-sided
   * p-value.
   */
  readonly difference?: number;
  readonly interval?: Interval;
  readonly pValue?: number;
}

/** An example on which the evaluations say different things. */
interface ChangedOutput {
  readonly input: string;
  readonly references: readonly string[];
  /** The trimmed outputs, in the folders' order. */
  readonly outputs: readonly string[];
}

export interface ComparedTask {
  readonly task: string;
  readonly metric: string;
  readonly n: number;
  /** In the folders' order; null where an evaluation has no such task, or one that cannot be compared (see `notes`). */
  readonly scores: readonly (ComparedScore | null)[];
  /** By the task's other metrics, where it has several. */
  readonly others?: readonly { readonly metric: string; readonly scores: readonly (ComparedScore | null)[] }[];
  /** Mean negative log-likelihood of the references (lower is better), where all that are compared report it. */
  readonly nll?: readonly (ComparedScore | null)[];
  /** Number of examples on which the outputs are not all the same. */
  readonly changed: number;
  readonly changes: readonly ChangedOutput[];
  /** Why something is not compared, or compared with care. */
  readonly notes: readonly string[];
}

export interface Comparison {
  readonly folders: readonly string[];
  readonly tasks: readonly ComparedTask[];
  /** Settings that differ, by name: their values in the folders' order. */
  readonly settings: Readonly<Record<string, readonly unknown[]>>;
  /** Mean score over the tasks that all folders have, where there are several. */
  readonly averages?: readonly number[];
}

interface Results {
  readonly folder: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly tasks: readonly StoredResult[];
}

/**
 * Compares folders that `evaluateTasks` wrote with `out`.
 * @param shown so many changed outputs of each task are given.
 * Errors: a UserError for a folder without results, or with damaged ones.
 *
 * @example const { tasks } = compareResults(['results/pretrained', 'results/rte']);
 */
export function compareResults(folders: readonly string[], shown = 3): Comparison {
  if (folders.length < 2) throw new UserError('a comparison needs two folders with results, or more');
  const all = folders.map(openResults);
  const names = [...new Set(all.flatMap(({ tasks }) => tasks.map(({ task }) => task)))];
  const tasks = names.map((name) => compareTask(name, all, shown));
  const common = tasks.filter(({ scores }) => scores.every((score) => score !== null));
  const keys = [...new Set(all.flatMap(({ settings }) => Object.keys(settings)))];
  const values = (key: string) => all.map(({ settings }) => settings[key] ?? null);
  const differing = keys.filter((key) => new Set(values(key).map((value) => JSON.stringify(value))).size > 1);
  return {
    folders,
    tasks,
    settings: Object.fromEntries(differing.map((key) => [key, values(key)])),
    ...(common.length > 1 && {
      averages: folders.map((_, i) => common.reduce((sum, { scores }) => sum + scores[i]!.score, 0) / common.length),
    }),
  };
}

function compareTask(name: string, all: readonly Results[], shown: number): ComparedTask {
  const entries = all.map(({ tasks }) => tasks.find(({ task }) => task === name));
  const base = entries.find((entry) => entry !== undefined)!;
  const notes: string[] = [];
  const comparable = entries.map((entry, i) => {
    if (entry === undefined) return false;
    const keys = ['version', 'split', 'signature', 'dataFingerprint'] as const;
    const other = keys.filter((key) => entry[key] !== base[key]);
    if (other.length > 0) notes.push(`${all[i]!.folder} has another ${other.join(' and ')}: not compared`);
    return other.length === 0;
  });
  for (const key of ['shots', 'seed'] as const) {
    const values = entries.map((entry) => entry?.[key] ?? '-');
    if (new Set(values.filter((value) => value !== '-')).size > 1) notes.push(`${key} differ: ${values.join(', ')}`);
  }
  const samples = entries.map((entry, i) => (comparable[i] ? samplesOf(all[i]!.folder, entry!) : undefined));
  const present = samples.filter((list) => list !== undefined);
  const results = samples.map((list, i) => list && scoreSamples(list, entries[i]!, 0, entries[i]!, all[i]!.folder));
  const others = (base.metrics ?? []).slice(1).map((metric) => {
    const found = samples.map((list, i) => {
      const place = entries[i]?.metrics?.findIndex(({ signature }) => signature === metric.signature) ?? -1;
      if (!list?.every((sample) => sample.scores) || place === -1) return undefined;
      return scoreSamples(list, entries[i]!.metrics![place]!, place, entries[i]!, all[i]!.folder);
    });
    return { metric: metric.metric, scores: besideFirst(found) };
  });
  const nll = samples.map((list) =>
    list?.every((sample) => sample.reference) ? nllResult(list.map((sample) => sample.reference!)) : undefined,
  );
  const differ = present[0]!.flatMap((_, i) =>
    present.some((list) => list[i]!.trimmed !== present[0]![i]!.trimmed) ? [i] : [],
  );
  const asked = present[0]!.filter((sample, i) => present.some((list) => list[i]!.input !== sample.input)).length;
  if (asked > 0)
    notes.push(`${asked} of ${present[0]!.length} prompts differ (other exemplars, or another length limit)`);
  return {
    task: name,
    metric: base.metric,
    n: base.n,
    scores: besideFirst(results),
    ...(others.length > 0 && { others }),
    ...(samples.every((list, i) => (list === undefined) === (nll[i] === undefined)) && { nll: besideFirst(nll) }),
    changed: differ.length,
    changes: differ.slice(0, shown).map((i) => ({
      input: present[0]![i]!.input,
      references: present[0]![i]!.references,
      outputs: samples.map((list) => list?.[i]?.trimmed ?? ''),
    })),
    notes,
  };
}

/** Each result with its difference to the first one there is. */
function besideFirst(results: readonly (MetricResult | undefined)[]): (ComparedScore | null)[] {
  const place = results.findIndex((result) => result !== undefined);
  return results.map((result, i) => {
    if (result === undefined) return null;
    if (i === place) return { score: result.score };
    const { difference, low, high, pValue } = pairedBootstrap(results[place]!, result);
    return { score: result.score, difference, interval: { low, high }, pValue };
  });
}

/** The result of a task's metric number `place` from the samples; the score must be the one that was reported. */
function scoreSamples(
  samples: readonly SampleLine[],
  entry: Pick<StoredResult, 'metric' | 'metricSettings' | 'score' | 'signature'>,
  place: number,
  { task }: StoredResult,
  folder: string,
): MetricResult {
  // The score of a corpus (BLEU, chrF, perplexity) is not the mean of its samples'. All others are, also those by
  // likelihood.
  const metric = metrics.get(entry.metric);
  const result = metric.aggregate
    ? new ChosenMetric(metric, entry.metricSettings).score(
        samples.map(({ trimmed, references, choices, right }) => ({ output: trimmed, references, choices, right })),
      )
    : resultOf(
        samples.map(({ score, scores }) => [place === 0 ? score : scores![place]!]),
        { signature: entry.signature },
      );
  if (Math.abs(result.score - entry.score) > 1e-6)
    throw new UserError(
      `${folder}: samples-${task}.jsonl gives ${entry.metric} ${result.score}, results.json says ${entry.score}: ` +
        'evaluate again',
    );
  return result;
}

function openResults(folder: string): Results {
  const { settings, modelFingerprint, promptFingerprint, tasks } = readResults(folder);
  return { folder, settings: { ...settings, modelFingerprint, promptFingerprint }, tasks };
}

function samplesOf(folder: string, { task, n }: StoredResult): SampleLine[] {
  const path = samplesPath(folder, task);
  if (!existsSync(path)) throw new UserError(`${path} is missing: evaluate again`);
  const samples = readSamples(path);
  if (samples.length !== n)
    throw new UserError(`${path} has ${samples.length} samples, results.json speaks of ${n} examples`);
  return samples;
}
