// Pretrains the built-in models from scratch on the lab's mixture, with promot's own training loop. Resumes where it stopped.
import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { AdamW, deriveSeed } from '@promot/torch';
import { buildModel, type LoadedModel, saveModel } from '../models/load.js';
import { tokenizeExample } from '../models/tokenize.js';
import { RandomWeights } from '../models/weights.js';
import { isRun, RunFolder, type StageState } from '../runs/run-folder.js';
import { huggingFaceTokenizer } from '../tokenizer/hugging-face.js';
import { toMicroBatches, trainLoop } from '../training/loop.js';
import { learningRateAt } from '../training/schedule.js';
import { pretrainExample } from './pretraining.js';
import { LAB_VOCABULARY, labTokenizerFiles } from './tokenizer.js';

/** The recipe. What a quick search found: twice the rate never leaves the unconditional loss. */
export const recipe = {
  steps: 10_000,
  batchSize: 64,
  microBatchSize: 64,
  learningRate: 6e-4,
  warmupSteps: 400,
  schedule: 'cosine',
  gradientClip: 1,
  weightDecay: 0.01,
  seed: 1,
} as const;

/** T5.1.1 in small: 4.2 million parameters. */
const architecture = {
  model_type: 't5',
  vocab_size: Math.ceil(LAB_VOCABULARY.length / 32) * 32,
  d_model: 192,
  d_kv: 48,
  d_ff: 512,
  num_layers: 4,
  num_decoder_layers: 4,
  num_heads: 4,
  feed_forward_proj: 'gated-gelu',
  tie_word_embeddings: false,
  decoder_start_token_id: 0,
  pad_token_id: 0,
  eos_token_id: 1,
};

export interface PretrainEvent {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly seconds: number;
}

/** A fresh lab model with random weights. */
export function newLabModel(seed: number): LoadedModel {
  const files = labTokenizerFiles('encoder-decoder');
  const parse = (name: string) => JSON.parse(files.get(name)!);
  return {
    model: buildModel(architecture, new RandomWeights(seed, 'float32'), 'the lab'),
    tokenizer: huggingFaceTokenizer({
      place: 'the lab',
      description: parse('tokenizer.json'),
      config: parse('tokenizer_config.json'),
      modelIds: {},
    }),
  };
}

/**
 * Trains (or goes on training) in a run folder and leaves the newest weights in its `model/`.
 * Ends early, with a checkpoint, when the signal says so.
 */
export async function pretrainLab(
  out: string,
  {
    signal,
    onStep,
    saveEvery = 250,
  }: { signal?: AbortSignal; onStep?: (event: PretrainEvent) => void; saveEvery?: number } = {},
): Promise<void> {
  const loaded = newLabModel(recipe.seed);
  const { model, tokenizer } = loaded;
  const folder =
    existsSync(out) && isRun(out)
      ? new RunFolder(out)
      : await RunFolder.create(
          out,
          { method: 'pretrain', model: 'lab', task: 'lab mixture' },
          { recipe, architecture },
        );
  const optimizer = new AdamW(model.parameters, { weightDecay: recipe.weightDecay });
  let state: StageState = folder.newestState('pretrain') ?? { stage: 'pretrain', step: 0, candidates: [], seconds: 0 };
  if (state.step > 0) {
    folder.restore(state, model.parameters, optimizer);
  }
  await folder.rewindMetrics((line) => line.step <= state.step);
  await trainLoop({
    model,
    trained: model.parameters,
    optimizer,
    batch: (step) =>
      toMicroBatches(
        Array.from({ length: recipe.batchSize }, (_, i) =>
          tokenizeExample(
            pretrainExample(recipe.seed, (step - 1) * recipe.batchSize + i, step / recipe.steps),
            tokenizer,
            model.kind,
          ),
        ),
        recipe.microBatchSize,
      ),
    learningRate: (step) => learningRateAt(step, recipe),
    steps: recipe.steps,
    loss: { labelSmoothing: 0, zLoss: 0 },
    dropout: 0,
    seed: deriveSeed(recipe.seed, 1),
    gradientClip: recipe.gradientClip,
    afterStep: async ({ step, loss, gradientNorm, seconds }) => {
      state = { ...state, step, seconds: state.seconds + seconds };
      folder.appendMetrics({ stage: 'pretrain', step, loss, gradientNorm, elapsed: state.seconds });
      onStep?.({ step, steps: recipe.steps, loss, seconds });
      // Signals are heard here, before the question whether to save.
      await setImmediate();
      if (step % saveEvery === 0 || step === recipe.steps || signal?.aborted) {
        await folder.saveCheckpoint(state, model.parameters, optimizer.state());
        await folder.prune(state, 0);
        // What ships: half the size, and nothing that can be measured is lost.
        await saveModel(folder.modelPath, loaded, 'bfloat16');
      }
      return !signal?.aborted;
    },
  });
  optimizer.dispose();
}
