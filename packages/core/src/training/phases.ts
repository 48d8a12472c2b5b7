// A method's stages as a run of one or several tasks goes through them: what each trains on and what is validated.
import type { Tensor } from '@promot/torch';
import { has, type Method, type Stage, type TrainingConfig } from '../methods/index.js';
import type { LoadedModel } from '../models/load.js';
import { fewShotPrompts } from '../tasks/few-shot.js';
import type { Example, Task } from '../tasks/task.js';
import type { TrainingExamples } from './examples.js';
import { Mixture, mixingRates, type Source } from './mixture.js';
import type { ValidatedTask } from './validation.js';

/** A task of a run with its data. */
export interface RunTask {
  readonly task: Task;
  readonly examples: TrainingExamples;
  /** What validation evaluates, without exemplars. */
  readonly validation: readonly Example[];
  /** Its own soft prompt [P, E], where the method has prompts. */
  readonly prompt?: Tensor;
}

/** One part of a run with an optimizer of its own: a stage, or the part of a prompt stage that is about one task. */
export interface Phase {
  readonly stage: Stage;
  /** Tells its checkpoints and samples from others'. */
  readonly key: string;
  /** Where a stage is gone through task by task, the one that this is about. */
  readonly task?: string;
  readonly tasks: readonly ValidatedTask[];
  readonly mixture: Mixture;
  /** Of its dropout masks; with the sources' own seeds all that is random in it. */
  readonly seed: number;
  /** Tells its order and masks from another's. Model stages draw the same whether a prompt stage came before or not. */
  readonly place: number;
}

/**
 * The phases of a run. Of several tasks, a stage that trains prompts alone has one phase for each; all other stages mix
 * the tasks, and what trains the model mixes in `replay`, which has no prompts. Exemplars of a run of several tasks
 * stand in front of the mixed stages' inputs only (section 5.3's multi-task training; the others' in all stages).
 * Errors: a UserError for `mixing` that does not fit the tasks and for too few exemplars.
 */
export function phasesOf(
  { stages }: Method,
  config: TrainingConfig,
  loaded: LoadedModel,
  tasks: readonly RunTask[],
  replay: readonly TrainingExamples[],
): Phase[] {
  const rates = mixingRates(
    config.mixing,
    tasks.map(({ task, examples }) => ({ name: task.name, size: examples.examples.length })),
  );
  const rateSum = rates.reduce((sum, rate) => sum + rate, 0);
  const make = (stage: Stage, own: readonly RunTask[], task?: string): Phase => {
    const trainsModel = stage.trains.includes('model');
    const promptOf = ({ prompt }: RunTask) => (has(stage, 'prompt') ? prompt : undefined);
    const shots = task === undefined ? config.shots : 0;
    const share = trainsModel && replay.length > 0 ? config.replay.share : 0;
    const sources: Source[] = [
      ...own.map((one) => {
        const { examples } = one;
        const part = own.length === 1 ? 1 : rates[tasks.indexOf(one)]! / rateSum;
        return { examples, prompt: promptOf(one), shots, rate: (1 - share) * part };
      }),
      ...(share > 0 ? replay.map((examples) => ({ examples, shots: 0 as const, rate: share / replay.length })) : []),
    ];
    const place = placeOf(stage, stages);
    return {
      stage,
      task,
      key: phaseKey(stage.name, task),
      tasks: own.map((one) => ({
        task: one.task,
        prompt: promptOf(one),
        fewShot: shots > 0,
        validation: withExemplars(one.validation, one.examples, shots, config.seed, loaded),
      })),
      mixture: new Mixture(sources, { ...config, stage: place }),
      seed: own[0]!.examples.options.seed,
      place,
    };
  };
  return stages.flatMap((stage) =>
    tasks.length > 1 && stage.trains.every((part) => part === 'prompt')
      ? tasks.map((one) => make(stage, [one], one.task.name))
      : [make(stage, tasks)],
  );
}

/**
 * 0 for the first stage that leaves the model as it is, 1 for the first that trains it, numbers of their own for
 * others.
 */
function placeOf(stage: Stage, stages: readonly Stage[]): number {
  const trainsModel = (one: Stage) => one.trains.includes('model');
  const before = stages.slice(0, stages.indexOf(stage)).filter((one) => trainsModel(one) === trainsModel(stage)).length;
  const place = trainsModel(stage) ? 1 : 0;
  // 2 tells the seed of LoRA that trains in the model's place.
  return before === 0 ? place : 1 + 2 * before + place;
}

/** What a phase is called in events and lines. */
export function nameOf({ stage, task }: Phase): { stage: string; task?: string } {
  return { stage: stage.name, ...(task !== undefined && { task }) };
}

/** The key of a phase, from what stands in its lines of metrics.jsonl. */
export function phaseKey(stage: string, task?: string): string {
  return task === undefined ? stage : `${stage}-${task}`;
}

function withExemplars(
  validation: readonly Example[],
  { task, examples }: TrainingExamples,
  shots: 0 | 1,
  seed: number,
  { tokenizer }: LoadedModel,
): Example[] {
  const prompt = fewShotPrompts({
    train: examples,
    shots,
    seed,
    maxInputTokens: task.maxInputTokens,
    countTokens: (text) => tokenizer.encode(text).length,
  });
  return validation.map((example) => ({ ...example, input: prompt(example).text }));
}
