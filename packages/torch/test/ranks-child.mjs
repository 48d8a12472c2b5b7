// One rank of distributed.test.ts: plays the part that is named and prints one line of JSON about it. Runs from dist/.
import { distributed, full, linear, ones, randn, scope, tensor, watchTensors } from '../dist/index.js';
import { playParts, say } from './rank-parts.mjs';

let seconds = 20;
let given = {};
let start = performance.now();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Keeps the JavaScript thread, as a long computation does. */
const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

const parts = {
  // Every collective, for the types that training exchanges.
  async collectives(rank, size) {
    const result = {};
    for (const dtype of ['float32', 'bfloat16', 'int64']) {
      const own = () => tensor([rank + 1, 10 * (rank + 1), 2 - rank, 3]).to(dtype);
      const numbers = async (x, promise) => {
        await promise;
        return x.toNumbers();
      };
      const sum = own();
      const max = own();
      const many = [own(), own().mul(2)];
      const all = full([4 * size], 0).to(dtype);
      const piece = full([2], 0).to(dtype);
      const pieces = tensor(Array.from({ length: 2 * size }, (_, i) => i + rank)).to(dtype);
      const from = own();
      result[dtype] = {
        sum: await numbers(sum, distributed.allReduce(sum)),
        max: await numbers(max, distributed.allReduce(max, 'max')),
        many: await distributed.allReduceCoalesced(many).then(() => many.map((x) => x.toNumbers())),
        gathered: await numbers(all, distributed.allGatherIntoTensor(all, own())),
        scattered: await numbers(piece, distributed.reduceScatterTensor(piece, pieces)),
        broadcast: await numbers(from, distributed.broadcast(from, size - 1)),
      };
    }
    await distributed.barrier();
    await distributed.monitoredBarrier(20);
    // Several at a time end in any order.
    const several = Array.from({ length: 8 }, (_, i) => full([1 << (2 * i)], rank + i));
    await Promise.all(several.map((x) => distributed.allReduce(x)).reverse());
    result.several = several.map((x) => x.toNumbers().at(-1));
    result.store = await facts(rank, size);
    result.broadcast = await distributed.broadcastObject({ rank, list: [0.1, 'ü'] }, size - 1);
    result.gathered = await distributed.allGatherObject('x'.repeat(rank));
    return result;
  },
  // Gradients of a small model: each rank's share of the batch and all sums, against the whole batch here.
  async buckets(rank, size) {
    const make = () => {
      const shapes = { embedding: [50, 16], inner: [64, 16], narrow: [64, 64], outer: [50, 64], unused: [7] };
      return Object.fromEntries(
        Object.entries(shapes).map(([name, shape], i) => {
          const weight = randn(shape, i).mul(0.1);
          const parameter = name === 'narrow' ? weight.to('bfloat16') : weight;
          parameter.requiresGrad = true;
          return [name, parameter];
        }),
      );
    };
    // Examples of uneven length; the last rank has none when there are more than two.
    const examples = Array.from({ length: 10 }, (_, i) =>
      Array.from({ length: 1 + (i % 4) }, (_, j) => (7 * i + 3 * j) % 50),
    );
    const total = examples.flat().length;
    const owner = (i) => i % (size > 2 ? size - 1 : size);
    const backward = (p, own) => {
      for (const ids of own)
        scope(() => {
          const x = p.embedding.indexSelect(0, tensor(ids, { dtype: 'int64' }));
          const hidden = linear(linear(x, p.inner).relu().to('bfloat16'), p.narrow).float();
          const losses = linear(hidden, p.outer).logSoftmax(-1);
          losses
            .gather(1, tensor(ids, { dtype: 'int64' }).unsqueeze(1))
            .sum()
            .neg()
            .backward();
        });
    };
    const whole = make();
    backward(whole, examples);
    const shared = make();
    const order = Object.values(shared).reverse();
    const buckets = new distributed.GradientBuckets(order, { first: 4000, bytes: 15000 });
    const result = { steps: [] };
    for (let step = 0; step < 2; step++) {
      for (const parameter of order) parameter.clearGrad();
      backward(
        shared,
        examples.filter((_, i) => owner(i) === rank),
      );
      const left = watchTensors();
      // The gradients get ready in another order than the buckets have, and not all are announced.
      buckets.ready(shared.outer);
      buckets.ready(shared.unused);
      await buckets.finish(total);
      const leaked = left();
      const differences = Object.entries(shared).map(([name, { grad }]) => [
        name,
        scope(() => {
          const expected = whole[name].grad?.float().div(total);
          return expected ? grad.float().sub(expected).abs().amax().div(expected.abs().amax()).item() : (grad ?? null);
        }),
      ]);
      result.steps.push({ differences: Object.fromEntries(differences), leaked });
    }
    return result;
  },
  // Rank `given.rank` is killed before its third collective.
  async killed(rank) {
    for (let i = 0; ; i++) {
      if (rank === given.rank && i === 2) process.kill(process.pid, 'SIGKILL');
      start = performance.now();
      await distributed.allReduce(ones([1000]));
    }
  },
  // Says that it is under way, and exchanges on and on.
  async goesOn() {
    for (let i = 0; ; i++) {
      await distributed.allReduce(ones([1000]));
      if (i === 5) say({ result: 'under way' });
    }
  },
  // Rank `given.rank` is killed while the others wait for it without a limit to speak of.
  async killedBehind(rank) {
    await distributed.monitoredBarrier(600);
    if (rank === given.rank) process.kill(process.pid, 'SIGKILL');
    start = performance.now();
    await distributed.monitoredBarrier(600);
  },
  // Rank 1 computes and does not come to the third collective.
  async hangs(rank) {
    for (let i = 0; ; i++) {
      if (rank === 1 && i === 2) block(1000 * (seconds + 5));
      await distributed.allReduce(ones([1000]));
    }
  },
  // Rank `given.rank` meets an error of its own.
  async fails(rank) {
    await distributed.allReduce(ones([1000]));
    if (rank === given.rank) throw new Error('the disk is full');
    await distributed.allReduce(ones([1000]));
  },
  async disagrees(rank) {
    await distributed.agree({ version: '1.2.3' });
    return distributed.agree({ seed: rank === 1 ? 8 : 7, batch: 4 }).catch((error) => error.message);
  },
  async env(rank) {
    const x = full([1], rank);
    await distributed.allReduce(x);
    return { rank, size: distributed.getWorldSize(), sum: x.item() };
  },
};

async function facts(rank, size) {
  const store = distributed.getStore();
  if (rank === 0) void sleep(50).then(() => store.set('fact', 'größer'));
  const text = await store.get('fact');
  await store.add('sum', rank + 1);
  await distributed.barrier();
  await distributed.agree({ size });
  return { text, sum: await store.add('sum', 0), absent: await store.check(['never']) };
}

await playParts(async (part, options) => {
  ({ seconds = 20, ...given } = options);
  start = performance.now();
  try {
    await distributed.initProcessGroup({ seconds });
    const result = await parts[part](distributed.getRank(), distributed.getWorldSize());
    await distributed.destroyProcessGroup();
    say({ result });
  } catch (error) {
    await distributed.abortProcessGroup(error);
    say({ error: error.message, name: error.name, ms: Math.round(performance.now() - start) });
    process.exit(1);
  }
});
