// The gated feed-forward of a decoder's layer: down(act(gate x) * up x).
// Shapes: B batch, L sequence length, E width, F inner width.
import { gated, Linear, scope, type Tensor } from '@promot/torch';
import type { LinearPlace } from '../linear-place.js';
import type { Weights } from '../weights.js';
import type { DecoderSpec } from './spec.js';

export class FeedForward {
  /** One layer each, or one of both. */
  readonly #inputs: readonly Linear[];
  readonly #down: Linear;
  readonly #activation: DecoderSpec['activation'];

  constructor(spec: DecoderSpec, weights: Weights, name: string, place: Omit<LinearPlace, 'parts'>) {
    const { width, inner, initialDeviation: std } = spec;
    const bias = spec.biases.feedForward;
    const parts = [
      { role: 'gate', rows: inner },
      { role: 'up', rows: inner },
    ] as const;
    const linear = (of: string, of_: LinearPlace['parts']) =>
      weights.linear(`${name}.${of}`, width, { ...place, parts: of_ }, std, bias);
    this.#inputs = spec.fused
      ? [linear('gate_up_proj', parts)]
      : parts.map((part) => linear(`${part.role}_proj`, [part]));
    const down: LinearPlace = { ...place, parts: [{ role: 'down', rows: width }] };
    this.#down = weights.linear(`${name}.down_proj`, inner, down, std, bias);
    this.#activation = spec.activation;
  }

  /** [B, L, E] -> [B, L, E] */
  forward(x: Tensor): Tensor {
    return scope(() => {
      const projected = Linear.together(this.#inputs, x);
      const [gate, up] = (projected.length === 2 ? projected : projected[0]!.split(projected[0]!.size(2) / 2, 2)) as [
        Tensor,
        Tensor,
      ];
      return this.#down.forward(gated(gate, up, this.#activation));
    });
  }
}
