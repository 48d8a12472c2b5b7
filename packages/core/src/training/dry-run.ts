// What a training run would do, without training: examples as the model sees them, lengths, what is cut, estimates.
import { type TrainingConfig, uses } from '../methods/index.js';
import type { LanguageModel } from '../models/model.js';
import { tokenizeExample, tokenizePrompt } from '../models/tokenize.js';
import type { Example } from '../tasks/task.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { estimateStage, type LengthStatistics, measureProducts, type StageEstimate, sizesOf } from './estimate.js';
import type { TrainingExamples } from './examples.js';
import { type Lengths, measureLengths, mixed, statistics } from './lengths.js';
import { describeChoice } from './presets.js';
import type { TrainRequest } from './request.js';
import { runBefore } from './resume.js';
import { setUp, tearDown } from './setup.js';

export interface ShownToken {
  readonly id: number;
  readonly text: string;
  /** Of the input: an earlier answer of a conversation, which is learned, too. */
  readonly learned?: boolean;
}

export interface ShownExample {
  /** Where there are several. */
  readonly task?: string;
  readonly input: string;
  readonly target: string;
  /** Rows of the soft prompt in front of the input. */
  readonly promptRows: number;
  readonly inputTokens: readonly ShownToken[];
  readonly targetTokens: readonly ShownToken[];
  /** A conversation: input and target are parts of one text. */
  readonly isChat?: boolean;
  /** Tokens of the input that `maxInputLength` takes away. */
  readonly cutTokens: number;
}

export interface DryRun {
  readonly kind: LanguageModel['kind'];
  readonly parameters: number;
  readonly config: TrainingConfig;
  /** In a line what was chosen and why. */
  readonly chosen: string;
  /** Where it would train. */
  readonly device: string;
  readonly trainExamples: number;
  readonly validationExamples: number;
  readonly examples: readonly ShownExample[];
  readonly inputLengths: LengthStatistics;
  readonly targetLengths: LengthStatistics;
  /** Training inputs that `maxInputLength` or the task itself cuts. */
  readonly cutInputs: number;
  /** Measured speed of matrix products in the run's precision, floating-point operations a second. */
  readonly operationsPerSecond: number;
  readonly stages: readonly (StageEstimate & {
    /** Where validation stands still. */
    readonly mayEndEarlier: boolean;
  })[];
}

const shownExamples = 3;

/**
 * Looks at a run without training it; writes nothing.
 * Errors: those that `train` has for a model, task, data, method or setting at fault.
 *
 * @example const { stages } = await dryRun({ model: 'lab', task: 'lab-rte', method: 'promot', out: 'runs/rte' });
 */
export async function dryRun(request: TrainRequest): Promise<DryRun> {
  const setup = await setUp(request, runBefore(request.out, request.resume ?? false));
  try {
    const { loaded, method, config, tasks, phases, lora } = setup;
    const { model } = loaded;
    const { maxInputLength, precision } = config;
    const promptRows = uses(method, 'prompt') ? config.promptLength : 0;
    const loraParameters = [...(lora?.parameters.values() ?? [])].reduce((n, { numel }) => n + numel, 0);
    const operationsPerSecond = measureProducts(precision);
    const sizes = sizesOf(model);
    const lengthsOf = remember((examples, shots) => measureLengths(examples, shots, maxInputLength));
    const { shots } = phases.at(-1)!.mixture.sources[0]!;
    const shown = tasks.map(({ examples }) => ({ examples, ...lengthsOf(examples, shots) }));
    const total = (of: (t: (typeof shown)[number]) => number) => shown.reduce((sum, one) => sum + of(one), 0);
    const trainExamples = total(({ examples }) => examples.examples.length);
    return {
      kind: model.kind,
      parameters: sizes.all,
      config,
      chosen: describeChoice(config, method, model, trainExamples),
      device: loaded.model.embedding.device,
      trainExamples,
      validationExamples: tasks.reduce((sum, { validation }) => sum + validation.length, 0),
      examples: tasks.flatMap(({ examples }) =>
        examples.examples.slice(0, Math.max(1, Math.floor(shownExamples / tasks.length))).map((_, i) => ({
          ...(tasks.length > 1 && { task: examples.task.name }),
          ...showExample(examples.text(i, 0, shots), loaded, promptRows, maxInputLength),
        })),
      ),
      inputLengths: statistics(shown.flatMap(({ inputs }) => inputs)),
      targetLengths: statistics(shown.flatMap(({ targets }) => targets)),
      cutInputs: Math.round(total(({ examples, cut, inputs }) => (cut * examples.examples.length) / inputs.length)),
      operationsPerSecond,
      stages: phases.map(({ stage, task, mixture: { sources } }) => {
        const measured = sources.map((source) => ({ rate: source.rate, ...lengthsOf(source.examples, source.shots) }));
        const lengths = (of: (one: Lengths) => readonly number[]) =>
          mixed(measured.map((one) => ({ rate: one.rate, lengths: statistics(of(one)) })));
        return {
          ...estimateStage(stage, {
            config,
            // The most that `auto` may choose.
            passSize: config.microBatchSize === 'auto' ? config.batchSize : config.microBatchSize,
            promptRows,
            prompts: task === undefined ? tasks.length : 1,
            loraParameters,
            inputLengths: lengths(({ inputs }) => inputs),
            targetLengths: lengths(({ targets }) => targets),
            sizes,
            operationsPerSecond,
            kind: model.kind,
            checkpointing: config.activationCheckpointing === 'on',
          }),
          ...(task !== undefined && { task }),
          mayEndEarlier: config.stages[stage.settings]!.patience > 0,
        };
      }),
    };
  } finally {
    tearDown(setup);
  }
}

type Measure = (examples: TrainingExamples, shots: 0 | 1) => Lengths;

/** Measures what stands in several stages only once. */
function remember(measure: Measure): Measure {
  const known = new Map<TrainingExamples, Lengths[]>();
  return (examples, shots) => {
    const own = known.get(examples) ?? [];
    known.set(examples, own);
    own[shots] ??= measure(examples, shots);
    return own[shots];
  };
}

function showExample(
  example: Example,
  { model, tokenizer }: { model: LanguageModel; tokenizer: Tokenizer },
  promptRows: number,
  maxInputLength: number,
): ShownExample {
  const { input, target, answers = [] } = tokenizeExample(example, tokenizer, model.kind, maxInputLength);
  const show = (ids: readonly number[]) =>
    ids.map((id) => ({ id, text: tokenizer.decode([id], { specialTokens: true }) }));
  return {
    input: example.input,
    target: example.target,
    promptRows,
    inputTokens: show(input).map((token, i) => (answers.includes(i) ? { ...token, learned: true } : token)),
    targetTokens: show(target),
    ...(example.chat && { isChat: true }),
    cutTokens: example.chat ? 0 : tokenizePrompt(example, tokenizer, model.kind).length - input.length,
  };
}
