import { describe, expect, test } from 'vitest';
import { expectSameBits } from '../test/threads.js';
import { type DType, grad, noGrad, plainRmsNorm, randn, rmsNorm, scope, type Tensor } from './index.js';

const farthest = (a: Tensor, b: Tensor) => a.float().sub(b.float()).abs().amax().item();

describe('rmsNorm is the plain formula', () => {
  // Widths that are and are not a multiple of the kernel's lanes; more rows than one of its sums goes over; a single
  // row.
  const shapes = [[3, 5, 24], [2, 37], [70, 33], [1, 8], [7], [4, 576]];
  const cases = shapes.flatMap((shape) =>
    ([0, 1] as const).flatMap((offset) =>
      (['float32', 'bfloat16'] as const).map((dtype) => ({ shape, offset, dtype })),
    ),
  );
  test.each(cases)('in value and gradients: $shape, offset $offset, $dtype', ({ shape, offset, dtype }) => {
    scope(() => {
      const make = (sides: number[], seed: number, as: DType) => randn(sides, seed).to(as).detach();
      const x = make(shape, 1, dtype).mul(3).detach();
      const weight = make([shape.at(-1)!], 2, dtype);
      const g = make(shape, 3, dtype);
      x.requiresGrad = true;
      weight.requiresGrad = true;
      // The plain formula's gradients in bf16 round at each of its steps: it is compared with itself in float32.
      const [wideX, wideWeight] = [x, weight].map((t) => t.detach().float()) as [Tensor, Tensor];
      wideX.requiresGrad = true;
      wideWeight.requiresGrad = true;
      const y = rmsNorm(x, weight, 1e-6, offset);
      const wanted = plainRmsNorm(wideX, wideWeight, 1e-6, offset);
      const [dx, dw] = grad([y], [x, weight], { gradients: [g] }) as [Tensor, Tensor];
      const [wantedDx, wantedDw] = grad([wanted], [wideX, wideWeight], { gradients: [g.float()] }) as [Tensor, Tensor];
      expect([y.dtype, dx.dtype, dw.dtype]).toEqual([dtype, dtype, dtype]);
      const tolerance = dtype === 'float32' ? 2e-6 : 0.01;
      for (const [found, right] of [
        [y, wanted],
        [dx, wantedDx],
        [dw, wantedDw],
      ] as const)
        expect(farthest(found, right) / Math.max(1, right.abs().amax().item())).toBeLessThan(tolerance);
      // Values round as the plain formula's do: at most a few lie on the other side of a middle.
      const same = plainRmsNorm(x, weight, 1e-6, offset);
      expect(farthest(y, same)).toBeLessThanOrEqual(tolerance * same.float().abs().amax().item());
    });
  });

  test('with a frozen weight, without gradients, of a transposed x, of no rows', () => {
    scope(() => {
      const weight = randn([6], 2);
      const x = randn([6, 4], 1).transpose(0, 1);
      const leaf = x.detach();
      leaf.requiresGrad = true;
      const g = randn([4, 6], 3);
      const [found] = grad([rmsNorm(leaf, weight, 1e-5)], [leaf], { gradients: [g] });
      const [wanted] = grad([plainRmsNorm(leaf, weight, 1e-5)], [leaf], { gradients: [g] });
      expect(farthest(found!, wanted!)).toBeLessThan(2e-6);
      noGrad(() => expect(farthest(rmsNorm(x, weight, 1e-5), plainRmsNorm(x, weight, 1e-5))).toBeLessThan(2e-6));
      expect(rmsNorm(randn([0, 6], 1), weight, 1e-5).shape).toEqual([0, 6]);
    });
  });

  test('gives the same bits with any number of threads', () => {
    expectSameBits(() => {
      const [x, weight] = [randn([500, 40], 1), randn([40], 2)];
      for (const leaf of [x, weight]) leaf.requiresGrad = true;
      return grad([rmsNorm(x, weight, 1e-6)], [x, weight], { gradients: [randn([500, 40], 3)] }) as Tensor[];
    });
  });
});
