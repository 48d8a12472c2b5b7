// LoRA (Hu et al. 2021): low-rank additions to some linear layers, trained in place of the layers, and written for
// PEFT.
import {
  deriveSeed,
  keep,
  type Linear,
  type LowRank,
  noGrad,
  type Parameters,
  scope,
  type Tensor,
  uniform,
  withDevice,
  writeSafetensors,
  zeros,
} from '@promot/torch';
import { UserError } from '../base/errors.js';
import { makeFolder, writeText } from '../base/write.js';
import type { LanguageModel } from '../models/model.js';
import { adapterPaths, taskTypes } from './adapter-folder.js';

/**
 * Low-rank additions that are attached to a model until `detach`; a model may carry several, and their outputs add up.
 */
export class Lora {
  /** `NAME.lora_A.weight` [r, I] and `NAME.lora_B.weight` [O, r] of every layer, float32. */
  readonly parameters: Parameters;
  readonly #own = new Map<Linear, LowRank>();

  constructor(
    readonly model: LanguageModel,
    parameters: ReadonlyMap<string, Tensor>,
    readonly rank: number,
    readonly scale: number,
  ) {
    this.parameters = parameters;
    for (const name of this.layers()) {
      const a = parameters.get(`${name}.lora_A.weight`)!;
      const b = parameters.get(`${name}.lora_B.weight`)!;
      const linear = model.linears.get(name)!;
      this.#own.set(linear, { a, b, scale });
      linear.lowRanks = [...linear.lowRanks, this.#own.get(linear)!];
    }
  }

  /** Names of the layers that have an addition. */
  layers(): string[] {
    return [...this.parameters.keys()].flatMap((key) => key.match(/^(.*)\.lora_A\.weight$/)?.[1] ?? []);
  }

  /** Takes the additions off and frees them: the model is what it was. */
  detach(): void {
    this.#takeOff();
    for (const tensor of this.parameters.values()) tensor.dispose();
  }

  /**
   * Does something with the model as it is without these additions (others stay), and puts them back, where they were.
   */
  async without<T>(work: () => Promise<T>): Promise<T> {
    const before = [...this.#own.keys()].map((linear) => [linear, linear.lowRanks] as const);
    this.#takeOff();
    try {
      return await work();
    } finally {
      for (const [linear, lowRanks] of before) linear.lowRanks = lowRanks;
    }
  }

  #takeOff(): void {
    for (const [linear, own] of this.#own) linear.lowRanks = linear.lowRanks.filter((one) => one !== own);
  }

  /** Adds scale * B A to the layers' own weights, in place, and takes the additions off. */
  merge(): void {
    noGrad(() =>
      scope(() => {
        for (const [{ weight }, { a, b, scale }] of this.#own) {
          // Of a divided weight each rank has its rows.
          const { rows = weight, begin = 0 } = this.model.blocks.divided?.get(weight) ?? {};
          rows.add_(b.narrow(0, begin, rows.size(0)).matmul(a).to(rows.dtype), scale);
        }
      }),
    );
    this.detach();
  }
}

/**
 * Fresh additions of rank r that change nothing yet: A uniform in +-1/sqrt(I) (PEFT's start), B zero, scale 1. They go
 * to the attention's queries and values, or to all linear layers but the output.
 */
export function attachLora(
  model: LanguageModel,
  rank: number,
  seed: number,
  layers: 'queries-and-values' | 'all' = 'queries-and-values',
): Lora {
  const parameters = new Map<string, Tensor>();
  let place = 0;
  for (const [name, { weight }] of model.linears) {
    const { parts } = model.places.get(name)!;
    // Where PEFT attaches by default, and Hu et al. found it best for their budget.
    if (layers !== 'all' && !parts.some(({ role }) => role === 'query' || role === 'value')) continue;
    const { shape } = model.blocks.divided?.get(weight) ?? weight;
    const [outputs, inputs] = shape as [number, number];
    if (rank > Math.min(outputs, inputs)) {
      for (const parameter of parameters.values()) parameter.dispose();
      throw new UserError(
        `loraRank is ${rank}: ${name} is a matrix of ${outputs} x ${inputs}, so at most ` +
          `${Math.min(outputs, inputs)} makes sense`,
      );
    }
    const bound = inputs ** -0.5;
    const [a, b] = withDevice(model.embedding.device, () => [
      scope(() => uniform([rank, inputs], -bound, bound, deriveSeed(seed, place++))),
      zeros([outputs, rank]),
    ]);
    parameters.set(`${name}.lora_A.weight`, keep(a));
    parameters.set(`${name}.lora_B.weight`, keep(b));
  }
  return new Lora(model, parameters, rank, 1);
}

const prefix = 'base_model.model.';

/** Writes a PEFT LoRA adapter folder that PEFT loads with identical logits. */
export async function writeLoraAdapter(folder: string, lora: Lora, baseModel = ''): Promise<void> {
  makeFolder(folder);
  const paths = adapterPaths(folder);
  const named = new Map([...lora.parameters].map(([name, tensor]) => [`${prefix}${name}`, tensor]));
  writeSafetensors(paths.weights, named, { format: 'pt' });
  const config = {
    peft_type: 'LORA',
    task_type: taskTypes[lora.model.kind],
    base_model_name_or_path: baseModel,
    inference_mode: true,
    r: lora.rank,
    lora_alpha: lora.scale * lora.rank,
    lora_dropout: 0,
    target_modules: [...new Set(lora.layers().map((name) => name.split('.').at(-1)!))],
    bias: 'none',
    fan_in_fan_out: false,
    init_lora_weights: true,
  };
  await writeText(paths.config, `${JSON.stringify(config, null, 2)}\n`);
}
