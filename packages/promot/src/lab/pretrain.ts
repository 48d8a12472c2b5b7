// Pretrains the built-in models from scratch on the lab's mixture, with promot's own training loop. Resumes where it
// stopped.
import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { isRun, RunFolder, readRun, type StageState } from '@promot/core/artifacts';
import { type Observer, UserError } from '@promot/core/base';
import type { LanguageModel, Role, TokenizedExample } from '@promot/core/models';
import {
  buildModel,
  chooseDevice,
  type LoadedModel,
  loadedModel,
  RandomWeights,
  saveModel,
  tokenizeExample,
} from '@promot/core/models';
import { huggingFaceTokenizer } from '@promot/core/tokenizer';
import { crossEntropy, learningRateAt, toMicroBatches, trainLoop } from '@promot/core/train';
import { AdamW, type DType, deriveSeed, noGrad, scope, withDevice } from '@promot/torch';
import type { LabModelName } from './models.js';
import { type PretrainingExample, pretrainExample } from './pretraining.js';
import { LAB_VOCABULARY, labTokenizerFiles } from './tokenizer.js';

/** The recipe. The rate: in a quick search, from another start, 0.0015 never left the unconditional loss. */
const recipe = {
  steps: 4_000,
  batchSize: 64,
  // Prompts have 7 to 180 tokens: passes of examples of like length waste little on padding.
  microBatchSize: 16,
  learningRate: 6e-4,
  warmupSteps: 400,
  schedule: 'cosine',
  gradientClip: 1,
  weightDecay: 0.01,
  // Takes 0.8 of fp32's time on a processor that multiplies it. The optimizer keeps its own weights in fp32.
  dtype: 'bfloat16',
  seed: 1,
} as const;

const rows = Math.ceil(LAB_VOCABULARY.length / 32) * 32;

/** T5.1.1 in small. */
const t5 = {
  model_type: 't5',
  vocab_size: rows,
  d_model: 192,
  d_kv: 24,
  d_ff: 512,
  num_layers: 4,
  num_decoder_layers: 4,
  num_heads: 8,
  feed_forward_proj: 'gated-gelu',
  tie_word_embeddings: false,
  decoder_start_token_id: 0,
  pad_token_id: 0,
  eos_token_id: 1,
};

/** Each model's config.json. */
const architectures: Readonly<Record<LabModelName, Record<string, unknown>>> = {
  /** 4.4 million parameters: the base of most tables. */
  lab: t5,
  /** 2.1 million: stands for the paper's smaller mT5. */
  'lab-small': { ...t5, d_model: 128, d_kv: 16, d_ff: 384 },
  /** 3.7 million, Llama style: stands for the paper's PaLM. */
  'lab-decoder': {
    model_type: 'llama',
    vocab_size: rows,
    hidden_size: 192,
    intermediate_size: 512,
    num_hidden_layers: 8,
    num_attention_heads: 4,
    tie_word_embeddings: true,
    initializer_range: 0.05,
    pad_token_id: 0,
    eos_token_id: 1,
  },
};

/**
 * Sets random weights so that attending to a token raises that token's logit: the output projection of attention to the
 * input is the transpose of its value projection (their product is then near the identity), and the head's rows are the
 * embeddings. Reading gains from it: its answers are words of the prompt, and without it each word's way from embedding
 * to head has to be found by itself (figures in the README of `lab/`). After the "mimetic initialization" of Trockman
 * and Kolter 2023.
 */
function readyToCopy({ kind, places, linears, head, embedding, shape }: LanguageModel): void {
  const toInput = kind === 'encoder-decoder' ? 'cross' : 'self';
  const weights = (role: Role) =>
    [...places].flatMap(([name, { attention, parts }]) =>
      attention === toInput && parts[0]!.role === role ? [linears.get(name)!.weight] : [],
    );
  noGrad(() =>
    scope(() => {
      const outputs = weights('output');
      for (const [layer, value] of weights('value').entries()) outputs[layer]!.copy_(value.transpose(0, 1));
      // Logits of the size that T5's own start gives.
      if (head.weight !== embedding) head.weight.copy_(embedding.mul(shape.width ** -0.5));
    }),
  );
}

/** Options of `pretrainLab`. */
export interface PretrainOptions {
  /** Default `lab`. */
  readonly model?: LabModelName;
  readonly signal?: AbortSignal;
  /** Hears of each step. */
  readonly onEvent?: Observer;
  /** Steps between two checkpoints; default 250. */
  readonly saveEvery?: number;
  /** Examples of a step; the shipped models were made with the recipe's. */
  readonly batchSize?: number;
}

/** A fresh lab model with random weights. */
export function newLabModel(name: LabModelName, seed: number, dtype: DType = 'float32'): LoadedModel {
  const architecture = architectures[name];
  const files = labTokenizerFiles(architecture.model_type === 't5' ? 'encoder-decoder' : 'decoder');
  const parse = (file: string) => JSON.parse(files.get(file)!);
  const model = buildModel(architecture, new RandomWeights(seed, dtype), 'the lab');
  readyToCopy(model);
  const tokenizer = huggingFaceTokenizer({
    place: 'the lab',
    description: parse('tokenizer.json'),
    config: parse('tokenizer_config.json'),
    modelIds: {},
  });
  return loadedModel(model, tokenizer);
}

/**
 * Trains (or goes on training) a lab model in a run folder and leaves the newest weights in its `model/`.
 * Ends early, with a checkpoint, when the signal says so. Throws UserError where `out` holds a run of another model.
 */
export async function pretrainLab(
  out: string,
  { model: name = 'lab', signal, onEvent, saveEvery = 250, batchSize = recipe.batchSize }: PretrainOptions = {},
): Promise<void> {
  const loaded = withDevice(chooseDevice(), () => newLabModel(name, recipe.seed, recipe.dtype));
  const { model } = loaded;
  const info = { method: 'pretrain', model: name, tasks: ['lab mixture'] };
  const resumed = existsSync(out) && isRun(out);
  if (resumed && readRun(out).model !== name)
    throw new UserError(`${out} is a run of ${readRun(out).model}, not of ${name}: name another folder`);
  const folder = resumed
    ? await RunFolder.reopen(out)
    : await RunFolder.create(out, info, { recipe: { ...recipe, batchSize }, architecture: architectures[name] });
  const note = (text: string) => onEvent?.({ type: 'note', text });
  try {
    const optimizer = new AdamW(model.parameters, { weightDecay: recipe.weightDecay });
    let state: StageState = folder.checkpoints.recover('pretrain', () => ({ weights: [] }), note) ?? {
      stage: 'pretrain',
      step: 0,
      candidates: [],
      seconds: 0,
    };
    if (state.step > 0) {
      folder.checkpoints.restore(state, model.parameters, optimizer);
    }
    folder.rewindMetrics(
      (line) => line.step <= state.step,
      () => {},
    );
    await trainLoop({
      model,
      trained: model.parameters,
      optimizer,
      batch: (step) =>
        toMicroBatches(
          Array.from({ length: batchSize }, (_, i) =>
            tokenizePretraining(pretrainExample(recipe.seed, (step - 1) * batchSize + i, step / recipe.steps), loaded),
          ),
          recipe.microBatchSize,
        ),
      learningRate: (step) => learningRateAt(step, recipe),
      steps: recipe.steps,
      loss: (pass) => crossEntropy.loss(pass, { labelSmoothing: 0, zLoss: 0 }),
      dropout: 0,
      seed: deriveSeed(recipe.seed, 1),
      gradientClip: recipe.gradientClip,
      afterStep: async ({ step, loss, learningRate, gradientNorm, tokens, seconds }) => {
        state = { ...state, step, seconds: state.seconds + seconds };
        const line = {
          stage: 'pretrain',
          step,
          loss,
          learningRate,
          gradientNorm,
          tokensPerSecond: tokens / seconds,
          elapsed: state.seconds,
          remaining: (state.seconds / step) * (recipe.steps - step),
          memory: process.memoryUsage.rss(),
        };
        folder.appendMetrics({ type: 'step', ...line });
        onEvent?.({ type: 'step', steps: recipe.steps, ...line });
        // Signals are heard here, before the question whether to save.
        await setImmediate();
        if (step % saveEvery === 0 || step === recipe.steps || signal?.aborted) {
          folder.checkpoints.save(state, model.parameters, optimizer.state());
          folder.checkpoints.prune(state, 0);
          // What ships: half the size, and nothing that can be measured is lost.
          await saveModel(folder.modelPath, loaded, { dtype: 'bfloat16' });
        }
        return !signal?.aborted;
      },
    });
    optimizer.dispose();
  } finally {
    await folder.unlock();
  }
}

/**
 * Encoder-decoder: the prompt is read, the target predicted. Decoder-only: the exemplars' answers are predicted as
 * well, which gives a batch several times as much to learn from.
 */
export function tokenizePretraining(example: PretrainingExample, { model, tokenizer }: LoadedModel): TokenizedExample {
  const tokenized = tokenizeExample(example, tokenizer, model.kind);
  if (model.kind === 'encoder-decoder') return tokenized;
  const answers: number[] = [];
  let place = 0;
  // The last segment is the target.
  for (const { text, isAnswer } of example.segments.slice(0, -1)) {
    const { length } = tokenizer.encode(text);
    if (isAnswer) answers.push(...Array.from({ length }, (_, i) => place + i));
    place += length;
  }
  return { ...tokenized, answers };
}
