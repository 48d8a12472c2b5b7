// The pages docs/reference/files.md and docs/reference/errors.md, made of the schemas and of the table of codes.
import { z } from 'zod';
import { errorCodes } from '../base/errors.js';
import { markdownTable } from '../base/table.js';
import { answerLine } from './answers-file.js';
import { format } from './format.js';
import { metricsLine } from './metrics-file.js';
import { passesFile } from './passes-file.js';
import { resultsFile } from './results-file.js';
import { runFile } from './run-file.js';
import { sampleLine } from './samples-file.js';
import { finishedFile, stateFile } from './state-file.js';

interface Described {
  readonly path: string;
  readonly about: string;
  readonly schema: z.ZodType;
  readonly lines?: boolean;
}

const files: readonly Described[] = [
  {
    path: 'RUN/run.json',
    about:
      'What a training run is. A folder that holds it is a run folder. `config.yaml` beside it has the ' +
      'settings for people.',
    schema: runFile,
  },
  {
    path: 'RUN/metrics.jsonl',
    about: 'The course of a run, in the order of its steps.',
    schema: metricsLine,
    lines: true,
  },
  {
    path: 'RUN/checkpoints/STAGE-STEP/state.json',
    about:
      'Where a stage stands at a checkpoint, beside `trained.safetensors` (what the stage trains) and ' +
      '`optimizer.safetensors` (only in the newest). A run that divides them (`shard`) writes a file of each ' +
      "rank, `trained-00001-of-00004.safetensors`, with the rank's rows; PyTorch's HuggingFaceStorageReader " +
      'reads these. A checkpoint that is not what was written is set aside as `STAGE-STEP.damaged` when the run ' +
      'goes on.',
    schema: stateFile,
  },
  {
    path: 'RUN/passes.json',
    about:
      'How many examples a pass has, where `microBatchSize=auto` chose it or memory did not suffice for what was set.',
    schema: passesFile,
  },
  {
    path: 'RUN/finished.json',
    about: 'Where the stages of a finished run stood whose checkpoints were deleted, all but the best of each stage.',
    schema: finishedFile,
  },
  {
    path: 'RUN/samples/STAGE-STEP.jsonl',
    about: 'What the model said at a kept checkpoint, on the first examples of the validation split.',
    schema: sampleLine,
    lines: true,
  },
  { path: 'OUT/results.json', about: 'What an evaluation (`promot eval --out OUT`) found.', schema: resultsFile },
  { path: 'OUT/samples-TASK.jsonl', about: 'What the model said, a line an example.', schema: sampleLine, lines: true },
  {
    path: 'OUT/answers/TASK-HASH.jsonl',
    about:
      'What the model gave, as it came: an evaluation goes on from there. HASH is of all that the answers depend on.',
    schema: answerLine,
    lines: true,
  },
];

/** docs/reference/files.md. */
export function filesPage(): string {
  return `${[
    '# Files that promot leaves',
    '<!-- Made by `npm run reference` from the schemas in packages/core/src/artifacts. -->',
    `The files below have format ${format}. Each says so: a JSON file by its key \`format\`, a file of JSON lines ` +
      `by its first line, \`{"type":"header","format":${format}}\`. Files of format 1, which said no number, are ` +
      'still read. A later format is refused.',
    'Adapters (`RUN/prompt`, `RUN/prompts/TASK`, `RUN/lora`) and models (`RUN/model`) have the formats of ' +
      'PEFT and of Transformers, which have no place for a number of ours. `RUN/environment.json` says where and ' +
      'with which versions a run was begun.',
    ...files.flatMap(({ path, about, schema, lines }) => [`## ${path}`, about, ...tables(schema, lines === true)]),
  ].join('\n\n')}\n`;
}

/** docs/reference/errors.md. */
export function errorsPage(): string {
  const rows = Object.entries(errorCodes).map(([code, { meaning, exit }]) => [`\`${code}\``, meaning, `${exit}`]);
  return `${[
    '# Errors',
    '<!-- Made by `npm run reference` from packages/torch/src/errors.ts. -->',
    'An error that a person can mend is a `UserError`. `FileFormatError`, `SetupError` and ' +
      '`DistributedError` are kinds of it. The message says what is wrong, where, and what to do. `code` is for ' +
      'programs, `cause` is the error behind it. The command line prints the message and ends with the exit code ' +
      'of the table. Any other error is a fault of promot, with exit code 1.',
    markdownTable(['`code`', 'What it means', 'Exit code'], rows),
    [
      '```ts',
      "import { evaluate, UserError } from 'promot';",
      '',
      'try {',
      "  await evaluate({ model: 'no-such-folder', task: 'lab-rte' });",
      '} catch (error) {',
      '  if (error instanceof UserError) console.log(error.code, error.message);',
      '  else throw error;',
      '}',
      '```',
    ].join('\n'),
  ].join('\n\n')}\n`;
}

type JsonSchema = z.core.JSONSchema.JSONSchema;

/** A table of keys; of lines of several types one each. */
function tables(schema: z.ZodType, lines: boolean): string[] {
  const json = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' }) as JsonSchema;
  const kinds = (json.oneOf ?? json.anyOf ?? [json]) as JsonSchema[];
  return kinds.flatMap((kind) => {
    const { type, ...keys } = (kind.properties ?? {}) as Record<string, JsonSchema>;
    const title =
      lines && type
        ? [`Lines of type \`${String(type.const)}\`${type.description ? `: ${type.description}` : ''}`]
        : [];
    const rows = rowsOf({ ...kind, properties: lines ? keys : kind.properties }, '');
    return [...title, markdownTable(['Key', 'Type', 'What it is'], rows)];
  });
}

function rowsOf({ properties = {}, required = [] }: JsonSchema, prefix: string): string[][] {
  return Object.entries(properties as Record<string, JsonSchema>).flatMap(([key, value]) => {
    const name = `${prefix}${key}`;
    const optional = required.includes(key) ? '' : ', may be absent';
    const item = (value.items ?? {}) as JsonSchema;
    const inner =
      value.type === 'array' && item.properties
        ? rowsOf(item, `${name}[].`)
        : value.properties
          ? rowsOf(value, `${name}.`)
          : [];
    return [[`\`${name}\``, `${typeOf(value)}${optional}`, value.description ?? ''], ...inner];
  });
}

function typeOf(schema: JsonSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === 'array') return `list of ${typeOf((schema.items ?? {}) as JsonSchema)}`;
  return String(schema.type ?? 'any');
}
