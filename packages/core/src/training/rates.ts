// Learning rates by model family, and where each was measured. What was not measured says so.
import { scope } from '@promot/torch';
import type { StageConfig } from '../methods/settings.js';
import type { LanguageModel } from '../models/model.js';

type Rate = Pick<StageConfig, 'optimizer' | 'learningRate'> &
  Partial<Pick<StageConfig, 'beta2' | 'warmupSteps' | 'gradientClip'>>;

interface FamilyRates {
  /** `model_type` of config.json. */
  readonly families: readonly string[];
  /** Of a stage that trains a soft prompt, and of one that trains the model. */
  readonly prompt: Rate;
  readonly model: Rate;
  readonly labelSmoothing: number;
  /** For models of at most this many parameters; larger ones learn at lower rates. */
  readonly parametersUpTo?: number;
  /** Where the rates were measured. */
  readonly measured: string;
}

const smallT5: FamilyRates = {
  families: ['t5', 'mt5'],
  // Behind 20 rows, batch 8, validation loss at steps 20 and 40: 4.87 and 2.74 at the paper's 0.2, 1.02 and 0.84 at 1.
  prompt: { optimizer: 'adafactor', learningRate: 1 },
  model: { optimizer: 'adafactor', learningRate: 0.001 },
  labelSmoothing: 0.1,
  parametersUpTo: 300e6,
  measured: 'FLAN-T5-small on 60 rows of four classes, batch 8',
};
const paper: FamilyRates = {
  families: ['t5', 'mt5'],
  prompt: { optimizer: 'adafactor', learningRate: 0.2 },
  model: { optimizer: 'adafactor', learningRate: 0.001 },
  labelSmoothing: 0.1,
  measured: 'the paper on mT5-XXL (A.2.4)',
};
/** What AdamW was measured with. */
const adamw = { optimizer: 'adamw', beta2: 0.98, warmupSteps: 10, gradientClip: 1 } as const;
const gemma: FamilyRates = {
  families: ['gemma3_text', 'gemma3'],
  // At 0.00003 ProMoT loses what it knew, too; at 0.00001 nothing for 120 steps, with the target learned in 240.
  prompt: { ...adamw, learningRate: 0.1 },
  model: { ...adamw, learningRate: 0.00001 },
  labelSmoothing: 0,
  measured:
    'a try in PyTorch with Gemma 3 270M on SNLI, batch 16, AdamW with 10 steps of warm-up, gradients clipped at 1',
};
const smollm: FamilyRates = {
  families: ['llama'],
  prompt: { optimizer: 'adafactor', learningRate: 0.03 },
  model: { optimizer: 'adafactor', learningRate: 0.0003 },
  labelSmoothing: 0.1,
  measured: 'SmolLM2-135M on RTE, batch 16 (docs/real-models.md)',
};

const familyRates: readonly FamilyRates[] = [smallT5, paper, gemma, smollm];

/** Of a table in pieces of so many numbers: a large one is never held in float32. */
const pieceNumbers = 2 ** 24;

/** Root mean square of what the model reads in place of a token. */
export function embeddingSize({ embedding, blocks, shape }: LanguageModel): number {
  const [rows = 0] = embedding.shape;
  const step = Math.max(1, Math.floor((pieceNumbers * rows) / embedding.numel));
  const squares = scope(() => {
    const values = blocks.values(embedding);
    let sum = 0;
    for (let at = 0; at < rows; at += step)
      sum +=
        scope(() =>
          values
            .narrow(0, at, Math.min(step, rows - at))
            .float()
            .square()
            .mean()
            .item(),
        ) * Math.min(step, rows - at);
    return sum / rows;
  });
  return Math.sqrt(squares) * shape.embeddingScale;
}

/** The rates for a model; `measured` says where they come from, also where it was on another family. */
export function ratesOf(model: LanguageModel): FamilyRates {
  const { family } = model.shape;
  const parameters = [...model.parameters.values()].reduce((sum, { numel }) => sum + numel, 0);
  const found = familyRates.find(
    ({ families, parametersUpTo = Number.POSITIVE_INFINITY }) =>
      families.includes(family) && parameters <= parametersUpTo,
  );
  if (found) return found;
  if (model.kind === 'encoder-decoder')
    return { ...paper, measured: `${paper.measured}; nothing was measured for ${family}` };
  // A rate for the prompt is a share of the size of what it stands beside; on SmolLM2 a fifth did well.
  const learningRate = Number((embeddingSize(model) / 5).toPrecision(1));
  return {
    ...gemma,
    prompt: { ...gemma.prompt, learningRate },
    measured:
      `nothing was measured for ${family}: the model's rate is that of ${gemma.measured}, ` +
      "the prompt's a fifth of the size of the embeddings",
  };
}
