// A LoRA adapter that PEFT wrote, put on a model: plain additions beside the layers, all else into the model's own
// tensors.
import {
  call,
  keep,
  type Linear,
  type LowRank,
  noGrad,
  type Parameters,
  scope,
  type Tensor,
  tensor,
} from '@promot/torch';
import { UserError } from '../base/errors.js';
import { headName, isTied, untieHead } from '../models/head.js';
import type { LanguageModel } from '../models/model.js';
import { openAdapterWeights } from './adapter-folder.js';
import { type LoraSettings, readLoraConfig } from './lora-config.js';

/** What an adapter's file holds for one layer. */
interface LayerParts {
  a?: Tensor;
  b?: Tensor;
  bias?: Tensor;
  magnitude?: Tensor;
}

/** Something done to a model. */
interface Change {
  undo(): void;
  /** Frees what `undo` would need. */
  forget?(): void;
}

/** An adapter on a model, until `detach` or `merge`. */
class LoraAdapter {
  /** The plain additions: `NAME.lora_A.weight` [r, I] and `NAME.lora_B.weight` [O, r] of every layer, float32. */
  readonly parameters: Parameters;
  readonly #layers: readonly string[];
  readonly #added: ReadonlyMap<string, LowRank>;
  readonly #changes: readonly Change[];

  constructor(
    readonly model: LanguageModel,
    layers: readonly string[],
    added: ReadonlyMap<string, LowRank>,
    changes: readonly Change[],
  ) {
    this.#layers = layers;
    this.#added = added;
    this.#changes = changes;
    const parameters = new Map<string, Tensor>();
    for (const [name, { a, b, bias }] of added) {
      parameters.set(`${name}.lora_A.weight`, a);
      parameters.set(`${name}.lora_B.weight`, b);
      if (bias) parameters.set(`${name}.lora_B.bias`, bias);
      const linear = linearOf(model, name)!;
      linear.lowRanks = [...linear.lowRanks, added.get(name)!];
    }
    this.parameters = parameters;
  }

  /** Names of the modules that the adapter changes. */
  layers(): string[] {
    return [...this.#layers];
  }

  /** Takes the adapter off and frees it: the model is what it was. */
  detach(): void {
    this.#takeOff();
    for (const { undo } of [...this.#changes].reverse()) undo();
  }

  /** Adds the additions to the layers' own weights, in place: the model can no longer be without the adapter. */
  merge(): void {
    for (const [name, { bias }] of this.#added)
      if (bias && !linearOf(this.model, name)!.bias)
        throw new UserError(
          `${name} has no bias that the adapter's (lora_bias) could be added to: it cannot be merged`,
        );
    if (this.#added.has(headName(this.model)) && isTied(this.model)) {
      const linear = this.model.head;
      untieHead(this.model);
      this.model.head.lowRanks = linear.lowRanks;
    }
    noGrad(() =>
      scope(() => {
        for (const [name, { a, b, bias, scale }] of this.#added) {
          const linear = linearOf(this.model, name)!;
          linear.weight.add_(b.matmul(a).to(linear.weight.dtype), scale);
          if (bias) linear.bias!.add_(bias.to(linear.bias!.dtype), scale);
        }
      }),
    );
    this.#takeOff();
    for (const { forget } of this.#changes) forget?.();
  }

  #takeOff(): void {
    for (const [name, own] of this.#added) {
      const linear = linearOf(this.model, name)!;
      linear.lowRanks = linear.lowRanks.filter((one) => one !== own);
    }
    for (const parameter of this.parameters.values()) parameter.dispose();
  }
}

function linearOf(model: LanguageModel, name: string): Linear | undefined {
  return name === headName(model) ? model.head : model.linears.get(name);
}

/** The name of the input embedding, such as `model.embed_tokens`. */
function embeddingName(model: LanguageModel): string {
  const [key] = [...model.parameters].find(([, parameter]) => parameter === model.embedding)!;
  return key.slice(0, -'.weight'.length);
}

/**
 * Puts a PEFT LoRA adapter folder on a model: LoRA, rsLoRA, DoRA, PiSSA, OLoRA, ranks by layer, embeddings and head,
 * biases, modules saved as a whole, trained tokens. Throws UserError for an adapter of another model and for one that
 * asks for anything else; the model is then as it was.
 */
export function readLoraAdapter(folder: string, model: LanguageModel): LoraAdapter {
  const config = readLoraConfig(folder, model);
  return noGrad(() => new Reading(folder, model, config).read());
}

/** One adapter on its way from the file to the model. */
class Reading {
  readonly #changes: Change[] = [];
  readonly #layers: string[] = [];
  readonly #embedding: string;
  readonly #head: string;

  constructor(
    readonly folder: string,
    readonly model: LanguageModel,
    readonly config: LoraSettings,
  ) {
    this.#embedding = embeddingName(model);
    this.#head = headName(model);
  }

  read(): LoraAdapter {
    const added = new Map<string, LowRank>();
    try {
      scope(() => {
        const { parts, whole, tokens } = this.#sorted(this.#stored());
        this.#checkLayers(parts);
        for (const [name, rows] of tokens) this.#setTokens(name, rows);
        for (const [name, value] of whole) this.#replace(name, value);
        for (const [name, layer] of parts) {
          this.#layers.push(name);
          if (name === this.#embedding) this.#addToEmbedding(layer, this.config.scaleOf(name));
          else {
            const addition = this.#addition(name, layer);
            if (addition) added.set(name, addition);
          }
        }
      });
      return new LoraAdapter(this.model, this.#layers, added, this.#changes);
    } catch (error) {
      for (const { a, b, bias } of added.values()) for (const one of [a, b, bias]) one?.dispose();
      for (const { undo } of this.#changes.reverse()) undo();
      throw error;
    }
  }

  /** The file's tensors in float32 on the model's device, by the model's names. */
  #stored(): Map<string, Tensor> {
    const file = openAdapterWeights(this.folder);
    try {
      return new Map(
        [...file.tensors].map(([key, { load }]) => {
          if (!key.startsWith('base_model.model.')) throw this.#error(`${key} is no name that PEFT gives`);
          const value = load().float().clone().toDevice(this.model.embedding.device);
          return [key.slice('base_model.model.'.length).replace('.base_layer.', '.'), value];
        }),
      );
    } finally {
      file.close();
    }
  }

  #sorted(stored: ReadonlyMap<string, Tensor>) {
    const parts = new Map<string, LayerParts>();
    const whole = new Map<string, Tensor>();
    const tokens = new Map<string, Tensor>();
    for (const [key, value] of stored) {
      const low =
        /^(.*)\.(?:lora_(?:embedding_)?([AB])(?:\.(weight|bias))?|(lora_magnitude_vector)(?:\.weight)?)$/.exec(key);
      const trained = /^(.*)\.token_adapter\.trainable_tokens_delta$/.exec(key);
      if (low) {
        const layer = parts.get(low[1]!) ?? {};
        parts.set(low[1]!, layer);
        if (low[4]) layer.magnitude = value;
        else if (low[3] === 'bias') layer.bias = value;
        else layer[low[2] === 'A' ? 'a' : 'b'] = value;
      } else if (trained) tokens.set(trained[1]!, value);
      else if (this.#explains(key)) whole.set(key, value);
      else if (this.#holds(key)) throw this.#error(`${key} is no part of what the configuration asks for`);
      else throw this.#error(`the model has no layer for ${key}`);
    }
    return { parts, whole, tokens };
  }

  /** Whether the configuration says that this parameter of the model is saved as a whole. */
  #explains(key: string): boolean {
    const module = key.slice(0, key.lastIndexOf('.'));
    if (!this.#holds(key)) return false;
    if (this.config.isSaved(module)) return true;
    // PEFT saves the embedding and the head, too, where the adapter adds to them, and a head that it ties to a saved
    // embedding.
    if (module === this.#embedding) return this.config.isTarget(module);
    if (module === this.#head)
      return (
        this.config.isTarget(module) ||
        (this.config.ensure_weight_tying === true && this.config.isSaved(this.#embedding))
      );
    return (
      key.endsWith('.bias') &&
      (this.config.bias === 'all' || (this.config.bias !== 'none' && this.config.isTarget(module)))
    );
  }

  #holds(key: string): boolean {
    return this.model.parameters.has(key) || key === `${this.#head}.weight`;
  }

  /**
   * Every layer of the file is in the model and meant by the configuration, and the other way round; halves are whole.
   */
  #checkLayers(parts: ReadonlyMap<string, LayerParts>): void {
    const { model, config } = this;
    const modules = [...model.linears.keys(), this.#head, this.#embedding];
    const lacking = [...parts.keys()].filter((name) => !modules.includes(name));
    if (lacking.length > 0)
      throw this.#error(`the model has no layer for ${listed(lacking)}: the adapter was trained for another model`);
    const surplus = [...parts.keys()].filter((name) => !config.isTarget(name));
    if (surplus.length > 0)
      throw this.#error(`it holds ${listed(surplus)}, which target_modules of its configuration leaves out`);
    const missing = modules.filter((name) => config.isTarget(name) && !parts.has(name));
    if (missing.length > 0) throw this.#error(`its configuration names ${listed(missing)}, for which it holds nothing`);
    for (const [name, { a, b, bias, magnitude }] of parts) {
      const rank = config.rankOf(name);
      const isEmbedding = name === this.#embedding;
      const [outputs, inputs] = (isEmbedding ? model.embedding : linearOf(model, name)!.weight).shape as [
        number,
        number,
      ];
      const place = `base_model.model.${name}`;
      const infix = isEmbedding ? 'embedding_' : '';
      // An embedding's table is [inputs V, outputs E], and its additions are stored the other way round.
      const wanted: [string, Tensor | undefined, number[]][] = [
        [`lora_${infix}A`, a, isEmbedding ? [rank, outputs] : [rank, inputs]],
        [`lora_${infix}B`, b, isEmbedding ? [inputs, rank] : [outputs, rank]],
      ];
      if (config.lora_bias && !isEmbedding) wanted.push(['lora_B.bias', bias, [outputs]]);
      else if (bias) throw this.#error(`${place} has a bias, and lora_bias is not set`);
      if (config.use_dora) wanted.push(['lora_magnitude_vector', magnitude, [outputs]]);
      else if (magnitude) throw this.#error(`${place} has a lora_magnitude_vector, and use_dora is not set`);
      for (const [key, value, shape] of wanted) {
        if (!value) throw this.#error(`${place}.${key} is missing`);
        if (value.shape.length !== shape.length || value.shape.some((side, i) => side !== shape[i]))
          throw this.#error(
            `${place}.${key} has shape [${value.shape}], the model needs [${shape}]: it was trained for another model`,
          );
      }
    }
  }

  /** A linear layer's addition; undefined where it went into the layer's own weight. */
  #addition(name: string, { a, b, bias, magnitude }: LayerParts): LowRank | undefined {
    const { config } = this;
    const scale = config.scaleOf(name);
    let { weight } = linearOf(this.model, name)!;
    if (config.residual !== 'none' || magnitude) {
      if (name === this.#head) weight = this.#headOfItsOwn();
      this.#remember(weight);
    }
    if (config.residual !== 'none') {
      const start = startOf(weight.float(), config.residual, config.rankOf(name), scale);
      weight.copy_(weight.float().sub(start));
    }
    if (!magnitude) return { a: keep(a!), b: keep(b!), scale, ...(bias && { bias: keep(bias) }) };
    // DoRA (Liu et al. 2024): rows of W + scale B A at the length that was learned.
    const sum = weight.float().add(b!.matmul(a!), scale);
    weight.copy_(sum.mul(magnitude.div(sum.norm(1)).unsqueeze(1)));
    return undefined;
  }

  #addToEmbedding({ a, b }: LayerParts, scale: number): void {
    if (this.config.use_dora) throw this.#error('use_dora on an embedding is not supported');
    if (this.config.residual !== 'none') throw this.#error('PiSSA or OLoRA on an embedding is not supported');
    this.#onlyDecoders('an addition to the embedding');
    // PEFT leaves a tied head as it was, unless the configuration ties the two again.
    if (isTied(this.model) && !this.config.ensure_weight_tying) this.#headOfItsOwn();
    const { embedding } = this.model;
    this.#remember(embedding);
    embedding.add_(b!.matmul(a!).transpose(0, 1).to(embedding.dtype), scale);
  }

  /** Rows of the embedding (and of a head that is tied to it) that were trained. */
  #setTokens(name: string, rows: Tensor): void {
    const { trainable_token_indices: asked } = this.config;
    if (!asked) throw this.#error(`${name} has trained tokens, and trainable_token_indices is not set`);
    const isEmbedding = name === this.#embedding;
    if (!isEmbedding && name !== this.#head) throw this.#error(`the model has no embedding ${name} for trained tokens`);
    const key = Array.isArray(asked) ? '' : Object.keys(asked).find((one) => name === one || name.endsWith(`.${one}`));
    const ids = Array.isArray(asked) ? asked : key === undefined ? undefined : asked[key];
    if (!ids) throw this.#error(`trainable_token_indices does not name ${name}`);
    this.#onlyDecoders('trained tokens');
    const both = !Array.isArray(asked) && Object.keys(asked).length > 1 && isTied(this.model);
    if (both && new Set(Object.values(asked).map(String)).size > 1)
      throw this.#error('trainable_token_indices differ between the embedding and the head that is tied to it');
    const table = isEmbedding ? this.model.embedding : this.model.head.weight;
    const [count, width] = table.shape as [number, number];
    if (
      rows.shape.length !== 2 ||
      rows.size(0) !== ids.length ||
      rows.size(1) !== width ||
      ids.some((id) => id >= count)
    )
      throw this.#error(
        `${name}: ${ids.length} trained tokens of shape [${rows.shape}] do not fit a table of shape [${table.shape}]`,
      );
    this.#remember(table);
    table.indexCopy_(0, tensor(BigInt64Array.from(ids, BigInt)).toDevice(table.device), rows.to(table.dtype));
    this.#layers.push(name);
  }

  /** A parameter that the file holds as a whole. */
  #replace(key: string, value: Tensor): void {
    const module = key.slice(0, key.lastIndexOf('.'));
    if (module === this.#embedding) this.#onlyDecoders('a saved embedding');
    const isOfTied = module === this.#head || module === this.#embedding;
    if (isOfTied && isTied(this.model) && !this.config.ensure_weight_tying) this.#headOfItsOwn();
    const parameter = module === this.#head ? this.model.head.weight : this.model.parameters.get(key)!;
    if (value.shape.length !== parameter.shape.length || value.shape.some((side, i) => side !== parameter.shape[i]))
      throw this.#error(`${key} has shape [${value.shape}], the model's is [${parameter.shape}]`);
    this.#remember(parameter);
    parameter.copy_(value);
    this.#layers.push(module);
  }

  /** T5 has its table under several names, of which PEFT changes one: what comes out depends on which. */
  #onlyDecoders(what: string): void {
    if (this.model.kind !== 'decoder-only') throw this.#error(`${what} is supported for decoder-only models`);
  }

  /** The head's matrix, no longer the embedding's where it was. */
  #headOfItsOwn(): Tensor {
    if (isTied(this.model)) this.#changes.push({ undo: untieHead(this.model) });
    return this.model.head.weight;
  }

  #remember(parameter: Tensor): void {
    const before = keep(parameter.clone());
    const forget = () => before.dispose();
    const undo = () => {
      noGrad(() => parameter.copy_(before));
      forget();
    };
    this.#changes.push({ undo, forget });
  }

  #error(what: string): UserError {
    return new UserError(`${this.folder}: ${what}`);
  }
}

/** scale B A as PiSSA (Meng et al. 2024) and OLoRA (Büyükakyüz 2024) start: what they took out of the weight [O, I]. */
function startOf(weight: Tensor, kind: 'pissa' | 'olora', rank: number, scale: number): Tensor {
  if (kind === 'olora') {
    const [q, r] = call('aten::linalg_qr', weight, 'reduced') as [Tensor, Tensor];
    return q
      .narrow(1, 0, rank)
      .matmul(r.narrow(0, 0, rank))
      .mul(scale);
  }
  // The part of the weight of this rank that holds most of it; PEFT divides it by the scale that it multiplies by.
  const [u, s, v] = call('aten::linalg_svd', weight, false) as [Tensor, Tensor, Tensor];
  return u
    .narrow(1, 0, rank)
    .mul(s.narrow(0, 0, rank))
    .matmul(v.narrow(0, 0, rank));
}

function listed(names: readonly string[]): string {
  return names.length <= 4 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;
}
