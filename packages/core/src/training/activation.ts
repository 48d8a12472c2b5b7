// Whether a stage makes its layers' graphs anew in the backward pass (activation checkpointing).
import { distributed } from '@promot/torch';
import { estimateStage, sizesOf } from './estimate.js';
import { boundLengths, measureLengths, mixed, statistics } from './lengths.js';
import type { Phase } from './phases.js';
import type { RunSetup } from './setup.js';

/** So many examples of a task tell how long they are. */
const looked = 200;

/**
 * Bytes that a stage needs beside what is there already: the weights and the program. An estimate.
 * @param lengthsOf how the lengths of examples are found
 */
export function memoryNeeded(
  phase: Phase,
  { config, loaded, lora }: RunSetup,
  { checkpointing, passSize }: { checkpointing: boolean; passSize: number },
  lengthsOf: typeof boundLengths = measureLengths,
): number {
  const { model } = loaded;
  const sources = phase.mixture.sources.map(({ examples, shots, rate }) => {
    return { rate, ...lengthsOf(examples, shots, config.maxInputLength, looked) };
  });
  const lengths = (of: 'inputs' | 'targets') =>
    mixed(sources.map((one) => ({ rate: one.rate, lengths: statistics(one[of]) })));
  const { memory } = estimateStage(phase.stage, {
    config,
    passSize,
    promptRows: Math.max(0, ...phase.tasks.map(({ prompt }) => prompt?.size(0) ?? 0)),
    prompts: phase.tasks.length,
    loraParameters: [...(lora?.parameters.values() ?? [])].reduce((n, { numel }) => n + numel, 0),
    inputLengths: lengths('inputs'),
    targetLengths: lengths('targets'),
    sizes: sizesOf(model),
    operationsPerSecond: 1,
    kind: model.kind,
    checkpointing,
  });
  return memory.gradients + memory.optimizer + memory.activations + memory.holes;
}

/**
 * As `activationCheckpointing` says. `auto`: where the stage without it is estimated to need more than this machine has
 * to give. Of a GPU's memory nothing is known: there it is `off`. Both ways give the same bits, so a run may change it.
 * @param passSize examples of a pass
 * @param tell hears why, where `auto` turned it on
 */
export function checkpointsActivations(
  phase: Phase,
  setup: RunSetup,
  passSize: number,
  tell: (text: string) => void,
): boolean {
  const { activationCheckpointing: wanted } = setup.config;
  if (wanted !== 'auto') return wanted === 'on';
  if (setup.loaded.model.embedding.device !== 'cpu') return false;
  const free = process.availableMemory() / distributed.getLocalWorldSize();
  const need = (lengthsOf: typeof boundLengths) =>
    memoryNeeded(phase, setup, { checkpointing: false, passSize }, lengthsOf);
  // Examples are tokenized where the bound does not tell.
  if (need(boundLengths) <= free) return false;
  const needed = need(measureLengths);
  if (needed <= free) return false;
  const gb = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  tell(
    `about ${gb(needed)} are needed and ${gb(free)} are free: layers are computed anew in the backward pass ` +
      '(activationCheckpointing=off keeps their values)',
  );
  return true;
}
