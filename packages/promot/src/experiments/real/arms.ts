// What the real experiment compares: one table of methods, each with its rates or strengths, and the settings that all
// share.
import type { ConfigInput } from '@promot/core/train';

/** `first`: what a small run does. `rivals`: all else that is compared. `why`: what explains ProMoT. */
export const groups = ['first', 'rivals', 'why'] as const;
type Group = (typeof groups)[number];

/** One job: the model before training, a run, or mixtures of the weights that a run began and ended with. */
export interface Arm {
  /** As files, `--only` and reports call it. */
  readonly name: string;
  readonly group: Group;
  /** Arms of one method share a colour and are compared with other methods' arms. */
  readonly method: string;
  /** What tells it from the method's other arms: `rate 0.00001`; absent where there is one. */
  readonly strength?: string;
  /** Of the model's stage, or of the prompt's where that is all. */
  readonly rate?: number;
  /** 0 for the experiment's first seed, 1 for the next. */
  readonly seed: number;
  /** A method of the library; absent for the model before training and for mixtures. */
  readonly train?: string;
  readonly settings?: ConfigInput;
  /** The arm whose soft prompt stands in front of the input. */
  readonly promptOf?: string;
  /** WiSE-FT: the arm that is mixed with the model before training. */
  readonly mixOf?: string;
  /** It is measured what the prompt of `promptOf` absorbed; no look is taken. */
  readonly absorbs?: true;
  /** Exemplars in front of the target's inputs. */
  readonly shots: 0 | 1;
}

/** Steps of the model's stage, and of the prompt's. */
export interface ArmSteps {
  readonly prompt: number;
  readonly model: number;
  /** A look at the target and at what is kept every so many steps of the model's stage. */
  readonly look: number;
}

/** Of all arms. AdamW with a short warm-up: what people tune small decoder-only models with. */
const shared = {
  // All else is said here: nothing is to end early or to follow the data.
  preset: 'paper',
  batchSize: 16,
  microBatchSize: 16,
  dropout: 0,
  labelSmoothing: 0,
  beams: 1,
  validationLimit: 100,
  promptLength: 20,
} as const;
const stage = { optimizer: 'adamw', beta2: 0.98, warmupSteps: 10, gradientClip: 1 } as const;

/** Of the model's stage. The first one is that of arms which vary something else. */
const rates = [1e-5, 3e-6, 3e-5] as const;
const usual = rates[0];
const loraRates = [2e-4, 6e-5, 2e-5] as const;
const weights = [0.03, 0.1, 0.3] as const;
/** Parts of the tuned model in a mixture (Wortsman et al. 2022). */
export const mixFactors = [0.25, 0.5, 0.75] as const;

/** A line of the table: one method at each of its values. */
interface Row {
  readonly method: string;
  /** Its arms' names are this and the value; without it where a prompt has the usual rate. */
  readonly name: string;
  readonly train?: string;
  readonly values: readonly number[];
  /**
   * What the values are; rates if nothing is said, of a prompt in multiples of its usual one. What varies something
   * else has the usual rate.
   */
  readonly of?: 'weight' | 'share' | 'steps' | 'rows';
  /** Settings beside those of all arms, for a value. */
  readonly settings?: (value: number) => ConfigInput;
  /** LoRA of this rank trains in the model's place. */
  readonly loraRank?: number;
  /** The prompt that stands in front: its arm, for a value. */
  readonly behind?: (value: number) => string | undefined;
  /** The arm that is mixed, for a value. */
  readonly mixes?: (value: number) => string;
  readonly absorbs?: true;
  readonly shots?: 1;
  /** Whether it is trained with every seed; else with the first. */
  readonly everySeed?: boolean;
}

const otherSteps = [50, 100, 200, 1000];
const otherRows = [5, 50, 100];

/** Stage 2 alone: the prompt is another arm's, or was never trained. */
const behindPrompt = 'random-prompt';
const prompt = () => 'prompt';
const absorbed = 'what the prompt absorbed';
const kl = (weight: number): ConfigInput => ({ kl: { weight } });
const eaft = (): ConfigInput => ({ loss: 'eaft' });
const replay = (share: number): ConfigInput => ({ replay: { tasks: ['real-text'], share } });
const rowsOfPrompt = (rows: number): ConfigInput => ({ promptLength: rows });

/** Rows that others need come first. */
const table: Readonly<Record<Group, readonly Row[]>> = {
  first: [
    { method: 'prompt tuning', name: 'prompt', train: 'prompt-tune', values: [1], everySeed: true },
    { method: 'fine-tuning', name: 'fine-tune', train: 'fine-tune', values: rates, everySeed: true },
    { method: 'ProMoT', name: 'promot', train: behindPrompt, values: rates, behind: prompt, everySeed: true },
    { method: 'LoRA, rank 8', name: 'lora-8', train: 'lora', values: loraRates, loraRank: 8, everySeed: true },
  ],
  rivals: [
    { method: 'LoRA, rank 64', name: 'lora-64', train: 'lora', values: loraRates, loraRank: 64, everySeed: true },
    { method: 'prompt tuning', name: 'prompt', train: 'prompt-tune', values: [0.3, 3] },
    {
      method: 'prompt of ProMoT + 1-shot',
      name: 'prompt-1-shot',
      train: 'prompt-tune',
      values: [1],
      shots: 1,
    },
    {
      method: 'ProMoT + 1-shot',
      name: 'promot-1-shot',
      train: behindPrompt,
      values: rates,
      behind: () => 'prompt-1-shot',
      shots: 1,
    },
    { method: 'fine-tuning + KL', name: 'kl', train: 'fine-tune', values: weights, of: 'weight', settings: kl },
    { method: 'EAFT', name: 'eaft', train: 'fine-tune', values: rates, settings: eaft },
    { method: 'replay', name: 'replay', train: 'fine-tune', values: [0.05, 0.1, 0.2], of: 'share', settings: replay },
    { method: 'WiSE-FT', name: 'wise-ft', values: rates, mixes: (rate) => `fine-tune-${rate}` },
    {
      method: 'ProMoT + KL',
      name: 'promot-kl',
      train: behindPrompt,
      values: weights,
      of: 'weight',
      settings: kl,
      behind: prompt,
    },
    {
      method: 'ProMoT + EAFT',
      name: 'promot-eaft',
      train: behindPrompt,
      values: rates,
      settings: eaft,
      behind: prompt,
    },
    {
      method: 'ProMoT, then WiSE-FT',
      name: 'promot-wise-ft',
      values: rates,
      mixes: (rate) => `promot-${rate}`,
      behind: prompt,
    },
    {
      method: 'ProMoT, LoRA in stage 2',
      name: 'promot-lora-8',
      train: behindPrompt,
      values: loraRates,
      loraRank: 8,
      behind: prompt,
    },
  ],
  why: [
    { method: 'prompt of other steps', name: 'prompt-steps', train: 'prompt-tune', values: otherSteps, of: 'steps' },
    {
      method: 'ProMoT, steps of stage 1',
      name: 'why-steps',
      train: behindPrompt,
      // 0: the rows are the words' embeddings and stay so.
      values: [0, ...otherSteps],
      of: 'steps',
      behind: (steps) => (steps === 0 ? undefined : `prompt-steps-${steps}`),
    },
    {
      method: 'prompt of other rows',
      name: 'prompt-rows',
      train: 'prompt-tune',
      values: otherRows,
      of: 'rows',
      settings: rowsOfPrompt,
    },
    {
      method: 'ProMoT, rows of the prompt',
      name: 'why-rows',
      train: behindPrompt,
      values: otherRows,
      of: 'rows',
      settings: rowsOfPrompt,
      behind: (rows) => `prompt-rows-${rows}`,
    },
    {
      method: 'random prompt',
      name: 'why-random',
      train: behindPrompt,
      values: [usual],
      settings: () => ({ promptInit: 'uniform' }),
    },
    { method: absorbed, name: 'absorbed', values: [1], behind: prompt, absorbs: true },
    {
      method: absorbed,
      name: 'absorbed-steps',
      values: otherSteps,
      of: 'steps',
      behind: (steps) => `prompt-steps-${steps}`,
      absorbs: true,
    },
    {
      method: absorbed,
      name: 'absorbed-rows',
      values: otherRows,
      of: 'rows',
      behind: (rows) => `prompt-rows-${rows}`,
      absorbs: true,
    },
    { method: 'ProMoT, rate of stage 2', name: 'why-rate', train: behindPrompt, values: [1e-6, 1e-4], behind: prompt },
  ],
};

interface ArmsRequest {
  readonly lengths: ArmSteps;
  /** What the rows of a prompt begin as. */
  readonly promptInit: string;
  /** AdamW's for the prompt, in the units of the embeddings. */
  readonly promptRate: number;
  readonly seeds: number;
}

/** All arms of one target, those that others need first. */
export function arms(request: ArmsRequest): Arm[] {
  const before: Arm = { name: 'before', group: 'first', method: 'before', seed: 0, shots: 0 };
  const rows = groups.flatMap((group) => table[group].map((row) => ({ group, row })));
  return [
    before,
    ...rows.flatMap(({ group, row }) =>
      Array.from({ length: row.everySeed ? request.seeds : 1 }, (_, seed) =>
        row.values.map((value): Arm => ({ group, seed, ...armOf(row, value, seed, request) })),
      ).flat(),
    ),
  ];
}

function armOf(row: Row, value: number, seed: number, request: ArmsRequest): Omit<Arm, 'group' | 'seed'> {
  const { method, train, of = 'rate', shots = 0 } = row;
  const ofSeed = (name: string) => (seed === 0 ? name : `${name}-seed-${seed}`);
  const isPrompt = train === 'prompt-tune' || row.absorbs;
  const usualRate = isPrompt ? request.promptRate : usual;
  // Two digits, because products such as 0.1 * 3 are not round.
  const rate = of !== 'rate' ? usualRate : isPrompt ? Number((value * usualRate).toPrecision(2)) : value;
  const varied = of === 'rate' ? rate : value;
  const promptOf = row.behind?.(value);
  return {
    name: ofSeed(isPrompt && of === 'rate' && rate === usualRate ? row.name : `${row.name}-${varied}`),
    method,
    strength: strengthText(of, varied),
    rate,
    shots,
    ...(promptOf !== undefined && { promptOf: ofSeed(promptOf) }),
    ...(row.absorbs && { absorbs: true }),
    ...(row.mixes && { mixOf: ofSeed(row.mixes(value)) }),
    ...(train && { train, settings: settingsOf(row, value, rate, request) }),
  };
}

/** As reports write it: `rate 1e-5`, `share 0.05`. */
export function strengthText(of: string, value: number): string {
  return `${of} ${value < 0.001 ? value.toExponential() : value}`;
}

function settingsOf(row: Row, value: number, rate: number, { lengths, promptInit }: ArmsRequest): ConfigInput {
  const { train, shots, loraRank } = row;
  const own = { ...shared, ...(shots && { shots }) };
  if (train === 'prompt-tune') {
    const steps = row.of === 'steps' ? value : lengths.prompt;
    const keepEvery = Math.max(1, Math.round(steps / 2));
    return {
      ...own,
      promptInit,
      stage1: { ...stage, steps, keepEvery, learningRate: rate },
      ...row.settings?.(value),
    };
  }
  const { model: steps, look } = lengths;
  return {
    ...own,
    ...(train === behindPrompt && row.behind?.(value) === undefined && { promptInit }),
    stage2: { ...stage, steps, keepEvery: look, learningRate: rate, ...(loraRank && { loraRank }) },
    ...row.settings?.(value),
  };
}

/** Whether a name is that of a group, of an arm, or of an arm with all its seeds. */
export function isArm(all: readonly Arm[], name: string): boolean {
  return (groups as readonly string[]).includes(name) || all.some((arm) => isNamed(arm, name));
}

/**
 * The arms that are wanted, by group or name, with those that they need and the model before training. A name without
 * a seed takes all seeds.
 */
export function chooseArms(all: readonly Arm[], only: readonly string[]): readonly Arm[] {
  const names = new Set(['before']);
  const add = (arm: Arm) => {
    names.add(arm.name);
    for (const need of armsBefore(arm)) add(all.find(({ name }) => name === need)!);
  };
  for (const arm of all) if (only.some((one) => one === arm.group || isNamed(arm, one))) add(arm);
  return all.filter(({ name }) => names.has(name));
}

const isNamed = ({ name }: Arm, asked: string) => name === asked || name.startsWith(`${asked}-seed-`);

/** The arms that must be done before. */
export function armsBefore({ promptOf, mixOf }: Arm): string[] {
  return [promptOf, mixOf].flatMap((name) => name ?? []);
}

/** What a report calls an arm; the seeds of one arm share it. */
export function seriesOf({ method, strength }: Pick<Arm, 'method' | 'strength'>): string {
  return strength === undefined ? method : `${method}, ${strength}`;
}
