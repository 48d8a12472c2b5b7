// The families of models that promot loads: a line each. How to add one: CONTRIBUTING.md.
import { nearestNames } from '../../base/nearest-name.js';
import { Registry } from '../../base/registry.js';
import { ernie4_5 } from './ernie4-5.js';
import { exaone4 } from './exaone4.js';
import type { Family } from './family.js';
import { gemma2 } from './gemma2.js';
import { gemma3 } from './gemma3.js';
import { granite } from './granite.js';
import { llama } from './llama.js';
import { mistral } from './mistral.js';
import { olmo2, olmo3 } from './olmo.js';
import { phi3 } from './phi3.js';
import { qwen2, qwen3 } from './qwen2.js';
import { smollm3 } from './smollm3.js';
import { mt5, t5 } from './t5.js';
import { t5gemma2 } from './t5gemma2.js';

export const families = new Registry<Family>('model family', [
  t5,
  mt5,
  t5gemma2,
  llama,
  mistral,
  qwen2,
  qwen3,
  gemma2,
  gemma3,
  smollm3,
  olmo2,
  olmo3,
  granite,
  exaone4,
  ernie4_5,
  phi3,
]);

/** For messages about a family that promot does not have: the nearest names, and all. */
export function familiesNear(name: string, all: readonly string[] = families.names()): string {
  const near = nearestNames(name, all);
  return `${near.length > 0 ? `nearest: ${near.join(', ')}; ` : ''}promot has ${all.join(', ')}`;
}
