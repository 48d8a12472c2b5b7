// `promot plan`: what a run takes on hardware that is not here, from the model's configuration alone.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { alignedTable, readJson } from '@promot/core/base';
import { Command } from 'commander';
import { z } from 'zod';
import { answer, type Io } from './io.js';
import { type CommonOptions, requireFlags, taskOption, wholeNumber, withCommonOptions } from './options.js';
import { duration } from './progress.js';
import { readSettings } from './settings.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly task: string;
  readonly method: string;
  readonly gpus: number;
  readonly memory: number;
  readonly nodes: number;
  readonly inputTokens?: number;
  readonly targetTokens?: number;
  readonly speed: number;
}

/** Where neither the task nor the person says more. */
const usualTokens = { input: 512, target: 16 };

export function planCommand(io: Io): Command {
  const command = new Command('plan')
    .description("Say what fits, how long a step takes and what to type, from the model's config.json alone.")
    .option('--model <M>', 'a config.json, or a folder with one; no weights are needed (required)')
    .addOption(taskOption())
    .option('--method <X>', 'how to train (required)')
    .option('--gpus <N>', 'processes of a machine, one for each GPU (required)', wholeNumber(1))
    .option('--memory <GB>', 'memory of each, in gigabytes (required)', wholeNumber(1))
    .option('--nodes <K>', 'machines', wholeNumber(1), 1)
    .option(
      '--input-tokens <N>',
      'tokens of the longest input (default: where the task cuts, else 512)',
      wholeNumber(1),
    )
    .option(
      '--target-tokens <N>',
      'tokens of the longest target (default: the most of an answer, else 16)',
      wholeNumber(1),
    )
    .option('--speed <TFLOPS>', 'operations that a GPU reaches in training, in 10^12 a second', wholeNumber(1), 300);
  const required = ['--model', '--task', '--method', '--gpus', '--memory'];
  return requireFlags(withCommonOptions(command), ...required).action(async (options: Options) => {
    await useTorch();
    const { findMethod, planRun, waysOf, defaultConfig, resolveConfig } = await loadCore();
    const { familyOf } = await import('@promot/core/models');
    const { loadTask } = await import('@promot/core/tasks');
    const { place, config } = readConfig(options.model);
    const method = findMethod(options.method);
    const task = await loadTask(options.task, { templatesOnly: true });
    const ranks = options.gpus * options.nodes;
    const defaults = defaultConfig(familyOf(config, place).kind, true, method);
    const settings = resolveConfig(
      defaults,
      readSettings(options, (one) => resolveConfig(defaults, one)),
    );
    // A batch has a pass for each rank at least.
    const microBatchSize =
      settings.microBatchSize === 'auto' ? Math.ceil(settings.batchSize / ranks) : settings.microBatchSize;
    const batchSize = Math.max(settings.batchSize, microBatchSize * ranks);
    const trainsModel = method.stages.some(({ trains }) => trains.includes('model'));
    const lora = method.stages.find((stage) => settings.stages[stage.settings]!.loraRank > 0);
    const loraRank = lora ? settings.stages[lora.settings]!.loraRank : 0;
    const optimizer =
      settings.stages[method.stages.at(-1)!.settings]!.optimizer === 'adamw'
        ? ('adamw' as const)
        : ('adafactor' as const);
    const input = {
      config,
      place,
      optimizer,
      batchSize,
      ranks,
      precision: settings.precision,
      microBatchSize,
      inputTokens: options.inputTokens ?? task.maxInputTokens ?? usualTokens.input,
      targetTokens: options.targetTokens ?? task.maxNewTokens ?? usualTokens.target,
      promptRows: method.stages.some(({ trains }) => trains.includes('prompt')) ? settings.promptLength : 0,
      speed: options.speed * 1e12,
    } as const;
    const stages = trainsModel && loraRank === 0 ? waysOf('model', ranks) : [];
    const ways = [...stages, ...waysOf(loraRank > 0 ? { loraRank } : trainsModel ? { loraRank: 16 } : 'prompt', ranks)];
    const room = options.memory * 1e9;
    const plans = planRun(input, ways).map((plan) => ({ ...plan, fits: plan.memory.total <= room }));
    const best = plans.find(({ fits }) => fits);
    const result = { model: place, parameters: plans[0]!.parameters, input: { ...input, config: undefined }, plans };
    answer(io, options.json, result, () => {
      const gb = (bytes: number) => (bytes / 1e9).toFixed(1);
      const rows = plans.map(({ way, memory, seconds, fits }) => [
        `${nameOf(way.trains)}, ${way.name}`,
        ...[memory.weights, memory.gradients, memory.optimizer, memory.gathered, memory.activations, memory.total].map(
          gb,
        ),
        `${seconds.toFixed(seconds < 10 ? 2 : 0)} s`,
        fits ? 'fits' : 'too large',
      ]);
      const head = [
        'GB of each process',
        'weights',
        'gradients',
        'optimizer',
        'gathered',
        'activations',
        'all',
        'a step',
        '',
      ];
      const total = method.stages.reduce((sum, { settings: name }) => sum + settings.stages[name]!.steps, 0);
      return [
        `${place}: ${(result.parameters / 1e9).toFixed(2)} billion parameters, ${input.precision}; batch ` +
          `${batchSize} in passes of ${input.microBatchSize}, ${input.inputTokens} + ${input.targetTokens} tokens; ` +
          `${ranks} x ${options.memory} GB`,
        '',
        alignedTable([head, ...rows]),
        '',
        best
          ? `All ${total} steps take about ${duration(total * best.seconds)}, evaluations not counted. Type on ` +
            `each machine:\n\n  ${commandOf(options, best.way)}`
          : 'Nothing fits: take more or larger GPUs, a smaller microBatchSize, or shorter inputs.',
        '',
        'Memory of tensors, computed as small models were measured (within 10 %); libtorch keeps some more for ' +
          `later. Time assumes ${options.speed} TFLOP/s of each GPU and no wait for the network: that was not ` +
          'measured.',
      ].join('\n');
    });
  });
}

const loadCore = async () => ({ ...(await import('@promot/core/methods')), ...(await import('@promot/core/train')) });

function readConfig(model: string): { place: string; config: Record<string, unknown> } {
  const place = existsSync(model) && statSync(model).isDirectory() ? join(model, 'config.json') : model;
  return { place, config: readJson(place, z.looseObject({})) };
}

function nameOf(trains: 'model' | 'prompt' | { readonly loraRank: number }): string {
  if (trains === 'model') return 'weights';
  return trains === 'prompt' ? 'prompt' : `LoRA ${trains.loraRank}`;
}

function commandOf(
  { gpus, nodes, model, task, method }: Options,
  { shard, checkpointing, trains }: { shard: boolean | string; checkpointing: boolean; trains: unknown },
): string {
  const settings = [
    ...(shard === false ? [] : [`shard=${shard}`]),
    ...(checkpointing ? ['activationCheckpointing=on'] : []),
    ...(typeof trains === 'object' ? [`stage2.loraRank=${(trains as { loraRank: number }).loraRank}`] : []),
  ];
  const several = nodes > 1 ? ` --nodes ${nodes} --node-rank K --master-addr HOST` : '';
  const launch = gpus * nodes > 1 ? `launch --processes ${gpus}${several} ` : '';
  const set = settings.length > 0 ? ` --set ${settings.join(' ')}` : '';
  return (
    `promot ${launch}train --model ${model.replace(/\/?config\.json$/u, '')} --task ${task} --method ${method} ` +
    `--out RUN${set}`
  );
}
