import { describe, expect, it } from 'vitest';
import { formatProfile, inModule, randn, scope, startProfile } from './index.js';

describe('startProfile', () => {
  it('counts operators of the forward and the backward pass, and no more after it was stopped', () =>
    scope(() => {
      const x = randn([20, 30], 1);
      const w = randn([40, 30], 2);
      w.requiresGrad = true;
      const stop = startProfile();
      for (let i = 0; i < 3; i++) x.matmul(w.transpose(0, 1)).sum().backward();
      const found = stop();
      x.matmul(w.transpose(0, 1));
      const calls = (name: string) => found.operators.find((o) => o.name === name)?.calls;
      // One product forward; backward only one more: x needs no gradient.
      expect(calls('aten::mm')).toBe(6);
      const sum = found.operators.reduce((total, o) => total + o.seconds, 0);
      expect(sum).toBeGreaterThan(0);
      expect(sum).toBeLessThanOrEqual(found.seconds);
      expect(formatProfile(found)).toMatch(/ 6 {2}aten::mm\n/);
    }));

  it('counts a backward pass for the module of its forward pass', () =>
    scope(() => {
      const x = randn([20, 30], 1);
      const [v, w] = [randn([30, 40], 2), randn([40, 5], 3)];
      for (const weight of [v, w]) weight.requiresGrad = true;
      const stop = startProfile();
      const y = inModule('first', () => x.matmul(v));
      const z = inModule('second', () => inModule('inner', () => y.exp()).matmul(w));
      z.sum().backward();
      const { modules, operators } = stop();
      const callsOf = new Map(modules.map(({ name, calls }) => [name, calls]));
      expect([...callsOf.keys()].sort()).toEqual(['first', 'inner', 'other', 'second']);
      // Forward and backward: exp and its gradient, a product; a matrix product and its two; a matrix product and one.
      const products = operators.find(({ name }) => name === 'aten::mm')!.calls;
      expect(products).toBe(5);
      expect(callsOf.get('inner')).toBeGreaterThanOrEqual(3);
      expect(callsOf.get('second')).toBeGreaterThan(callsOf.get('first')!);
      expect(modules.reduce((n, { calls }) => n + calls, 0)).toBe(operators.reduce((n, { calls }) => n + calls, 0));
    }));

  it('tells shapes apart where asked', () =>
    scope(() => {
      const stop = startProfile({ shapes: true });
      randn([20, 30], 1).matmul(randn([30, 5], 1));
      randn([20, 30], 1).matmul(randn([30, 7], 1));
      const names = stop().operators.map((o) => o.name);
      expect(names).toContain('aten::mm [20x30],[30x5]');
      expect(names).toContain('aten::mm [20x30],[30x7]');
    }));

  it('refuses a second one, and works again after an operator failed', () =>
    scope(() => {
      const stop = startProfile();
      expect(() => startProfile()).toThrow('runs already');
      expect(() => randn([2, 3], 1).matmul(randn([2, 3], 1))).toThrow();
      stop();
      expect(() => stop()).toThrow('no profile');
      const again = startProfile();
      randn([2, 3], 1).exp();
      expect(again().operators.map((o) => o.name)).toContain('aten::exp');
    }));
});
