import { describe, expect, test } from 'vitest';
import { grad, randn, scope, smoothedCrossEntropy, type Tensor, tensor } from './index.js';

/** By libtorch's operators, in float64. */
function plain(logits: Tensor, targets: Tensor, confidence: number, other: number, zLoss: number): Tensor {
  const wide = logits.to('float64');
  const logZ = wide.logsumexp(1);
  const target = wide.gather(1, targets.unsqueeze(1)).squeeze(1);
  return logZ.sub(target, confidence).sub(wide.sum(1).sub(target), other).add(logZ.square(), zLoss);
}

describe('smoothedCrossEntropy is the plain formula in value and gradient', () => {
  // Several pieces of the kernel's; rows longer than one; a single row.
  const shapes = [
    [40, 30_000],
    [3, 300_000],
    [1, 5],
    [7, 33],
  ] as const;
  const cases = shapes.flatMap(([rows, columns]) =>
    [
      [0, 0],
      [0.1, 0],
      [0.1, 1e-3],
    ].flatMap(([smoothing, zLoss]) =>
      (['float32', 'bfloat16'] as const).map((dtype) => ({
        rows,
        columns,
        smoothing: smoothing!,
        zLoss: zLoss!,
        dtype,
      })),
    ),
  );
  test.each(cases)(
    '[$rows, $columns], smoothing $smoothing, z $zLoss, $dtype',
    ({ rows, columns, smoothing, zLoss, dtype }) => {
      scope(() => {
        const logits = randn([rows, columns], 1).mul(3).to(dtype).detach();
        const wide = logits.to('float64');
        const targets = tensor(
          Array.from({ length: rows }, (_, i) => (i * 7919) % columns),
          { dtype: 'int64' },
        );
        const weights = randn([rows], 2);
        logits.requiresGrad = true;
        wide.requiresGrad = true;
        const [confidence, other] = [1 - smoothing, smoothing / (columns - 1)];
        const losses = smoothedCrossEntropy(logits, targets, { confidence, other, zLoss });
        const wanted = plain(wide, targets, confidence, other, zLoss);
        const [gradient] = grad([losses], [logits], { gradients: [weights] }) as [Tensor];
        const [right] = grad([wanted], [wide], { gradients: [weights.to('float64')] }) as [Tensor];
        expect(losses.dtype).toBe('float32');
        expect(gradient.dtype).toBe(dtype);
        const farthest = (a: Tensor, b: Tensor) => a.to('float64').sub(b).abs().amax().item();
        expect(farthest(losses, wanted) / wanted.abs().amax().item()).toBeLessThan(1e-6);
        // bf16 has eight bits.
        expect(farthest(gradient, right)).toBeLessThan(dtype === 'float32' ? 1e-6 : 0.01);
      });
    },
  );
});
