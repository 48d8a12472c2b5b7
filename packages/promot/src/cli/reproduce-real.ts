// `promot reproduce real`: what a real model gains and keeps, each method at several rates; a report at any moment.
import { join } from 'node:path';
import { UserError } from '@promot/core/base';
import { z } from 'zod';
import { untilInterrupted } from './interrupt.js';
import { answer, type Io } from './io.js';
import type { CommonOptions } from './options.js';
import { Progress } from './progress.js';
import { readSettings } from './settings.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly model?: string;
  readonly out?: string;
  readonly data?: string;
  readonly only?: readonly string[];
}

const settings = z.strictObject({
  seed: z.int().nonnegative().default(0),
  /** Examples of each kept task; twice as many of the target. */
  limit: z.int().positive().default(120),
  /** Steps of the prompt's and of the model's stage, and between two looks. */
  promptSteps: z.int().positive().default(400),
  steps: z.int().positive().default(240),
  look: z.int().positive().default(60),
  precision: z.enum(['fp32', 'bf16']).optional(),
});

/**
 * Does all arms that are left and writes the report. Errors: a UserError for a missing model or data folder, or an
 * unknown setting.
 */
export async function reproduceReal(io: Io, options: Options): Promise<void> {
  const { model, data, out = 'reproduce/real', only = [], json } = options;
  if (model === undefined)
    throw new UserError('reproduce real needs --model: a pretrained model, such as gemma-3-270m');
  if (data === undefined) throw new UserError('reproduce real needs --data: the folder with snli, arc_easy, piqa, ...');
  const read = checkedSettings(readSettings(options, checkedSettings));
  const { seed, limit, promptSteps, steps, look, precision } = read;
  await useTorch();
  const { looksOf, runReal } = await import('../experiments/real/experiment.js');
  const { realReport } = await import('../experiments/real/report.js');
  const { targets } = await import('../experiments/real/targets.js');
  const { writeReport } = await import('@promot/core/report');
  const names = targets.map(({ name }) => name.replace(/^real-/u, ''));
  const chosen = names.filter((name) => only.includes(name));
  const arms = only.filter((name) => !names.includes(name));
  const progress = new Progress(io);
  const files: string[] = [];
  for (const target of chosen.length > 0 ? chosen : names) {
    const lengths = { prompt: promptSteps, model: steps, look };
    const request = { model, data, out: join(out, target), target: `real-${target}`, lengths, limit, seed, precision };
    const { result: finished, exitCode } = await untilInterrupted(progress, 'Finishing the step and saving', (signal) =>
      runReal({
        ...request,
        ...(arms.length > 0 && { only: arms }),
        signal,
        onLine: (text) => progress.line(text),
        onEvent: (arm, event) => {
          if (event.type === 'step')
            progress.update(arm, event.step, event.steps, `${event.stage} loss ${event.loss.toFixed(3)}`);
          if (event.type === 'note') progress.line(`${arm}: ${event.text}`);
        },
      }),
    );
    const looks = looksOf(request);
    const facts = Object.entries({ model, ...read }).map(([name, value]) => [name, String(value)] as const);
    if (looks.length > 0) files.push(...(await writeReport(join(out, target), realReport(looks, facts))));
    if (exitCode !== 0) io.exitCode = exitCode;
    if (!finished) break;
  }
  answer(io, json, { files }, () => files.join('\n'));
}

function checkedSettings(given: object): z.infer<typeof settings> {
  const read = settings.safeParse(given);
  if (read.success) return read.data;
  const { path, message } = read.error.issues[0]!;
  throw new UserError(`${path.length > 0 ? `setting ${path.join('.')}: ` : ''}${message}`);
}
