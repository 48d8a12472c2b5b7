// What `promot doctor --check` computes with a tiny model of a family: its weights follow from a formula, so that the
// same numbers have to come out on every device. scripts/make-check.mjs stores them.
import { generate } from '@promot/core/generation';
import { buildModel, type Initial, idTensor, type LanguageModel, predictedIds, Weights } from '@promot/core/models';
import { blockwise, sumOfLosses } from '@promot/core/train';
import {
  Adafactor,
  type Device,
  type DType,
  deriveSeed,
  keep,
  noGrad,
  scope,
  type Tensor,
  tensor,
} from '@promot/torch';

/** What is stored of a family. */
export interface FamilyValues {
  /** The first logits, and the norm of all. */
  readonly logits: readonly number[];
  readonly loss: number;
  /** Norms of the gradients of the first and the last parameter, and of all. */
  readonly gradients: readonly number[];
  /** Losses of steps that train a soft prompt, then of steps that train the model behind it. */
  readonly steps: readonly number[];
  /** Tokens of a beam search. */
  readonly beams?: readonly (readonly number[])[];
}

/** The stored values and the configurations they belong to. */
export interface CheckFile {
  readonly libtorch: string;
  readonly families: readonly {
    readonly name: string;
    readonly config: Record<string, unknown>;
    readonly fp32: FamilyValues;
    readonly bf16: FamilyValues;
  }[];
}

/** Weights by a formula of their name and place: the same on every machine. */
class FormulaWeights extends Weights {
  override stores(): boolean {
    return false;
  }
  protected override read(name: string, shape: readonly number[], initial: Initial): Tensor {
    const seed = [...name].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) >>> 0, 7);
    const numel = shape.reduce((product, side) => product * side, 1);
    const values = new Float32Array(numel);
    const [middle, spread] = initial === 'ones' ? [1, 0.1] : [0, initial === 0 ? 0.1 : 1.7 * initial];
    // Uniform on -1 to 1, of as many bits as float32 holds.
    for (let i = 0; i < numel; i++) values[i] = middle + spread * ((deriveSeed(seed, i) % 2 ** 20) / 2 ** 19 - 1);
    return tensor(values, { shape });
  }
}

const examples = [
  { input: [5, 9, 14, 23, 7, 11, 30], target: [12, 40, 8] },
  { input: [21, 6, 33], target: [17, 9] },
];
const stepsOf = { float32: 10, bfloat16: 3 } as const;

/** Computes what is stored of a family. Leaves no tensor. */
export async function familyValues(
  config: Record<string, unknown>,
  name: string,
  dtype: 'float32' | 'bfloat16',
  device: Device,
): Promise<FamilyValues> {
  const model = buildModel(config, new FormulaWeights(dtype satisfies DType, device), name);
  const { width } = model.shape;
  const rows = Float32Array.from({ length: 3 * width }, (_, i) => (deriveSeed(3, i) % 2 ** 20) / 2 ** 20 - 0.5);
  const prompt = keep(tensor(rows, { shape: [3, width] }));
  const targets = keep(idTensor(examples.flatMap(predictedIds)));
  try {
    const loss = (logits: Tensor) => sumOfLosses(logits, targets, { labelSmoothing: 0.1, zLoss: 0 }).div(targets.numel);
    const logits = noGrad(() =>
      scope(() => {
        const all = model.logits(examples, { prompt }).float();
        return [...all.reshape(-1).narrow(0, 0, 8).toNumbers(), all.norm().item()];
      }),
    );
    const backward = (trained: Iterable<Tensor>) => {
      for (const parameter of trained) parameter.requiresGrad = true;
      const options = { recompute: false };
      return scope(() => blockwise(model, undefined, options, () => loss(model.logits(examples, { prompt }))).item());
    };
    const all = [...model.parameters.values()];
    const first = backward(all);
    const norms = all.map((parameter) => scope(() => parameter.grad?.float().norm().item() ?? 0));
    for (const parameter of all) parameter.clearGrad();
    const gradients = [norms[0]!, norms.at(-1)!, Math.hypot(...norms)];
    for (const parameter of all) parameter.requiresGrad = false;
    const steps = [
      ...train(new Map([['prompt', prompt]]), 0.05, { factored: false, scaleByParameter: false }),
      ...train(model.parameters, 0.003, {}),
    ];
    /** Losses of some steps; nothing else moves. */
    function train(trained: ReadonlyMap<string, Tensor>, rate: number, options: object): number[] {
      const others = [prompt, ...all].filter((one) => ![...trained.values()].includes(one));
      const sums = () => scope(() => others.map((one) => one.detach().float().sum().item()).join());
      const before = sums();
      const optimizer = new Adafactor(trained, options);
      const losses = Array.from({ length: stepsOf[dtype as keyof typeof stepsOf] }, () => {
        const value = backward(trained.values());
        optimizer.step(rate);
        return value;
      });
      optimizer.dispose();
      for (const one of trained.values()) {
        one.clearGrad();
        one.requiresGrad = false;
      }
      if (sums() !== before) throw new Error('a step moved what it does not train');
      return losses;
    }
    const beams = dtype === 'float32' ? { beams: await search(model, prompt) } : {};
    return { logits, loss: first, gradients, steps, ...beams };
  } finally {
    for (const parameter of [...model.parameters.values(), prompt, targets]) parameter.dispose();
  }
}

async function search(model: LanguageModel, prompt: Tensor): Promise<number[][]> {
  const found = await generate(
    model,
    examples.map(({ input }) => input),
    { beams: 3, maxNewTokens: 6, prompt },
  );
  return found.map(({ ids }) => [...ids]);
}
