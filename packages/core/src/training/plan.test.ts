// The plan's arithmetic against the memory that small models of the same shapes take.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type PlanInput, planRun, waysOf } from './plan.js';

const child = fileURLToPath(new URL('../../test/plan-child.mjs', import.meta.url));
const common = { vocab_size: 8000, tie_word_embeddings: false };
/** Shapes other than those from which the arithmetic was made. */
const configs: Record<string, Record<string, unknown>> = {
  llama: {
    ...common,
    model_type: 'llama',
    hidden_size: 320,
    intermediate_size: 800,
    num_hidden_layers: 2,
    num_attention_heads: 8,
    num_key_value_heads: 8,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    bos_token_id: 1,
    eos_token_id: 2,
    hidden_act: 'silu',
  },
  t5: {
    ...common,
    model_type: 't5',
    d_model: 320,
    d_kv: 40,
    d_ff: 800,
    num_layers: 2,
    num_heads: 8,
    feed_forward_proj: 'gated-gelu',
  },
};
const input = (config: Record<string, unknown>, more: Partial<PlanInput> = {}): PlanInput => ({
  config,
  place: 'config.json',
  precision: 'fp32',
  optimizer: 'adamw',
  promptRows: 0,
  batchSize: 8,
  microBatchSize: 4,
  inputTokens: 128,
  targetTokens: 64,
  ranks: 1,
  speed: 1e12,
  ...more,
});

describe.skipIf(process.platform !== 'linux').each(Object.keys(configs))('%s', (name) => {
  const config = configs[name]!;
  test('a step of AdamW takes what is planned, with activations kept and checkpointed', () => {
    // Each thread has buffers of its own. What malloc keeps for later is not planned: it gives all back at once here.
    const env = { ...process.env, OMP_NUM_THREADS: '1', MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '65536' };
    const args = [child, JSON.stringify(config), '4', '128', '64'];
    const took = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', env })) as Record<string, number>;
    for (const plan of planRun(input(config), waysOf('model', 1))) {
      expect(plan.parameters).toBe(took.parameters);
      // What the program itself takes depends on the machine.
      const planned = plan.memory.total - 220e6;
      const peak = took[plan.way.checkpointing ? 'checkpointed' : 'kept']!;
      expect(Math.abs(planned / peak - 1), `planned ${planned / 1e6} MB, took ${peak / 1e6} MB`).toBeLessThan(0.1);
    }
  });
});

test('the parameters of models of the paper and of Llama 3.1', () => {
  const shape = { hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32, num_attention_heads: 32 };
  const llama = { ...configs.llama, ...shape, num_key_value_heads: 8, vocab_size: 128_256 };
  const [first, ...others] = planRun(input(llama, { ranks: 8, precision: 'bf16' }), waysOf('model', 8));
  expect(first!.parameters).toBe(8_030_261_248);
  // The smaller a way, the later it comes.
  const totals = [first!, ...others].map(({ memory }) => memory.total);
  expect(totals).toEqual(totals.toSorted((a, b) => b - a));
  const divided = others.at(-1)!.memory;
  expect(divided.weights / first!.memory.weights).toBeCloseTo(1 / 8, 3);
});
