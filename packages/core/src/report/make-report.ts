// `promot report`: one report of any set of training runs and evaluations, from the files in their folders. Runs no
// model.
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { isReproduced, readEvaluation } from '../artifacts/evaluation-folder.js';
import { hasResults } from '../artifacts/results-file.js';
import { isRun } from '../artifacts/run-file.js';
import { readTrainingRun } from '../artifacts/training-run.js';
import { UserError } from '../base/errors.js';
import { version } from '../base/version.js';
import { confusionSection } from './confusion.js';
import { curveSections, type NamedRun } from './curves.js';
import { type NamedEvaluation, saidInEvaluation, scoreSections } from './evaluation-sections.js';
import type { Report, Section } from './report.js';
import { costSection, runSection, saidInRun, versions } from './run-sections.js';
import { type Speaker, sideBySides } from './side-by-side.js';
import { barSections, headlineOf, titleOf } from './summary.js';
import { writeReport } from './write.js';

export interface ReportRequest {
  /** Folders of `promot train` and of `promot eval --out`, in any order. */
  readonly folders: readonly string[];
  /** Folder of the report, which is made where need be; an earlier report there is replaced. */
  readonly out: string;
}

export interface WrittenReport {
  readonly out: string;
  /** Paths of all files, index.html first. */
  readonly files: readonly string[];
}

/** Prompts of each task whose outputs are shown. */
const shownPrompts = 3;

/**
 * Reads the folders and writes one report: scores with differences to the evaluation in the folder named `pretrained`
 * (or the first one), learning curves, what is left of other tasks, outputs side by side, costs, settings, versions.
 * Errors: a UserError for a folder that is neither a training run nor an evaluation, or is damaged; nothing is written
 * then.
 *
 * @example await makeReport({ folders: ['runs/plain', 'runs/promot', 'results/pretrained'], out: 'report' });
 */
export async function makeReport({ folders, out }: ReportRequest): Promise<WrittenReport> {
  if (folders.length === 0) throw new UserError('a report needs folders: name training runs or evaluations');
  const names = namesOf(folders);
  const runs: NamedRun[] = [];
  const evaluations: NamedEvaluation[] = [];
  for (const [i, folder] of folders.entries()) {
    const name = names[i]!;
    if (isRun(folder)) runs.push({ name, run: readTrainingRun(folder) });
    else if (isReproduced(folder))
      throw new UserError(
        `${folder} is a report of \`promot reproduce\` already: name folders below runs/ and evaluations/ beside it`,
      );
    else if (hasResults(folder)) evaluations.push({ name, evaluation: readEvaluation(folder) });
    else {
      const none = 'neither a training run (run.json) nor an evaluation (results.json)';
      throw new UserError(
        `${folder}: ${existsSync(folder) ? none : 'no such folder'}: ` +
          'name folders of `promot train` or of `promot eval --out`',
      );
    }
  }
  return { out, files: await writeReport(out, reportOf(runs, evaluations)) };
}

/** The folders' own names; the whole paths where two are alike. */
function namesOf(folders: readonly string[]): string[] {
  const twice = folders.find((folder, i) => folders.findIndex((one) => resolve(one) === resolve(folder)) !== i);
  if (twice !== undefined) throw new UserError(`${twice} is named twice`);
  const own = folders.map((folder) => basename(resolve(folder)));
  return folders.map((folder, i) => (own.filter((name) => name === own[i]).length > 1 ? folder : own[i]!));
}

/** What a report says of training runs alone. */
export function runReport(runs: readonly NamedRun[]): Report {
  return reportOf(runs, []);
}

function reportOf(runs: readonly NamedRun[], evaluations: readonly NamedEvaluation[]): Report {
  const settings = runs.map(({ name, run }) => ({ name, values: run.settings }));
  const asked = evaluations.map(({ name, evaluation }) => ({ name, values: evaluation.settings }));
  const headline = headlineOf(runs, evaluations);
  const [evaluated, trained] = [evaluations.map(saidInEvaluation), runs.map(saidInRun)];
  return {
    title: titleOf(runs, evaluations),
    ...(headline !== undefined && { headline }),
    summary: [
      [counted(runs.length, 'training run'), counted(evaluations.length, 'evaluation')].filter(Boolean).join(', ') +
        '.',
    ],
    sections: [
      ...barSections(evaluations),
      ...scoreSections(evaluations),
      ...(runs.length > 0 ? [runSection(runs)] : []),
      ...curveSections(runs),
      ...outputSections('Outputs', evaluated),
      ...outputSections('Outputs on the validation split', trained),
      ...[...evaluated, ...trained].flatMap(({ name, tasks }) =>
        [...tasks].flatMap(([task, samples]) => confusionSection(name, task, samples)),
      ),
      ...(runs.length > 0 ? [costSection(runs)] : []),
      ...differingSettings('Settings of the training runs that differ', settings),
      ...differingSettings('Settings of the evaluations that differ', asked),
    ],
    facts: [
      ...sameSettings('training settings', settings),
      ...sameSettings('evaluation settings', asked),
      ...versions(runs),
      ...evaluations.flatMap(({ name, evaluation: { date } }) =>
        date === undefined ? [] : [[`date of ${name}`, date] as const],
      ),
      ['report made by', `promot ${version()}`],
    ],
  };
}

const counted = (n: number, what: string) => (n === 0 ? '' : `${n} ${what}${n === 1 ? '' : 's'}`);

function outputSections(heading: string, speakers: readonly Speaker[]): Section[] {
  return sideBySides(speakers, shownPrompts).map((sideBySide) => ({
    heading,
    text: [
      sideBySide.names.length === 1
        ? `What ${sideBySide.names[0]} says; wrong answers first.`
        : `What ${sideBySide.names.join(', ')} say to the same prompts; those on which they differ first.`,
    ],
    sideBySide,
  }));
}

interface NamedSettings {
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
}

const keysOf = (all: readonly NamedSettings[]) => [...new Set(all.flatMap(({ values }) => Object.keys(values)))];
const isSame = (all: readonly NamedSettings[], key: string) => new Set(all.map(({ values }) => values[key])).size === 1;

function differingSettings(heading: string, all: readonly NamedSettings[]): Section[] {
  const keys = keysOf(all).filter((key) => !isSame(all, key));
  if (keys.length === 0) return [];
  return [
    {
      heading,
      table: {
        columns: ['setting', ...all.map(({ name }) => name)],
        rows: keys.map((key) => ({ name: key, cells: all.map(({ values }) => ({ text: values[key] ?? '–' })) })),
      },
    },
  ];
}

function sameSettings(name: string, all: readonly NamedSettings[]): (readonly [string, string])[] {
  const keys = keysOf(all).filter((key) => isSame(all, key));
  return keys.length === 0 ? [] : [[name, keys.map((key) => `${key} ${all[0]!.values[key]}`).join(', ')]];
}
