// `promot reproduce real`: what a real model gains and keeps, each method at several rates; a report at any moment.
import { join } from 'node:path';
import { alignedTable, UserError } from '@promot/core/base';
import { z } from 'zod';
import type { RealCost } from '../experiments/real/cost.js';
import type { RealRequest } from '../experiments/real/request.js';
import { untilInterrupted } from './interrupt.js';
import { answer, type Io } from './io.js';
import { observer } from './observe.js';
import type { CommonOptions } from './options.js';
import { duration, Progress } from './progress.js';
import { readSettings } from './settings.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly model?: string;
  readonly out?: string;
  readonly data?: string;
  readonly only?: readonly string[];
  readonly dryRun?: boolean;
}

/** What a size sets, where a person does not. `small`: a first answer. `full`: what a sceptic asks for. */
const sizes = {
  small: { limit: 120, promptSteps: 400, steps: 240, look: 60, seeds: 1, kept: 'few' },
  full: { limit: 500, promptSteps: 400, steps: 480, look: 20, seeds: 3, kept: 'all' },
} as const;

const positive = z.int().positive().optional();
const settings = z.strictObject({
  size: z.enum(['small', 'full']).default('small'),
  /** The first seed, and how many there are for the methods that are trained with several. */
  seed: z.int().nonnegative().default(0),
  seeds: positive,
  /** Examples of each kept task; twice as many of the target. */
  limit: positive,
  /** AdamW's for the prompt, in the units of the model's embeddings. */
  promptRate: z.number().positive().default(0.1),
  /** Steps of the prompt's and of the model's stage, and between two looks. */
  promptSteps: positive,
  steps: positive,
  look: positive,
  kept: z.enum(['few', 'all']).optional(),
  precision: z.enum(['fp32', 'bf16']).optional(),
});

/**
 * Does all arms that are left and writes the report. Errors: a UserError for a missing model or data folder, or an
 * unknown setting, target or arm.
 */
export async function reproduceReal(io: Io, options: Options): Promise<void> {
  const { model, data, out = 'reproduce/real', only = [], json, dryRun } = options;
  if (model === undefined)
    throw new UserError('reproduce real needs --model: a pretrained model, such as gemma-3-270m');
  if (data === undefined) throw new UserError('reproduce real needs --data: the folder with snli, arc_easy, piqa, ...');
  const {
    size,
    seed,
    promptRate,
    precision: wanted,
    ...given
  } = checkedSettings(readSettings(options, checkedSettings));
  const { limit, promptSteps, steps, look, seeds, kept } = { ...sizes[size], ...given };
  await useTorch();
  const { arms, groups, isArm } = await import('../experiments/real/arms.js');
  const { looksOf, runReal } = await import('../experiments/real/experiment.js');
  const { planReal } = await import('../experiments/real/cost.js');
  const { realReport } = await import('../experiments/real/report.js');
  const { armsOf } = await import('../experiments/real/request.js');
  const { targets } = await import('../experiments/real/targets.js');
  const { readAbsorbed } = await import('../experiments/real/why.js');
  const { multipliesBf16 } = await import('@promot/core/models');
  const { writeReport } = await import('@promot/core/report');
  const { distributed } = await import('@promot/torch');
  // As training does, where nothing is said.
  const precision = wanted ?? ((await multipliesBf16()) ? 'bf16' : 'fp32');
  const names = targets.map(({ name }) => name);
  const lengths = { prompt: promptSteps, model: steps, look };
  const all = arms({ lengths, seeds, promptRate, promptInit: '' });
  const unknown = only.find((name) => !names.includes(name) && !isArm(all, name));
  if (unknown !== undefined)
    throw new UserError(
      `--only ${unknown}: the targets are ${names.join(', ')}; the groups of arms ${groups.join(', ')}; ` +
        `the arms ${all.map(({ name }) => name).join(', ')}`,
    );
  const ofArms = only.filter((name) => !names.includes(name));
  const chosen = names.filter((name) => only.includes(name));
  const requests = (chosen.length > 0 ? chosen : names).map(
    (target): RealRequest => ({
      model,
      data,
      out: join(out, target),
      target,
      lengths,
      limit,
      kept,
      seed,
      seeds,
      promptRate,
      precision,
      only: ofArms.length > 0 ? ofArms : size === 'full' ? ['first', 'rivals'] : ['first'],
    }),
  );
  if (dryRun) {
    const plans = Object.fromEntries(requests.map((request) => [request.target, planReal(request)]));
    answer(io, json, plans, () => Object.entries(plans).map(planText).join('\n\n'));
    return;
  }
  const progress = new Progress(io);
  const files: string[] = [];
  for (const request of requests) {
    const { result: finished, exitCode } = await untilInterrupted(progress, 'Finishing the step and saving', (signal) =>
      runReal({
        ...request,
        signal,
        onEvent: observer(progress),
      }),
    );
    const looks = looksOf(request);
    const sized = { promptRate, promptSteps, steps, look, limit, kept, seed, seeds };
    const facts = Object.entries({ model, size, ...sized, precision });
    const absorbed = armsOf(request).flatMap((arm) => {
      const found = arm.absorbs && readAbsorbed(request.out, arm.name);
      return found ? [[arm.promptOf!, found] as const] : [];
    });
    if (looks.length > 0 && distributed.getRank() === 0)
      files.push(
        ...(await writeReport(
          request.out,
          realReport({
            target: request.target,
            looks,
            absorbed: new Map(absorbed),
            facts: facts.map(([name, value]) => [name, String(value)] as const),
          }),
        )),
      );
    if (exitCode !== 0) io.exitCode = exitCode;
    if (!finished) break;
  }
  answer(io, json, { files }, () => files.join('\n'));
}

function planText([target, { arms, secondsLeft, rate }]: [string, RealCost]): string {
  const rows = arms.map(({ arm, steps, looks, seconds, done }) => [
    arm,
    String(steps.prompt + steps.model),
    String(looks),
    done ? 'done' : duration(seconds),
  ]);
  return [
    alignedTable([[target, 'steps', 'looks', 'left'], ...rows]),
    `${target}: ${arms.length} arms, ${duration(secondsLeft)} left by one process at ${rate}`,
  ].join('\n');
}

function checkedSettings(given: object): z.infer<typeof settings> {
  const read = settings.safeParse(given);
  if (read.success) return read.data;
  const { path, message } = read.error.issues[0]!;
  throw new UserError(`${path.length > 0 ? `setting ${path.join('.')}: ` : ''}${message}`);
}
