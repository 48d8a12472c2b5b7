// A user's own task: a small YAML file with its data files, templates, labels and metric.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { didYouMean } from '../base/nearest-name.js';
import type { ClassNames } from '../data/class-names.js';
import { findFiles } from '../data/find-files.js';
import { hubSource } from '../data/hub-source.js';
import type { DataRecord } from '../data/records.js';
import { fileSource, noSource, type RecordSource, type Split, splits, withValidationShare } from '../data/source.js';
import { isHubName } from '../hub/repository.js';
import { type HubOptions, notesTo } from '../hub/settings.js';
import { chooseMetric } from '../metrics/registry.js';
import { chatTask } from './chat-task.js';
import { choiceTask } from './choice-task.js';
import { type Choices, choicesBehind, rightOf } from './choices.js';
import { type Conversation, readMessages, readTools } from './conversation.js';
import { createTask, metricsOf, type Task } from './task.js';
import { fieldValue, parseTemplate, scalarText, unlabelledField } from './template.js';

const metricChoice = z.union([z.string(), z.looseObject({ name: z.string() })]);
const files = z.union([z.string(), z.array(z.string()).min(1)], { error: 'should be a file or a list of files' });
const texts = z.union([z.string(), z.array(z.string()).min(1)], { error: 'should be a text or a list of texts' });
const turns = z.union(
  [z.string(), z.array(z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string() })).min(1)],
  { error: 'should be one {field} that holds the turns, or a list of { role, content }' },
);
const splitName = z.string().regex(/^[\w.-]+$/u, 'should be the name of a split');
const schema = z.strictObject({
  // It becomes part of file names.
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/u, 'should be letters, digits, ".", "_" and "-" only')
    .max(100, 'should have at most 100 letters'),
  files: z
    .strictObject({ train: files.optional(), validation: files.optional(), test: files.optional() })
    .refine((files) => Object.keys(files).length > 0, 'should name at least one of train, validation, test')
    .optional(),
  hub: z
    .strictObject({
      name: z.string().refine(isHubName, 'should be OWNER/NAME on the hub'),
      config: z.string().optional(),
      revision: z.string().optional(),
      splits: z
        .strictObject({
          train: splitName.optional(),
          validation: splitName.optional(),
          test: splitName.optional(),
        })
        .optional(),
    })
    .optional(),
  validationShare: z.number().gt(0).lt(1).optional(),
  input: z.string().optional(),
  target: z.string().optional(),
  messages: turns.optional(),
  conversations: turns.optional(),
  tools: z.string().optional(),
  chatTemplate: z.string().min(1, 'should not be empty').optional(),
  labels: z.array(z.string()).min(1).optional(),
  labelNames: z.array(z.string()).min(1).optional(),
  choices: texts.optional(),
  choiceNames: texts.optional(),
  metric: z.union([metricChoice, z.array(metricChoice).min(1, 'should name a metric')], {
    error: 'should be a metric, { name: METRIC, SETTING: VALUE }, or a list of these',
  }),
  stop: z.array(z.string().min(1, 'should not be empty')).optional(),
  maxNewTokens: z.int().positive().optional(),
});
/** What loading a task file needs beside the file. */
interface YamlTaskOptions {
  readonly hub?: HubOptions;
  readonly onWarning?: (message: string) => void;
  /** See `LoadTaskOptions`. */
  readonly templatesOnly?: boolean;
}

type Path = readonly PropertyKey[];

/**
 * The task that a YAML file describes. Its data files are relative to it. Its version is a hash of the file's content.
 * Scores are reported on the test split, else on the validation split.
 *
 * Where the target template is one `{field}` and that field holds a list, each item is an acceptable answer and the
 * first is trained on.
 *
 * Errors: a UserError with file and line for YAML that does not parse, unknown keys (with the nearest known one),
 * missing or wrong values, data files that do not exist, labels that the metric could never match.
 */
export async function loadYamlTask(path: string, options: YamlTaskOptions = {}): Promise<Task> {
  const content = await readFile(path, 'utf8').catch((error) => {
    throw new UserError(`cannot read the task file ${path}`, { code: 'disk', cause: error });
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
  const { name, labels, metric, stop, maxNewTokens } = parsed.data;

  const attempt = <T>(keys: Path, make: () => T): T => {
    try {
      return make();
    } catch (error) {
      throw error instanceof UserError ? failure(error.message, keys) : error;
    }
  };
  [metric].flat().forEach((choice, i) => {
    attempt(Array.isArray(metric) ? ['metric', i] : ['metric'], () => chooseMetric(choice));
  });
  const choices = attempt(['choices'], () => choicesOf(parsed.data));
  attempt([labels ? 'labels' : 'metric'], () => metricsOf({ metric, labels, choices }));

  const source = await sourceOf(path, parsed.data, failure, options);
  const settings = {
    name,
    version: createHash('sha256').update(content).digest('hex').slice(0, 12),
    metric,
    evaluationSplits: [source.splits.includes('test') ? ('test' as const) : ('validation' as const)],
  };
  const turnsKey = (['messages', 'conversations'] as const).find((key) => parsed.data[key] !== undefined);
  if (turnsKey !== undefined) {
    const others = ['input', 'target', 'choices', 'choiceNames', 'labelNames', 'conversations'] as const;
    for (const key of others)
      if (key !== turnsKey && parsed.data[key] !== undefined)
        throw failure(`"${key}" does not go with "${turnsKey}", which says it all`, [key]);
    const conversation = await conversationOf(path, turnsKey, parsed.data, attempt);
    return createTask(chatTask({ ...settings, labels, stop, maxNewTokens }, conversation), source, options.onWarning);
  }
  for (const key of ['tools', 'chatTemplate'] as const)
    if (parsed.data[key] !== undefined) throw failure(`"${key}" is for a task with "messages"`, [key]);
  const template = (key: 'input' | 'target') => {
    const given = parsed.data[key];
    if (given === undefined)
      throw failure(`"${key}" is missing: a task has input and target, or messages for a conversation`);
    return attempt([key], () => parseTemplate(given));
  };
  const input = template('input');
  const target = template('target');
  const { labelNames } = parsed.data;
  if (labelNames !== undefined && target.fields.length !== 1)
    throw failure(
      '"labelNames" says what the numbers in the field of "target" stand for, which has to be one {field}',
      ['labelNames'],
    );
  const namesOf = (given: ClassNames | undefined): ClassNames | undefined =>
    labelNames === undefined ? given : new Map([...(given ?? []), [withoutIndices(target.fields[0]!), labelNames]]);

  const keep = (record: DataRecord, given?: ClassNames): true | string => {
    const field = unlabelledField(record, target.fields, namesOf(given));
    return field === undefined || `"${field}" is the class -1, which stands for no label`;
  };

  const answers = (record: DataRecord, given?: ClassNames): readonly string[] => {
    const names = namesOf(given);
    const list = target.soleField === undefined ? undefined : fieldValue(record, target.soleField);
    if (!Array.isArray(list) || list.length === 0) return [target.render(record, names).trim()];
    return list.map((item) => scalarText(item, target.soleField!, names));
  };
  if (choices !== undefined) {
    for (const key of ['labels', 'stop', 'maxNewTokens'] as const)
      if (parsed.data[key] !== undefined) throw failure(`"${key}" is not for a task with choices`, [key]);
    const of = (record: DataRecord, given?: ClassNames): Choices => {
      const names = namesOf(given);
      const found = choices.texts(record, names);
      const right = rightChoice(target.render(record, names).trim(), found, choices.names?.(record, names));
      return choicesBehind(input.render(record, names), found, right);
    };
    return createTask(choiceTask(settings, of), source, options.onWarning);
  }
  return createTask(
    {
      ...settings,
      labels,
      stop,
      maxNewTokens,
      keep,
      input: (record, names) => input.render(record, namesOf(names)),
      target: (record, names) => answers(record, names)[0]!,
      references: answers,
    },
    source,
    options.onWarning,
  );
}

type Attempt = <T>(keys: Path, make: () => T) => T;

/** The turns of a record, by the task's `messages`. */
async function conversationOf(
  path: string,
  key: 'messages' | 'conversations',
  given: z.infer<typeof schema>,
  attempt: Attempt,
): Promise<(record: DataRecord, names?: ClassNames) => Conversation> {
  const turns = given[key]!;
  const sole = (text: string, where: string) => {
    const { soleField } = parseTemplate(text);
    if (soleField === undefined) throw new UserError(`"${text}" should be one {field}`);
    return { field: soleField, where };
  };
  const template = await chatTemplateOf(path, given.chatTemplate, attempt);
  const tools = given.tools === undefined ? undefined : attempt(['tools'], () => sole(given.tools!, 'tools'));
  const toolsOf = (record: DataRecord): Pick<Conversation, 'tools'> => {
    const value = tools && fieldValue(record, tools.field);
    if (value === undefined || value === null) return {};
    return { tools: readTools(value, `field "${tools!.field}"`) };
  };
  const more = { ...(template !== undefined && { template }) };
  if (typeof turns === 'string') {
    const { field } = attempt([key], () => sole(turns, key));
    return (record) => {
      const value = fieldValue(record, field);
      if (value === undefined)
        throw new UserError(`no field "${field}"; the record has ${Object.keys(record).join(', ')}`);
      return { messages: readMessages(value, field), ...toolsOf(record), ...more };
    };
  }
  const parts = turns.map(({ role, content }, i) => ({
    role,
    content: attempt([key, i, 'content'], () => parseTemplate(content)),
  }));
  return (record, names) => ({
    messages: readMessages(
      parts.map(({ role, content }) => ({ role, content: content.render(record, names) })),
      key,
    ),
    ...toolsOf(record),
    ...more,
  });
}

/** The text of `chatTemplate`: itself, or of the .jinja file that it names, relative to the task file. */
async function chatTemplateOf(path: string, given: string | undefined, attempt: Attempt): Promise<string | undefined> {
  if (given === undefined || !given.trim().endsWith('.jinja') || given.includes('\n')) return given;
  const file = join(dirname(path), given.trim());
  const text = await readFile(file, 'utf8').catch(() => undefined);
  return attempt(['chatTemplate'], () => {
    if (text === undefined) throw new UserError(`cannot read the chat template ${file}`);
    return text;
  });
}

type Texts = (record: DataRecord, names?: ClassNames) => readonly string[];

/** The templates of a task's choices, and of what `target` calls them. Undefined for a task without. */
function choicesOf({
  choices,
  choiceNames,
}: Pick<z.infer<typeof schema>, 'choices' | 'choiceNames'>): { texts: Texts; names?: Texts } | undefined {
  if (choices !== undefined) return { texts: textList(choices), ...(choiceNames && { names: textList(choiceNames) }) };
  if (choiceNames !== undefined) throw new UserError('"choiceNames" is for a task with "choices"');
  return undefined;
}

/** A list of templates, or one `{field}` that holds a list. */
function textList(given: string | readonly string[]): Texts {
  if (typeof given !== 'string') {
    const templates = given.map(parseTemplate);
    return (record, names) => templates.map((template) => template.render(record, names));
  }
  const { soleField } = parseTemplate(given);
  if (soleField === undefined)
    throw new UserError(`"${given}" should be one {field} that holds a list, or a list of texts`);
  return (record, names) => {
    const list = fieldValue(record, soleField);
    if (!Array.isArray(list)) throw new UserError(`field "${soleField}" should hold a list of choices`);
    return list.map((item) => scalarText(item, soleField, names));
  };
}

/** The number of the choice that a target means: by the choices' names, by their texts, or by their numbers from 0. */
function rightChoice(target: string, choices: readonly string[], names: readonly string[] | undefined): number {
  if (choices.length < 2) throw new UserError(`${choices.length} choices; at least two are needed`);
  if (names !== undefined) {
    if (names.length !== choices.length)
      throw new UserError(`there are ${choices.length} choices and ${names.length} names of them`);
    return rightOf(target, names);
  }
  const trimmed = choices.map((choice) => choice.trim());
  return /^\d+$/u.test(target) && !trimmed.includes(target) ? Number(target) : rightOf(target, trimmed);
}

const withoutIndices = (path: string): string => path.replaceAll(/\[\d+\]/gu, '');

/** Where a task's records come from: files beside the YAML file, or the hub. */
async function sourceOf(
  path: string,
  { name, files, hub, validationShare }: z.infer<typeof schema>,
  failure: (problem: string, keys?: Path) => UserError,
  options: YamlTaskOptions,
): Promise<RecordSource> {
  if ((files === undefined) === (hub === undefined))
    throw failure('a task has its data either in "files" or on the "hub": name one of them', ['files']);
  const { onWarning } = options;
  if (options.templatesOnly) return noSource(name);
  let source: RecordSource;
  if (hub !== undefined) {
    const { splits: names = { train: undefined, validation: undefined } } = hub;
    const present = splits.filter((split) => split in names && !(split === 'validation' && validationShare));
    source = hubSource(
      { ...hub, splitNames: hub.splits, splits: present },
      { ...(onWarning && { onEvent: notesTo(onWarning) }), ...options.hub },
    );
  } else {
    const found: Partial<Record<Split, readonly string[]>> = {};
    for (const split of splits) {
      const given = files![split];
      if (given === undefined) continue;
      try {
        found[split] = await findFiles(given, dirname(path));
      } catch (error) {
        throw error instanceof UserError ? failure(error.message, ['files', split]) : error;
      }
    }
    source = fileSource(name, found);
  }
  if (validationShare === undefined) return source;
  const both = files?.validation ?? hub?.splits?.validation;
  if (both !== undefined)
    throw failure('"validationShare" takes the validation split from the training split; there is one already', [
      'validationShare',
    ]);
  return withValidationShare(source, validationShare, 0);
}

function describeIssue(issue: z.core.$ZodIssue, failure: (problem: string, keys?: Path) => UserError): UserError {
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    const known = knownKeys(issue.path);
    const hint = didYouMean(key, known) || `; known keys are ${known.join(', ')}`;
    return failure(`unknown key "${key}"${hint}`, [...issue.path, key]);
  }
  const key = issue.path.map(String).join('.');
  if (issue.path.length === 0)
    return failure(
      'a task file holds the keys name, files (or hub), input and target (or messages), metric (and labels)',
    );
  if (issue.code === 'invalid_type') {
    const quotes = issue.expected === 'string' ? ' (put numbers, True and False in quotes)' : '';
    return failure(`"${key}" is missing or no ${issue.expected}${quotes}`, issue.path);
  }
  if (issue.code === 'invalid_value')
    return failure(`"${key}" should be one of ${issue.values.join(', ')}`, issue.path);
  return failure(`"${key}" ${issue.message}`, issue.path);
}

function knownKeys(path: Path): readonly string[] {
  if (path.at(-1) === 'files' || path.at(-1) === 'splits') return splits;
  return path[0] === 'hub' ? ['name', 'config', 'revision', 'splits'] : Object.keys(schema.shape);
}
