// The built-in tasks by name, and the one way to get any task.

import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { UserError } from '../base/errors.js';
import { nearestNames } from '../base/nearest-name.js';
import { Registry } from '../base/registry.js';
import { hubSource } from '../data/hub-source.js';
import { folderSource, noSource, type RecordSource } from '../data/source.js';
import { type HubOptions, notesTo } from '../hub/settings.js';
import { harnessTasks } from './harness/index.js';
import { cb } from './paper/cb.js';
import { multi30kEnCs, multi30kEnDe, multi30kEnFr } from './paper/multi30k.js';
import { openbookqa } from './paper/openbookqa.js';
import { rte } from './paper/rte.js';
import { snli } from './paper/snli.js';
import { triviaQa } from './paper/trivia-qa.js';
import { webQuestions } from './paper/web-questions.js';
import { wic } from './paper/wic.js';
import { wikilinguaEn } from './paper/wikilingua-en.js';
import { wmt14EnFr } from './paper/wmt14-en-fr.js';
import { wmt16EnDe } from './paper/wmt16-en-de.js';
import { wmt16EnRo } from './paper/wmt16-en-ro.js';
import { xsum } from './paper/xsum.js';
import { createTask, type Task, type TaskDefinition } from './task.js';

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

/** Where a task's data comes from and who hears of warnings. */
export interface LoadTaskOptions {
  /**
   * A folder with one folder a data set: `data/rte/train.jsonl`, `data/trivia_qa/test.jsonl`; else the hub is asked.
   */
  readonly data?: string;
  /** How to reach the hub. */
  readonly hub?: HubOptions;
  /** Hears of things that do not stop the work but belong in its results (a split of another size than the paper's). */
  readonly onWarning?: (message: string) => void;
  /** Only the templates are wanted: the data need not be there, and cannot be loaded. */
  readonly templatesOnly?: boolean;
}

/** A task that is found by its name. */
export interface NamedTask {
  readonly name: string;
  readonly version: string;
  /** Whether training on it has the paper's settings; else those for a person's own data. */
  readonly paperSettings?: boolean;
  /** Makes the task; reads what it needs of the options. */
  readonly load: (options: LoadTaskOptions) => Promise<Task>;
}

/** The tasks that have a name: the paper's, the harness's, and those that packages above add. */
export const namedTasks = new Registry<NamedTask>(
  'task',
  [...builtinTasks, ...harnessTasks].map((definition) => ({
    name: definition.name,
    version: definition.version,
    paperSettings: builtinTasks.includes(definition),
    load: async (options) => createTask(definition, await sourceOf(definition, options), options.onWarning),
  })),
);

/**
 * Adds a task whose data lies in the data folder, or on the hub, as the built-in tasks' does. Throws UserError where
 * another task has its name.
 *
 * @example
 * registerTask({ name: 'mine', version: '1', metric: 'accuracy', evaluationSplits: ['test'], input, target });
 */
export function registerTask(definition: TaskDefinition): void {
  const { name, version } = definition;
  const load: NamedTask['load'] = async (options) =>
    createTask(definition, await sourceOf(definition, options), options.onWarning);
  namedTasks.add({ name, version, load });
}

/**
 * A task by name (`rte`, or `rte@1` to insist on a version; `_` reads as `-`) or by the path of a YAML file.
 * Errors: a UserError for an unknown name (with the nearest known ones), another version, absent data, a bad YAML file.
 *
 * @example
 * const task = await loadTask('rte', { data: 'data' });
 * const examples = await task.load(task.evaluationSplit);
 */
export async function loadTask(nameOrPath: string, options: LoadTaskOptions = {}): Promise<Task> {
  if (isTaskFile(nameOrPath)) {
    // Only a task in a file needs the readers of YAML and of its schema.
    const { loadYamlTask } = await import('./yaml-task.js');
    return loadYamlTask(nameOrPath, options);
  }
  const [name, version] = registeredName(nameOrPath);
  const task = namedTasks.find(name);
  if (task === undefined) throw unknownTask(nameOrPath);
  if (version !== undefined && version !== task.version) {
    throw new UserError(`this release has ${name}@${task.version}, not ${nameOrPath}: scores would not be comparable`);
  }
  return task.load(options);
}

/** Whether a task is named by its file. */
export function isTaskFile(nameOrPath: string): boolean {
  return ['.yaml', '.yml'].includes(extname(nameOrPath));
}

/** Whether a task is found by its name; else it is a person's own. */
export function isNamedTask(nameOrPath: string): boolean {
  return namedTasks.find(registeredName(nameOrPath)[0]) !== undefined;
}

/** Whether training on a task has the paper's settings. */
export function hasPaperSettings(nameOrPath: string): boolean {
  return namedTasks.find(registeredName(nameOrPath)[0])?.paperSettings ?? false;
}

/** The name of a task as it is registered, and the version that was asked for. */
function registeredName(nameOrPath: string): [name: string, version: string | undefined] {
  const [name = '', version] = nameOrPath.toLowerCase().replaceAll('_', '-').split('@', 2);
  return [name, version];
}

function unknownTask(name: string): UserError {
  const names = namedTasks.names();
  const nearest = nearestNames(name, names);
  const hint = nearest.length > 0 ? `did you mean ${nearest.join(', ')}?` : `known tasks are ${names.join(', ')}.`;
  return new UserError(
    `unknown task "${name}": ${hint} A task of your own is a path that ends in .yaml, or the name of a task that ` +
      '--model was trained on',
  );
}

async function sourceOf(definition: TaskDefinition, options: LoadTaskOptions): Promise<RecordSource> {
  const { onWarning } = options;
  if (options.templatesOnly) return noSource(definition.name);
  if (options.data === undefined) {
    if (definition.hub !== undefined)
      return hubSource(definition.hub, { ...(onWarning && { onEvent: notesTo(onWarning) }), ...options.hub });
    throw new UserError(`task ${definition.name} needs its data: name the folder that holds it with --data`);
  }
  // Data folders are commonly named as the hub names data sets, with underscores.
  const { folder: own = definition.name } = definition;
  const folders = [own, own.replaceAll('-', '_')].map((name) => join(options.data!, name));
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
