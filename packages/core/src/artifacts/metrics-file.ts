// metrics.jsonl: the course of a run, a line for each training step, evaluation and look at the keep list.
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { appendText, writeText } from '../base/write.js';
import { headerLine, interval, isEmpty, readArtifactLines } from './format.js';

const place = {
  stage: z.string().describe('such as prompt or model'),
  task: z.string().optional().describe('in runs of several tasks, the one whose prompt this stage trains'),
  step: z.int().nonnegative().describe('of the stage; 0: before the first one'),
};

const stepLine = z.strictObject({
  type: z.literal('step').describe('one training step'),
  ...place,
  loss: z.number().describe('mean over the target tokens of the batch, nats'),
  learningRate: z.number(),
  gradientNorm: z.number().describe('before clipping'),
  tokensPerSecond: z.number(),
  elapsed: z.number().describe('seconds of training in this stage'),
  remaining: z.number().describe('seconds to the end of the stage, estimated'),
  memory: z.number().describe('resident memory of the process, bytes'),
});

const score = z.number().describe('0 to 100');
const scoreError = z.number().optional().describe('one standard error of `score`');
const evalLoss = z.number().describe('negative log-likelihood of the targets, nats per token');

const evaluationLine = z.strictObject({
  type: z.literal('evaluation').describe('the validation split at a kept checkpoint'),
  ...place,
  metric: z.string().describe('of `score`; mean: over the metrics of several tasks'),
  score,
  scoreError,
  evalLoss,
  tasks: z
    .array(z.strictObject({ task: z.string(), metric: z.string(), score, scoreError, evalLoss }))
    .readonly()
    .describe('each task of the stage'),
});

const keepLine = z.strictObject({
  type: z.literal('keep').describe('the keep list at a kept checkpoint, or at step 0'),
  ...place,
  keep: z
    .array(
      z.strictObject({
        task: z.string(),
        metric: z.string(),
        score,
        interval: interval.optional(),
        formShare: z.number().optional().describe('percent of the outputs in the form of a target'),
        nll: z.number().optional().describe('of the references, nats per token'),
        nllInterval: interval.optional(),
      }),
    )
    .readonly()
    .describe('each task of the keep list'),
  keepAverage: z.number().describe('mean of the scores, 0 to 100'),
});

const ownLine = z
  .looseObject({ type: z.literal('own').describe('what the caller measured at a checkpoint'), ...place })
  .describe('with the keys of the caller');

export const metricsLine = z.discriminatedUnion('type', [stepLine, evaluationLine, keepLine, ownLine]);

export type StepLine = z.infer<typeof stepLine>;
export type EvaluationLine = z.infer<typeof evaluationLine>;
export type KeepLine = z.infer<typeof keepLine>;
export type OwnLine = z.infer<typeof ownLine>;
export type MetricsFileLine = z.infer<typeof metricsLine>;

const pathIn = (folder: string) => join(folder, 'metrics.jsonl');

/**
 * The lines of a run's metrics.jsonl, in their order.
 * @param onDamaged see `readJsonLines`
 * Errors: a UserError for a line that is not as it should be.
 */
export function readMetrics(folder: string, onDamaged?: (where: string) => void): MetricsFileLine[] {
  return readArtifactLines<MetricsFileLine>(pathIn(folder), metricsLine, fromFormat1, onDamaged);
}

/** Adds lines, all at once: a kill leaves all of them or none, but for a last line that is cut. */
export function appendMetrics(folder: string, lines: readonly MetricsFileLine[]): void {
  if (lines.length === 0) return;
  const path = pathIn(folder);
  const start = isEmpty(path) ? headerLine : '';
  appendText(path, start + lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}

/** Writes the whole file anew. */
export function writeMetrics(folder: string, lines: readonly MetricsFileLine[]): void {
  writeText(pathIn(folder), headerLine + lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}

/** Lines had no type, and a score stood under its metric's name. */
function fromFormat1(line: Record<string, unknown>, where: string): unknown {
  if ('keep' in line) return { type: 'keep', ...line };
  if ('tokensPerSecond' in line) return { type: 'step', ...line };
  if (!('evalLoss' in line)) return { type: 'own', ...line };
  const { stage, step, task, evalLoss: loss, scoreError: error, tasks, ...scores } = line;
  const [metric, value] = Object.entries(scores)[0] ?? [];
  if (metric === undefined) throw new UserError(`${where}: an evaluation without a score`);
  return {
    type: 'evaluation',
    stage,
    ...(task !== undefined && { task }),
    step,
    metric: metric === 'score' ? 'mean' : metric,
    score: value,
    ...(error !== undefined && { scoreError: error }),
    evalLoss: loss,
    tasks: tasks ?? [],
  };
}
