// A family of decoder-only models as a table: which keys of config.json it has and what they mean (DecoderSpec).
import { z } from 'zod';
import { UserError } from '../../base/errors.js';
import { Decoder } from '../decoder/decoder.js';
import type { DecoderSpec, LayerSpec, RotarySpec } from '../decoder/spec.js';
import { checkIds, parseConfig } from './config-keys.js';
import type { Family } from './family.js';
import type { GgufTable } from './gguf-table.js';
import { type RotaryKeys, rotaryKeys, rotaryOf } from './rotary.js';

/** The keys of config.json that all of these families have, with Transformers' defaults. */
const commonKeys = {
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().nullish(),
  head_dim: z.int().positive().nullish(),
  max_position_embeddings: z.int().positive().nullish(),
  rms_norm_eps: z.number().positive().default(1e-6),
  // The same function under its two names.
  hidden_act: z.enum(['silu', 'swish']).default('silu'),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: rotaryKeys.nullish(),
  rope_parameters: rotaryKeys
    .extend({ full_attention: rotaryKeys.nullish(), sliding_attention: rotaryKeys.nullish() })
    .nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  initializer_range: z.number().nonnegative().default(0.02),
  pad_token_id: z.int().nullish(),
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
};

/** `layer_types` of families that have windows. */
export const layerTypes = z.array(z.enum(['full_attention', 'sliding_attention'])).nullish();

type Parsed<K extends z.ZodRawShape> = z.infer<z.ZodObject<Omit<typeof commonKeys, keyof K> & K>>;
type CommonConfig = z.infer<z.ZodObject<typeof commonKeys>>;

/** What a family has its own way of rotary positions. */
interface RotaryWay {
  /**
   * Which layers' positions: files that tell them apart keep them under this name, and scale those of `full_attention`
   * alone.
   */
  readonly layerType?: 'full_attention' | 'sliding_attention';
  /** Where the file has none. Default 10,000. */
  readonly base?: number | null | undefined;
  readonly planes?: RotarySpec['planes'];
  /** Whether a part of a head may go without. */
  readonly partial?: boolean;
  /** In place of the file's keys. */
  readonly keys?: RotaryKeys;
}

/** What a table makes its layers of. */
export interface LayerHelp {
  readonly place: string;
  rotary(way?: RotaryWay): RotarySpec;
  /** One layer after the other. */
  layers(make: (index: number) => LayerSpec): LayerSpec[];
  /**
   * For each layer, whether it has a window: as `layer_types` say, or what stands for them in a file without. Throws
   * UserError where there are not as many types as layers.
   */
  windowed(types: readonly string[] | null | undefined, otherwise: (index: number) => boolean): boolean[];
}

/** A family that a table makes. */
export interface DecoderFamily extends Family {
  /** The specification, and config.json with all that is known (but whether the head is tied). */
  read(
    config: Readonly<Record<string, unknown>>,
    place: string,
  ): { spec: DecoderSpec; config: Readonly<Record<string, unknown>> };
}

/** A family as a table. */
export interface DecoderTable<K extends z.ZodRawShape> {
  /** config.json's `model_type`. */
  readonly name: string;
  /** The class in Transformers. */
  readonly architecture: string;
  /** The keys that the family has beside the common ones, or with other defaults. */
  readonly keys: K;
  /** In what the model differs from a plain Llama without biases. */
  spec(config: Parsed<K>, help: LayerHelp): Partial<DecoderSpec>;
  readonly gguf?: GgufTable;
}

/**
 * Makes a family of its table.
 *
 * @example
 * export const qwen3 = decoderFamily({
 *   name: 'qwen3', architecture: 'Qwen3ForCausalLM',
 *   keys: { head_dim: z.int().positive().default(128) },
 *   spec: () => ({ queryKeyNorm: 'head' }),
 * });
 */
export function decoderFamily<K extends z.ZodRawShape>(table: DecoderTable<K>): DecoderFamily {
  const schema = z.looseObject({ ...commonKeys, ...table.keys });
  const family: DecoderFamily = {
    name: table.name,
    kind: 'decoder-only',
    architecture: table.architecture,
    gguf: table.gguf,
    read(raw, place) {
      const config = parseConfig(schema, raw, place);
      checkIds(config as CommonConfig, ['eos_token_id'], place);
      const common = config as CommonConfig;
      const facts = helpOf(common, place);
      const own = table.spec(config as unknown as Parsed<K>, facts);
      const spec = { ...plain(common, own.layers ?? alike(facts), place), ...own };
      const written = {
        ...config,
        ...(spec.padding !== common.pad_token_id && common.pad_token_id !== undefined && { pad_token_id: null }),
        model_type: table.name,
        architectures: [table.architecture],
      };
      return { spec, config: written };
    },
    build(raw, weights, place) {
      const { spec, config } = family.read(raw, place);
      return new Decoder(spec, weights, {
        family: table.name,
        config: (tied) => ({ ...config, tie_word_embeddings: tied }),
      });
    },
  };
  return family;
}

/** Layers without a window, with the file's rotary positions. */
function alike({ layers, rotary }: LayerHelp): LayerSpec[] {
  const every = { window: Infinity, rotary: rotary() };
  return layers(() => every);
}

/** A plain Llama of these sizes. */
function plain(config: CommonConfig, layers: readonly LayerSpec[], place: string): DecoderSpec {
  const { num_attention_heads: heads, vocab_size: vocabularySize } = config;
  const keyHeads = config.num_key_value_heads ?? heads;
  if (heads % keyHeads !== 0)
    throw new UserError(`${place}: num_key_value_heads ${keyHeads} does not divide num_attention_heads ${heads}`);
  const headWidth = headWidthOf(config);
  const endOfSequence = [config.eos_token_id ?? []].flat();
  // Nothing looks at padding: any id that has a row will do, and one without (old files have -1) is as good as none.
  const given = config.pad_token_id;
  const hasRow = typeof given === 'number' && given >= 0 && given < vocabularySize;
  return {
    vocabularySize,
    width: config.hidden_size,
    inner: config.intermediate_size,
    heads,
    keyHeads,
    headWidth,
    layers,
    positions: config.max_position_embeddings ?? undefined,
    norms: 'before',
    normEpsilon: config.rms_norm_eps,
    normOffset: 0,
    queryKeyNorm: 'none',
    activation: 'silu',
    biases: { input: false, output: false, feedForward: false },
    fused: false,
    scoreScale: headWidth ** -0.5,
    embeddingScale: 1,
    inputScale: 1,
    residualScale: 1,
    logitScale: 1,
    tied: config.tie_word_embeddings ?? false,
    initialDeviation: config.initializer_range,
    endOfSequence,
    padding: hasRow ? given : (endOfSequence[0] ?? 0),
  };
}

function headWidthOf({ head_dim, hidden_size, num_attention_heads }: CommonConfig): number {
  return head_dim ?? hidden_size / num_attention_heads;
}

function helpOf(config: CommonConfig, place: string): LayerHelp {
  const count = config.num_hidden_layers;
  return {
    place,
    rotary({ layerType, base, planes, partial, keys } = {}) {
      const { full_attention, sliding_attention, ...flat } = config.rope_parameters ?? {};
      const typed = { full_attention, sliding_attention };
      const scaling = config.rope_scaling ?? {};
      const found = layerType
        ? { ...(layerType === 'full_attention' && scaling), ...typed[layerType] }
        : // Transformers 5 writes rope_parameters; before it was rope_theta and rope_scaling.
          {
            ...scaling,
            ...flat,
            ...(full_attention && { full_attention }),
            ...(sliding_attention && { sliding_attention }),
          };
      return rotaryOf(keys ?? found, {
        headWidth: headWidthOf(config),
        positions: config.max_position_embeddings ?? undefined,
        base: (layerType ? undefined : config.rope_theta) ?? base ?? 10_000,
        ...(planes && { planes }),
        ...(partial && { partial }),
        place,
      });
    },
    layers: (make) => Array.from({ length: count }, (_, i) => make(i)),
    windowed(types, otherwise) {
      if (types && types.length !== count)
        throw new UserError(`${place}: layer_types names ${types.length} layers, num_hidden_layers is ${count}`);
      return Array.from({ length: count }, (_, i) => (types ? types[i] === 'sliding_attention' : otherwise(i)));
    },
  };
}
