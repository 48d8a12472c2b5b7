// Settings that follow a person's own data (`preset=own`), and how a stage's steps come from its epochs.
import { UserError } from '../base/errors.js';
import type { Method } from '../methods/index.js';
import type { ConfigInput, StageConfig, TrainingConfig } from '../methods/settings.js';
import type { LanguageModel } from '../models/model.js';
import { ratesOf } from './rates.js';

/**
 * Passes over the data that train the model, and what few rows need at least: with 51 rows of four classes
 * FLAN-T5-small had 54 % at step 20, where three epochs end, and 100 % at step 60.
 */
const modelPasses = { epochs: 3, leastSteps: 60 };
/**
 * A prompt learns the form of the answers and little else. On Gemma 3 270M (SNLI) its loss stood still before 400
 * steps. The stage ends where validation stands still, and at this many at the latest.
 */
const promptSteps = 400;
/** A stage is looked at once an epoch, but not more often than every so many steps, and a prompt not less. */
const looksApart = { least: 20, mostOfPrompt: 100 };
/** Lester et al. 2021 (figure 3a): beyond 20 rows little is gained, and each costs time in front of every input. */
const promptRows = 20;
const validationExamples = 200;

/** Small sets need many steps more than they need quiet ones. */
function batchFor(examples: number): number {
  if (examples <= 1000) return 8;
  return examples <= 10_000 ? 16 : 32;
}

/**
 * The settings for a person's own data of so many training examples: `paper`'s, with what follows the data and the
 * model.
 */
export function ownConfig(
  paper: TrainingConfig,
  { method, model, examples }: { method: Method; model: LanguageModel; examples: number },
): TrainingConfig {
  const rates = ratesOf(model);
  const batchSize = batchFor(examples);
  const epochs = Math.max(modelPasses.epochs, Math.ceil((modelPasses.leastSteps * batchSize) / examples));
  const ofModel = (name: string) =>
    name === 'stage2' || method.stages.some(({ settings, trains }) => settings === name && trains.includes('model'));
  const stageOf = (name: string, stage: StageConfig): StageConfig =>
    ofModel(name)
      ? { ...stage, ...rates.model, epochs, patience: 2 }
      : { ...stage, ...rates.prompt, steps: promptSteps, patience: 3 };
  return {
    ...paper,
    preset: 'own',
    batchSize,
    labelSmoothing: rates.labelSmoothing,
    promptLength: promptRows,
    // Beams find a little more at four times the cost; `promot eval` has four.
    beams: 1,
    validationLimit: validationExamples,
    choose: 'one-standard-error',
    keepCheckpoints: false,
    stages: Object.fromEntries(Object.entries(paper.stages).map(([name, stage]) => [name, stageOf(name, stage)])),
  };
}

/**
 * Settles what depends on the batch: steps from epochs, and with `preset=own` evaluation by epoch. `given` is what a
 * person set. Errors: a UserError for a stage that was given both steps and epochs.
 */
export function settle(config: TrainingConfig, given: ConfigInput, examples: number): TrainingConfig {
  const { stages = {} } = given as { stages?: Readonly<Record<string, Partial<StageConfig>>> };
  const epoch = Math.ceil(examples / config.batchSize);
  const settleStage = (name: string, stage: StageConfig): StageConfig => {
    const own = stages[name] ?? {};
    if (own.steps !== undefined && own.epochs !== undefined && own.epochs !== null)
      throw new UserError(`settings ${name}.steps and ${name}.epochs: give one of them`);
    const epochs = own.steps === undefined ? stage.epochs : null;
    const steps = epochs === null ? stage.steps : Math.max(1, Math.ceil((epochs * examples) / config.batchSize));
    const apart = Math.max(looksApart.least, epoch);
    const looks = epochs === null ? Math.min(looksApart.mostOfPrompt, apart) : apart;
    const keepEvery = config.preset === 'own' && own.keepEvery === undefined ? looks : stage.keepEvery;
    return { ...stage, epochs, steps, keepEvery };
  };
  return {
    ...config,
    stages: Object.fromEntries(Object.entries(config.stages).map(([name, stage]) => [name, settleStage(name, stage)])),
  };
}

/** One line that says what was chosen and why. */
export function describeChoice(config: TrainingConfig, method: Method, model: LanguageModel, examples: number): string {
  const { batchSize, promptLength, stages, preset } = config;
  if (preset === 'paper') return `settings: the paper's, except for those that you gave (preset=paper)`;
  const parts = method.stages.map(({ name, settings, trains }) => {
    const { steps, epochs, patience, learningRate, optimizer, keepEvery } = stages[settings]!;
    const length =
      epochs === null ? `${steps} steps` : `${epochs} ${epochs === 1 ? 'epoch' : 'epochs'} (${steps} steps)`;
    const limit = patience > 0 ? `at most ${length}` : length;
    const rows = trains.includes('prompt') ? ` of ${promptLength} rows` : '';
    return `${name}${rows}: ${limit}, evaluated every ${keepEvery}, ${optimizer} at ${learningRate}`;
  });
  const ends = method.stages.some(({ settings }) => stages[settings]!.patience > 0)
    ? '; a stage ends earlier where validation stands still'
    : '';
  return (
    `settings for ${examples} training examples of your own: batch ${batchSize}; ${parts.join('; ')}${ends}. ` +
    `Rates: ${ratesOf(model).measured}. preset=paper has the paper's settings`
  );
}
