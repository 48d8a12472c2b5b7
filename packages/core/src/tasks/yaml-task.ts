// A user's own task: a small YAML file with its data files, templates, labels and metric.

import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { didYouMean } from '../base/nearest-name.js';
import type { DataRecord } from '../data/records.js';
import { recordFileEndings } from '../data/records.js';
import { fileSource, type Split, splits } from '../data/source.js';
import { chooseMetric } from '../metrics/registry.js';
import { createTask, metricsOf, type Task } from './task.js';
import { parseTemplate } from './template.js';

const metricChoice = z.union([z.string(), z.looseObject({ name: z.string() })]);
const schema = z.strictObject({
  // It becomes part of file names.
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/u, 'should be letters, digits, ".", "_" and "-" only')
    .max(100, 'should have at most 100 letters'),
  files: z
    .strictObject({ train: z.string().optional(), validation: z.string().optional(), test: z.string().optional() })
    .refine((files) => Object.keys(files).length > 0, 'should name at least one of train, validation, test'),
  input: z.string(),
  target: z.string(),
  labels: z.array(z.string()).min(1).optional(),
  metric: z.union([metricChoice, z.array(metricChoice).min(1, 'should name a metric')], {
    error: 'should be a metric, { name: METRIC, SETTING: VALUE }, or a list of these',
  }),
  stop: z.array(z.string().min(1, 'should not be empty')).optional(),
  maxNewTokens: z.int().positive().optional(),
});
type Path = readonly PropertyKey[];

/**
 * The task that a YAML file describes. Its data files are relative to it. Its version is a hash of the file's content.
 * Scores are reported on the test split, else on the validation split.
 *
 * Where the target template is one `{field}` and that field holds a list of texts, each of them is an acceptable answer
 * and the first is trained on.
 *
 * Errors: a UserError with file and line for YAML that does not parse, unknown keys (with the nearest known one),
 * missing or wrong values, data files that do not exist, labels that the metric could never match.
 */
export async function loadYamlTask(path: string, onWarning?: (message: string) => void): Promise<Task> {
  const content = await readFile(path, 'utf8').catch(() => {
    throw new UserError(`cannot read the task file ${path}`);
  });
  const lines = new LineCounter();
  const document = parseDocument(content, { lineCounter: lines, prettyErrors: false });
  const syntaxError = document.errors[0];
  if (syntaxError)
    throw new UserError(`${path} line ${lines.linePos(syntaxError.pos[0]).line}: ${syntaxError.message}`);

  /** The error for the value at `keys` (or for the key itself), with its line. */
  const failure = (problem: string, keys: Path = []): UserError => {
    for (let depth = keys.length; depth > 0; depth--) {
      const parent = document.getIn(keys.slice(0, depth - 1), true) ?? document.contents;
      const pair = isMap(parent)
        ? parent.items.find(({ key }) => isScalar(key) && key.value === keys[depth - 1])
        : undefined;
      const node = isScalar(pair?.key) ? pair.key : document.getIn(keys.slice(0, depth), true);
      const range = (node as { range?: [number, number, number] } | undefined)?.range;
      if (range) return new UserError(`${path} line ${lines.linePos(range[0]).line}: ${problem}`);
    }
    return new UserError(`${path}: ${problem}`);
  };

  let values: unknown;
  try {
    values = document.toJS();
  } catch (error) {
    // An alias without an anchor, or aliases that multiply.
    throw failure((error as Error).message);
  }
  const parsed = schema.safeParse(values);
  if (!parsed.success) {
    // A misspelt key is also a missing one: the spelling is the better message.
    const { issues } = parsed.error;
    throw describeIssue(issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!, failure);
  }
  const { name, files, labels, metric, stop, maxNewTokens } = parsed.data;

  const attempt = <T>(keys: Path, make: () => T): T => {
    try {
      return make();
    } catch (error) {
      throw error instanceof UserError ? failure(error.message, keys) : error;
    }
  };
  const template = (key: 'input' | 'target') => attempt([key], () => parseTemplate(parsed.data[key]));
  const input = template('input');
  const target = template('target');
  const choices = Array.isArray(metric) ? metric : [metric];
  choices.forEach((choice, i) => {
    attempt(Array.isArray(metric) ? ['metric', i] : ['metric'], () => chooseMetric(choice));
  });
  attempt([labels ? 'labels' : 'metric'], () => metricsOf({ metric, labels }));

  const dataFiles: Partial<Record<Split, string>> = {};
  for (const split of splits) {
    const file = files[split];
    if (file === undefined) continue;
    dataFiles[split] = resolve(dirname(path), file);
    const isFile = await stat(dataFiles[split]).then(
      (info) => info.isFile(),
      () => false,
    );
    if (!isFile) throw failure(`no such data file: ${dataFiles[split]}`, ['files', split]);
    if (!(recordFileEndings as readonly string[]).includes(extname(file))) {
      throw failure(`${file}: data files end in ${recordFileEndings.join(', ')}`, ['files', split]);
    }
  }

  const answers = (record: DataRecord): readonly string[] => {
    const list = target.soleField === undefined ? undefined : record[target.soleField];
    const isList = Array.isArray(list) && list.length > 0 && list.every((item) => typeof item === 'string');
    return isList ? (list as string[]) : [target.render(record).trim()];
  };
  return createTask(
    {
      name,
      version: createHash('sha256').update(content).digest('hex').slice(0, 12),
      labels,
      metric,
      stop,
      maxNewTokens,
      evaluationSplits: dataFiles.test === undefined ? ['validation'] : ['test'],
      input: input.render,
      target: (record) => answers(record)[0]!,
      references: answers,
    },
    fileSource(name, dataFiles),
    onWarning,
  );
}

function describeIssue(issue: z.core.$ZodIssue, failure: (problem: string, keys?: Path) => UserError): UserError {
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    const known = issue.path[0] === 'files' ? splits : Object.keys(schema.shape);
    const hint = didYouMean(key, known) || `; known keys are ${known.join(', ')}`;
    return failure(`unknown key "${key}"${hint}`, [...issue.path, key]);
  }
  const key = issue.path.map(String).join('.');
  if (issue.path.length === 0)
    return failure('a task file holds the keys name, files, input, target, metric (and labels)');
  if (issue.code === 'invalid_type') {
    const quotes = issue.expected === 'string' ? ' (put numbers, True and False in quotes)' : '';
    return failure(`"${key}" is missing or no ${issue.expected}${quotes}`, issue.path);
  }
  if (issue.code === 'invalid_value')
    return failure(`"${key}" should be one of ${issue.values.join(', ')}`, issue.path);
  return failure(`"${key}" ${issue.message}`, issue.path);
}
