// The built-in tasks by name, and the one way to get any task.

import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { HubOptions } from '../data/hub.js';
import { hubSource } from '../data/hub-source.js';
import { nearestNames } from '../data/nearest-name.js';
import { folderSource, type RecordSource } from '../data/source.js';
import { UserError } from '../errors.js';
import { isLabTask, loadLabTask } from '../lab/load.js';
import { LAB_TASKS } from '../lab/tasks.js';
import { cb } from './cb.js';
import { multi30kEnCs, multi30kEnDe, multi30kEnFr } from './multi30k.js';
import { openbookqa } from './openbookqa.js';
import { rte } from './rte.js';
import { snli } from './snli.js';
import { createTask, type Task, type TaskDefinition } from './task.js';
import { triviaQa } from './trivia-qa.js';
import { webQuestions } from './web-questions.js';
import { wic } from './wic.js';
import { wikilinguaEn } from './wikilingua-en.js';
import { wmt14EnFr } from './wmt14-en-fr.js';
import { wmt16EnDe } from './wmt16-en-de.js';
import { wmt16EnRo } from './wmt16-en-ro.js';
import { xsum } from './xsum.js';
import { loadYamlTask } from './yaml-task.js';

/** The paper's twelve data sets (section 5, Table 5) and Multi30k's stand-ins. */
export const builtinTasks: readonly TaskDefinition[] = [
  rte,
  cb,
  wic,
  snli,
  openbookqa,
  triviaQa,
  webQuestions,
  wmt14EnFr,
  wmt16EnDe,
  wmt16EnRo,
  xsum,
  wikilinguaEn,
  multi30kEnFr,
  multi30kEnDe,
  multi30kEnCs,
];

/** Names of the built-in lab's tasks, which need no data. */
export const labTaskNames: readonly string[] = Object.keys(LAB_TASKS);

/** Where a task's data comes from and who hears of warnings. */
export interface LoadTaskOptions {
  /** A folder with one folder a data set: `data/rte/train.jsonl`, `data/trivia_qa/test.jsonl`; else the hub is asked. */
  readonly data?: string;
  /** How to reach the hub. */
  readonly hub?: HubOptions;
  /** Hears of things that do not stop the work but belong in its results (a split of another size than the paper's). */
  readonly onWarning?: (message: string) => void;
}

/**
 * A task by built-in name (`rte`, or `rte@1` to insist on a version; `_` reads as `-`; `lab-rte` and its like need no
 * data) or by the path of a YAML file.
 * Errors: a UserError for an unknown name (with the nearest known ones), another version, absent data, a bad YAML file.
 *
 * @example
 * const task = await loadTask('rte', { data: 'data' });
 * const examples = await task.load(task.evaluationSplit);
 */
export async function loadTask(nameOrPath: string, options: LoadTaskOptions = {}): Promise<Task> {
  if (['.yaml', '.yml'].includes(extname(nameOrPath))) return loadYamlTask(nameOrPath, options.onWarning);
  const [name = '', version] = nameOrPath.toLowerCase().replaceAll('_', '-').split('@', 2);
  const lab = isLabTask(name) ? loadLabTask(name) : undefined;
  const definition = lab ?? builtinTasks.find((task) => task.name === name);
  if (definition === undefined) throw unknownTask(nameOrPath);
  if (version !== undefined && version !== definition.version) {
    throw new UserError(
      `this release has ${name}@${definition.version}, not ${nameOrPath}: scores would not be comparable`,
    );
  }
  if (lab) return lab;
  return createTask(definition, await sourceOf(definition, options), options.onWarning);
}

function unknownTask(name: string): UserError {
  const names = [...builtinTasks.map((task) => task.name), ...labTaskNames];
  const nearest = nearestNames(name, names);
  const hint = nearest.length > 0 ? `did you mean ${nearest.join(', ')}?` : `known tasks are ${names.join(', ')}.`;
  return new UserError(`unknown task "${name}": ${hint} A task of your own is a path that ends in .yaml`);
}

async function sourceOf(definition: TaskDefinition, options: LoadTaskOptions): Promise<RecordSource> {
  if (options.data === undefined) {
    if (definition.hub !== undefined)
      return hubSource(definition.hub, { onWarning: options.onWarning, ...options.hub });
    throw new UserError(`task ${definition.name} needs its data: name the folder that holds it with --data`);
  }
  // Data folders are commonly named as the hub names data sets, with underscores.
  const folders = [definition.name, definition.name.replaceAll('-', '_')].map((name) => join(options.data!, name));
  for (const folder of folders) {
    if (
      await stat(folder).then(
        (info) => info.isDirectory(),
        () => false,
      )
    )
      return folderSource(folder);
  }
  throw new UserError(`no data for task ${definition.name}: there is no folder ${folders.at(-1)}`);
}
