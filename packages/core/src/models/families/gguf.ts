// A GGUF file of a known family as a Hugging Face checkpoint: config.json's keys, Transformers' tensor names and
// layout.
import { statSync } from 'node:fs';
import { keep, mapFile, scope, type Tensor } from '@promot/torch';
import { UserError } from '../../base/errors.js';
import { dequantize } from '../../formats/dequantize.js';
import { type GgufFile, type GgufMetadata, type GgufTensor, type GgufValue, readGguf } from '../../formats/gguf.js';
import { endTokens } from '../../formats/gguf-ends.js';
import type { CheckpointTensor } from '../checkpoint.js';
import type { GgufConfig, GgufTable } from './gguf-table.js';
import { families, familiesNear } from './index.js';

/** A GGUF file seen as a Hugging Face checkpoint. */
interface GgufCheckpoint {
  /** What config.json would say. */
  config: Record<string, unknown>;
  /** By Hugging Face names, such as `model.layers.0.self_attn.q_proj.weight`; read, they are float32 on the CPU. */
  tensors: ReadonlyMap<string, CheckpointTensor>;
  metadata: GgufMetadata;
  /** Lets go of the file; tensors already read stay valid. */
  close(): void;
}

const TOP_NAMES: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};

const LAYER_NAMES: Readonly<Record<string, string>> = {
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_qkv: 'self_attn.qkv_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  attn_output: 'self_attn.o_proj',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

/** Names of norms depend on whether there are norms behind attention and feed-forward, too. */
const NORM_NAMES = {
  before: { attn_norm: 'input_layernorm', ffn_norm: 'post_attention_layernorm' },
  behind: {
    attn_norm: 'input_layernorm',
    post_attention_norm: 'post_attention_layernorm',
    ffn_norm: 'pre_feedforward_layernorm',
    post_ffw_norm: 'post_feedforward_layernorm',
  },
} as const satisfies Record<string, Readonly<Record<string, string>>>;
type Norms = keyof typeof NORM_NAMES;

/** Factors of Llama 3's rotary frequencies, and LongRoPE's two lists of them; not weights of the model. */
const ROPE_FACTORS = 'rope_freqs.weight';
const LONG_FACTORS = 'rope_factors_long.weight';
const SHORT_FACTORS = 'rope_factors_short.weight';

/**
 * Opens a GGUF file. Tensors are read one at a time, when asked for.
 * Throws a UserError for a damaged file, an architecture of no family of `families`, and a tensor that no family has.
 */
export function openGguf(path: string): GgufCheckpoint {
  const file = readGguf(path);
  const { name: family, architecture, table } = familyOf(file);
  const config = configOf(file, family, architecture, table);
  const heads = { q: config.num_attention_heads as number, k: config.num_key_value_heads as number };
  const norms = file.tensors.some(({ name }) => name === 'blk.0.post_ffw_norm.weight') ? 'behind' : 'before';
  const fused = file.tensors.some(({ name }) => name === 'blk.0.attn_qkv.weight');
  const tensors = new Map<string, CheckpointTensor>();
  const pages = new Pages(path);
  const has = (tensor: string) => file.tensors.some(({ name }) => name === tensor);
  for (const tensor of file.tensors) {
    if ([ROPE_FACTORS, LONG_FACTORS, SHORT_FACTORS].includes(tensor.name)) continue;
    const name = table.own ? table.own.tensorName(tensor.name, { has }) : huggingFaceName(tensor.name, norms, fused);
    if (name === undefined) {
      throw new UserError(`${path}: the tensor "${tensor.name}" belongs to a model that is not supported.`);
    }
    const rotary = table.permutesRotary ? /\.attn_([qk])\./.exec(tensor.name)?.[1] : undefined;
    const isNorm = /norm\.weight$/.test(tensor.name);
    tensors.set(name, {
      shape: tensor.shape,
      isOwn: true,
      load: () =>
        scope(() => {
          const values = pages.read(tensor);
          if (isNorm && table.normsAreOneMore) return values.sub(1);
          return rotary === undefined ? values : unpermuteRotary(values, heads[rotary as 'q' | 'k']);
        }),
    });
  }
  return { config, tensors, metadata: file.metadata, close: () => pages.close() };
}

function familyOf({ path, metadata, tensors }: GgufFile): { name: string; architecture: string; table: GgufTable } {
  const known = families
    .all()
    .flatMap(({ name, architecture, gguf: table }) => (table ? [{ name, architecture, table }] : []));
  const wanted = metadata.get('general.architecture');
  const get = (key: string) => metadata.get(`${String(wanted)}.${key}`);
  const has = (tensor: string) => tensors.some(({ name }) => name === tensor);
  const found = known.find(({ table }) => table.architecture === wanted && (table.matches?.({ get, has }) ?? true));
  if (found) return found;
  const names = known.map(({ table }) => table.architecture);
  throw new UserError(
    `${path} holds a model of the architecture ${JSON.stringify(wanted)}; ${familiesNear(String(wanted), names)}.`,
  );
}

/** The Hugging Face name of a GGUF tensor; undefined for one that no family has. */
export function huggingFaceName(name: string, norms: Norms = 'before', fused = false): string | undefined {
  const layer = /^blk\.(\d+)\.([a-z_]+)\.(weight|bias)$/.exec(name);
  if (layer) {
    const of = layer[2]!;
    const names: Readonly<Record<string, string>> = { ...LAYER_NAMES, ...NORM_NAMES[norms] };
    // Where query, key and value are one matrix, so are gate and up.
    const part = fused && of === 'ffn_up' ? 'mlp.gate_up_proj' : names[of];
    return part && `model.layers.${layer[1]}.${part}.${layer[3]}`;
  }
  const top = /^([a-z_]+)\.weight$/.exec(name);
  const part = top ? TOP_NAMES[top[1]!] : undefined;
  return part && `${part}.weight`;
}

/** A file whose tensors are read over its own pages, from the first that is asked for until it is closed. */
class Pages {
  #bytes: Tensor | undefined;
  constructor(readonly path: string) {}

  /** The tensor's numbers: float32 on the CPU, in memory of their own. */
  read({ type, shape, byteOffset, byteLength }: GgufTensor): Tensor {
    this.#bytes ??= keep(mapFile(this.path, statSync(this.path).size));
    if (this.#bytes.numel < byteOffset + byteLength)
      throw new UserError(`${this.path} became shorter while it was read.`);
    return scope(() => {
      const bytes = this.#bytes!.narrow(0, byteOffset, byteLength);
      return dequantize(type, byteOffset % 2 === 0 ? bytes : bytes.clone(), shape);
    });
  }

  close(): void {
    this.#bytes?.dispose();
    this.#bytes = undefined;
  }
}

/** The numbers of a small tensor. */
function numbersOf(path: string, tensor: GgufTensor): number[] {
  const pages = new Pages(path);
  try {
    return scope(() => pages.read(tensor).toNumbers());
  } finally {
    pages.close();
  }
}

/**
 * Undoes llama.cpp's reordering of query and key rows (LlamaModel.permute in convert_hf_to_gguf.py): within a head its
 * row 2 i + j is Transformers' row j D/2 + i, where D is the head's size and j is 0 or 1.
 *
 * @param values a matrix [rows, columns] or a bias [rows].
 */
function unpermuteRotary(values: Tensor, heads: number): Tensor {
  const pairs = values.view(heads, values.size(0) / heads / 2, 2, values.numel / values.size(0));
  return pairs.transpose(1, 2).reshape(...values.shape);
}

function configOf(file: GgufFile, family: string, className: string, table: GgufTable): Record<string, unknown> {
  const { architecture } = table;
  const read = new Set<string>(harmless);
  const get = (key: string): GgufValue | undefined => {
    read.add(key);
    return file.metadata.get(`${architecture}.${key}`);
  };
  const number = (key: string, fallback?: number): number => {
    const value = get(key) ?? fallback;
    if (typeof value !== 'number' || !(value > 0)) {
      throw new UserError(`${file.path} is damaged: "${architecture}.${key}" is missing or no positive number.`);
    }
    return value;
  };
  const isHead = (key: string, headSize: number) => {
    const size = number(key, headSize);
    if (size !== headSize)
      throw new UserError(`${file.path}: ${architecture}.${key} is ${size}, and a head has ${headSize} numbers`);
  };
  const shapeOf = (name: string) => file.tensors.find((tensor) => tensor.name === name)?.shape;
  const has = (tensor: string) => shapeOf(tensor) !== undefined;
  const embedding = shapeOf('token_embd.weight');
  if (!embedding) throw new UserError(`${file.path} is damaged: it has no token_embd.weight.`);
  const ends = endTokens(file.metadata);
  const ids = (key: string) => file.metadata.get(`tokenizer.ggml.${key}`) ?? null;
  const tokenIds = {
    bos_token_id: ids('bos_token_id'),
    eos_token_id: ends.length > 0 ? ends : ids('eos_token_id'),
    pad_token_id: ids('padding_token_id'),
  };
  const names = { architectures: [className], model_type: family, vocab_size: embedding[0]! };
  if (table.own) {
    const told = Object.entries(tokenIds).filter(([, id]) => id !== null);
    const config = { ...names, ...Object.fromEntries(told), ...table.own.config({ get, number, has }) };
    isHead('attention.value_length', number('attention.key_length'));
    checkAllRead(file, architecture, read);
    return config;
  }
  if (get('expert_count')) throw new UserError(`${file.path} holds a mixture of experts, which is not supported.`);
  const hidden = number('embedding_length');
  const heads = number('attention.head_count');
  const keyHeads = number('attention.head_count_kv', heads);
  const turned = table.turnsPartOfHead ? hidden / heads : number('rope.dimension_count', hidden / heads);
  const headSize = number('attention.key_length', turned);
  isHead('attention.value_length', headSize);
  if (!table.turnsPartOfHead) isHead('rope.dimension_count', headSize);
  const theta = number('rope.freq_base', 10_000);
  const [queries, keys] = [heads * headSize, keyHeads * headSize];
  for (const [name, rows] of [
    ['blk.0.attn_q.weight', queries],
    ['blk.0.attn_k.weight', keys],
    ['blk.0.attn_qkv.weight', queries + 2 * keys],
  ] as const) {
    const shape = shapeOf(name);
    if (shape && shape[0] !== rows) {
      throw new UserError(
        `${file.path} is damaged: ${name} is not of the shape that the metadata gives (${rows} rows).`,
      );
    }
  }
  const scaling = ropeScaling(file, get, headSize, theta);
  const common: GgufConfig = {
    vocab_size: embedding[0]!,
    hidden_size: hidden,
    intermediate_size: number('feed_forward_length'),
    num_hidden_layers: number('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: keyHeads,
    head_dim: headSize,
    max_position_embeddings: number('context_length'),
    rms_norm_eps: number('attention.layer_norm_rms_epsilon'),
    rope_theta: theta,
    rope_scaling: scaling,
    tie_word_embeddings: shapeOf('output.weight') === undefined,
  };
  const config = {
    ...names,
    hidden_act: 'silu',
    ...common,
    ...tokenIds,
    ...table.config?.({ get, number, has, config: common }),
  };
  checkAllRead(file, architecture, read);
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
}

/**
 * Keys of an architecture that change nothing of what a model computes. T5's converter writes the epsilon of its norms
 * under the name of another kind of norm, too.
 */
const harmless = [
  'vocab_size',
  'context_length',
  'tensor_data_layout',
  'rope.scaling.finetuned',
  'pooling_type',
  'attention.layer_norm_epsilon',
];

/**
 * Throws UserError where the file says something of its architecture that nobody read, and that may change what the
 * model computes: as checkKeys does of config.json.
 */
function checkAllRead({ path, metadata }: GgufFile, architecture: string, read: ReadonlySet<string>): void {
  for (const [name, value] of metadata) {
    const key = name.startsWith(`${architecture}.`) ? name.slice(architecture.length + 1) : undefined;
    const isEmpty = key === 'attention.causal' ? value === true : value === 0 || value === false;
    if (key === undefined || read.has(key) || isEmpty) continue;
    throw new UserError(
      `${path}: promot does not know the key ${name} (${String(value).slice(0, 40)}), which may change what the ` +
        "model computes: take the model's Hugging Face folder",
    );
  }
}

/**
 * config.json's `rope_scaling`, out of the metadata (linear, YaRN) or of the tensors of LongRoPE's and Llama 3's
 * factors.
 */
function ropeScaling(
  file: GgufFile,
  get: (key: string) => GgufValue | undefined,
  headSize: number,
  theta: number,
): Record<string, unknown> | null {
  // As llama.cpp reads them: old files have the factor alone.
  const factor = get('rope.scaling.factor') || get('rope.scale_linear') || undefined;
  const type = get('rope.scaling.type') ?? (factor === undefined ? 'none' : 'linear');
  if (type === 'linear') return { rope_type: 'linear', factor: factor ?? 1 };
  const attention = get('rope.scaling.attn_factor');
  const attentionFactor = attention === undefined ? {} : { attention_factor: attention };
  if (type === 'yarn')
    return {
      rope_type: 'yarn',
      factor,
      original_max_position_embeddings: get('rope.scaling.original_context_length'),
      beta_fast: get('rope.scaling.yarn_beta_fast'),
      beta_slow: get('rope.scaling.yarn_beta_slow'),
      ...attentionFactor,
    };
  const [long, short] = [LONG_FACTORS, SHORT_FACTORS].map((name) => file.tensors.find((one) => one.name === name));
  // The converter names the kind for some models and not for Phi's.
  if (long && short && (type === 'none' || type === 'longrope')) {
    const list = (tensor: GgufTensor) => numbersOf(file.path, tensor);
    return { rope_type: 'longrope', short_factor: list(short), long_factor: list(long), ...attentionFactor };
  }
  if (type !== 'none') throw new UserError(`${file.path}: rope scaling of the type ${String(type)} is not supported.`);
  const tensor = file.tensors.find(({ name }) => name === ROPE_FACTORS);
  if (!tensor) return null;
  const factors = numbersOf(file.path, tensor);
  // The converter stores the factors and not the settings that they come from; Llama 3.1 to 3.3 differ in `factor`
  // alone.
  const settings = { factor: Math.max(...factors), low_freq_factor: 1, high_freq_factor: 4 };
  const original = 8192;
  const expected = llama3Factors(headSize, theta, { ...settings, original });
  const isSame = factors.length === expected.length && factors.every((x, i) => Math.abs(x - expected[i]!) < 1e-3 * x);
  if (!isSame) throw new UserError(`${file.path}: its rope_freqs are not Llama 3's and are not supported.`);
  return { rope_type: 'llama3', ...settings, original_max_position_embeddings: original };
}

/** What Llama 3 divides its rotary frequencies by (Transformers' _compute_llama3_parameters), one for each pair. */
function llama3Factors(
  headSize: number,
  theta: number,
  scaling: { factor: number; low_freq_factor: number; high_freq_factor: number; original: number },
): number[] {
  const { factor, low_freq_factor: low, high_freq_factor: high, original } = scaling;
  return Array.from({ length: headSize / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headSize);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
